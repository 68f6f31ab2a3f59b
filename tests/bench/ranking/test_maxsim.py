"""Samples with any number of vectors, against double loops over exact cosines."""

from decimal import Decimal, localcontext
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.bench.metrics import score_one_way, score_pair, score_within
from rope.bench.one_shot import Draws, draw_supports, support_bits
from rope.bench.ragged import offsets_of
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way, rank_pair, rank_within
from rope.bench.ranking.maxsim import exact_maxsim
from rope.bench.ranking.similarity import Vectors, exact_cosine
from tests.bench.ranking.test_engine import agree
from tests.bench.reference import TIE, _score_query, float32


def bags_of(bags, dim) -> Vectors:
    rows = [vector for bag in bags for vector in bag]
    return Vectors.of(float32(np.reshape(rows, (-1, dim))), offsets_of(np.array([len(bag) for bag in bags], np.int64)))


def side(bags, products, dim=3) -> Labelled:
    return Labelled(bags_of(bags, dim), np.asarray(products, np.int64))


def slow_similarity(query, sample) -> Decimal:
    """The mean of the largest cosines; below every cosine where one of the two has no vector."""
    if not len(query) or not len(sample):
        return Decimal(-2)
    with localcontext() as context:
        context.prec = 60
        return sum(max(exact_cosine(float32(q), float32(d)) for d in sample) for q in query) / len(query)


def slow_scores(queries, query_products, gallery, gallery_products, same=False):
    return [
        _score_query(
            [
                (slow_similarity(query, other), product == own)
                for j, (other, own) in enumerate(zip(gallery, gallery_products, strict=True))
                if not (same and i == j)
            ]
        )
        for i, (query, product) in enumerate(zip(queries, query_products, strict=True))
    ]


@st.composite
def ragged_sides(draw, n_sides=2):
    """Domains of bags with none to three vectors from a few values, so that ties abound."""
    entry = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
    vector = st.lists(entry, min_size=3, max_size=3).filter(any)
    rows = st.lists(st.tuples(st.integers(0, 3), st.lists(vector, max_size=3)), min_size=1, max_size=7)
    sides = [sorted(draw(rows), key=lambda row: row[0]) for _ in range(n_sides)]
    return [([bag for _, bag in one], [product for product, _ in one]) for one in sides]


@settings(max_examples=60)
@given(ragged_sides())
def test_ranks_equal_double_loops(sides):
    (a, a_products), (b, b_products) = sides
    forward, backward = score_pair(side(a, a_products), side(b, b_products), ComputeSettings())
    agree(forward, slow_scores(a, a_products, b, b_products))
    agree(backward, slow_scores(b, b_products, a, a_products))
    agree(score_within(side(a, a_products), ComputeSettings()), slow_scores(a, a_products, a, a_products, same=True))


@settings(max_examples=40)
@given(ragged_sides(), st.randoms())
def test_a_domain_within_itself_may_have_other_vectors_as_queries(sides, random):
    ((gallery, products), _) = sides
    queries = [random.sample(bag, len(bag))[:1] + [[1.0, 0.5, 0.0]] * random.randint(0, 1) for bag in gallery]
    found = score_within(side(gallery, products), ComputeSettings(), side(queries, products))
    agree(found, slow_scores(queries, products, gallery, products, same=True))


@pytest.mark.parametrize("ties", [False, True])
def test_one_vector_each_gives_the_very_ranks_of_the_cosine(ties):
    rng = np.random.default_rng(0)
    products = [np.sort(rng.integers(0, 12, n)) for n in (50, 70)]
    arrays = [float32(rng.integers(-2, 3, (n, 4)) + 0.5 if ties else rng.normal(size=(n, 40))) for n in (50, 70)]
    plain, ragged = (
        [Labelled(Vectors.of(array, None if one else np.arange(len(array) + 1)), own)
         for array, own in zip(arrays, products, strict=True)]
        for one in (True, False)
    )  # fmt: skip
    draws = Draws(seed=3, trials=70)
    drawn = tuple(support_bits(own, draws) for own in products)
    for one, other in zip(
        [*rank_pair(*plain, ComputeSettings(), drawn=drawn), rank_within(plain[0], ComputeSettings())],
        [*rank_pair(*ragged, ComputeSettings(), drawn=drawn), rank_within(ragged[0], ComputeSettings())],
        strict=True,
    ):
        for name in ("offsets", "above", "above_optimistic", "win_chances", "won"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("gap", [1e-5, 1e-7, 1e-9, 2e-12, 1e-12, 5e-13, 0.0])
def test_near_ties_are_decided_exactly(gap):
    """A negative whose best vector is a positive's, turned by an angle that moves its cosine by about the gap."""
    rng = np.random.default_rng(1)
    angle = 0.7
    at = [np.cos(angle), np.sin(angle), 0.0]
    moved = [np.cos(angle) + gap, np.sin(angle), 0.0]
    queries = [[[1.0, 0.0, 0.0], rng.normal(size=3).tolist()]]
    gallery = [[at, [-1.0, 0.2, 0.1]], [moved, [-1.0, 0.2, 0.1]], [[-1.0, 0.0, 0.0]]]
    found = score_one_way(side(queries, [0]), side(gallery, [0, 1, 2]), ComputeSettings())
    agree(found, slow_scores(queries, [0], gallery, [0, 1, 2]))


def random_bags(rng, n, dim=24, most=6):
    bags = [rng.normal(size=(rng.integers(0, most), dim)) for _ in range(n)]
    return bags, np.sort(rng.integers(0, 9, n))


def test_padding_order_and_memory_change_nothing():
    rng = np.random.default_rng(2)
    (a, a_products), (b, b_products) = random_bags(rng, 40), random_bags(rng, 60)
    padded = [np.concatenate([bag, bag[:1], bag[:1]]) if len(bag) else bag for bag in b]
    turned = [bag[::-1] for bag in b]
    queries = side(a, a_products, 24)
    first = rank_one_way(queries, side(b, b_products, 24), ComputeSettings())
    for other, compute in [
        (padded, ComputeSettings()),
        (turned, ComputeSettings()),
        (b, ComputeSettings(memory_bytes=1 << 15, threads=1)),
    ]:
        found = rank_one_way(queries, side(other, b_products, 24), compute)
        assert np.array_equal(found.above, first.above)
        assert np.array_equal(found.above_optimistic, first.above_optimistic)


def test_one_shot_counts_samples_without_a_vector_as_wrong_and_as_no_rivals():
    rng = np.random.default_rng(4)
    (a, a_products), (b, b_products) = random_bags(rng, 30, most=3), random_bags(rng, 40, most=3)
    draws = Draws(seed=0, trials=10)
    ranks = rank_one_way(
        side(a, a_products, 24), side(b, b_products, 24), ComputeSettings(), drawn=support_bits(b_products, draws)
    )
    supports = [draw_supports(b_products, draws, trial) for trial in range(10)]
    for i, product in enumerate(a_products):
        similar = [slow_similarity(a[i], bag) for bag in b]
        own = sorted((j for j in range(40) if b_products[j] == product), key=lambda j: -similar[j])
        beaten = [[j for j in range(40) if b_products[j] != product and similar[j] - similar[p] > -TIE] for p in own]
        expected = [
            prod(
                1 - sum(b_products[j] == other for j in above) / np.count_nonzero(b_products == other)
                for other in set(b_products) - {product}
            )
            for above in beaten
        ]
        assert ranks.win_chances[ranks.offsets[i] : ranks.offsets[i + 1]] == pytest.approx(expected, abs=1e-12)
        for trial, drawn in enumerate(supports if own else []):
            mine = next(p for p in own if p in drawn)
            wins = not set(beaten[own.index(mine)]) & set(drawn)
            assert bool(ranks.won[i, 0] >> np.uint64(trial) & np.uint64(1)) == wins


def test_the_exact_similarity_is_that_of_the_double_loop():
    rng = np.random.default_rng(5)
    query, sample = float32(rng.normal(size=(3, 8))), float32(rng.normal(size=(5, 8)))
    difference = exact_maxsim(Vectors.of(query), Vectors.of(sample)) - slow_similarity(query, sample)
    assert abs(difference) < Decimal("1e-55")


def test_torch_finds_the_same_ranks():
    pytest.importorskip("torch", reason="torch is not installed")
    from rope.bench.ranking.maxsim_torch import MaxsimOnDevice

    rng = np.random.default_rng(6)
    (a, _), (b, _) = random_bags(rng, 20), random_bags(rng, 30)
    queries, gallery = bags_of(a, 24), bags_of(b, 24)
    found = MaxsimOnDevice(gallery, "cpu", 1 << 12).rows(queries)
    expected = [[float(slow_similarity(query, sample)) for sample in b] for query in a]
    assert found == pytest.approx(np.array(expected), abs=1e-5)
