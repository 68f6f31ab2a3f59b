import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.bench.metrics import score_queries
from rope.bench.one_shot import Draws, support_bits
from rope.bench.ranking import pair_counts
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way, rank_pair, rank_within
from rope.bench.ranking.similarity import Vectors
from tests.bench.reference import float32, score_slowly


def labelled(vectors, products) -> Labelled:
    return Labelled(Vectors.of(float32(vectors)), np.asarray(products, np.int64))


def agree(scores, slow) -> None:
    """The fast scores are those of the double loops, query by query."""
    expected = {i: s for i, s in enumerate(slow) if s is not None}
    assert scores.queries.tolist() == list(expected)
    assert scores.rank.tolist() == [s.rank for s in expected.values()]
    assert scores.rank_optimistic.tolist() == [s.rank_optimistic for s in expected.values()]
    assert scores.n_positives.tolist() == [s.n_positives for s in expected.values()]
    assert scores.hits.tolist() == [s.hits for s in expected.values()]
    assert scores.average_precision == pytest.approx([s.average_precision for s in expected.values()])


def check_pair(a, a_products, b, b_products) -> None:
    forward, backward = rank_pair(labelled(a, a_products), labelled(b, b_products), ComputeSettings())
    agree(score_queries(forward), score_slowly(float32(a), a_products, float32(b), b_products))
    agree(score_queries(backward), score_slowly(float32(b), b_products, float32(a), a_products))


@st.composite
def domain_pairs(draw):
    """Two small domains with many ties: entries from a few values, products that may lack a domain."""
    dim = draw(st.integers(1, 4))
    entry = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
    vector = st.lists(entry, min_size=dim, max_size=dim).filter(any)
    side = st.lists(st.tuples(st.integers(0, 4), vector), min_size=1, max_size=9)
    (a, b) = (sorted(draw(side), key=lambda row: row[0]) for _ in range(2))
    return [v for _, v in a], [p for p, _ in a], [v for _, v in b], [p for p, _ in b]


@given(domain_pairs())
def test_ranks_equal_double_loops(case):
    check_pair(*case)


@given(domain_pairs())
def test_ranks_within_a_domain_leave_the_query_out(case):
    vectors, products, _, _ = case
    scores = score_queries(rank_within(labelled(vectors, products), ComputeSettings()))
    agree(scores, score_slowly(float32(vectors), products, float32(vectors), products, same=True))


def test_the_best_positive_alone_is_the_first_of_all():
    """Products of few samples and of many by turns, whose positives are measured in different ways, and one of none."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 8))
    products, asked = np.repeat(np.arange(1, 6), [3, 1100, 2, 1500, 1]), np.repeat(np.arange(6), [1, 2, 2, 2, 2, 2])
    gallery = labelled(centres[products] + rng.normal(size=(len(products), 8)), products)
    queries = labelled(centres[asked] + rng.normal(size=(len(asked), 8)), asked)
    drawn = support_bits(products, Draws(seed=0, trials=64))
    best, every = (
        rank_one_way(queries, gallery, ComputeSettings(), best_only=best_only, drawn=drawn)
        for best_only in (True, False)
    )
    first = every.offsets[:-1][np.diff(every.offsets) > 0]
    assert np.diff(best.offsets).tolist() == [0] + [1] * 10
    assert best.above.tolist() == every.above[first].tolist()
    assert best.above_optimistic.tolist() == every.above_optimistic[first].tolist()
    assert best.win_chances.tolist() == every.win_chances[first].tolist()
    units = [side.vectors.raw * side.vectors.inverse_norms[:, None] for side in (queries, gallery)]
    for cosines, product, won in zip(units[0] @ units[1].T, asked, best.won[:, 0], strict=True):
        for trial in range(64):
            support = np.flatnonzero(drawn[:, 0] >> np.uint64(trial) & np.uint64(1))
            nearest = support[cosines[support].argmax()]
            is_best = product > 0 and nearest == np.where(products == product, cosines, -2).argmax()
            assert bool(won >> np.uint64(trial) & np.uint64(1)) == is_best


@pytest.mark.parametrize("gap", [1e-5, 1e-7, 1e-9, 2e-12, 1e-12, 5e-13, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_near_ties_are_decided_exactly(gap, seed):
    """Negatives at about `gap` from the best positive, which float32 cannot tell apart."""
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(6, 40))
    positive = query + 0.3 * rng.normal(size=query.shape)
    negatives = np.concatenate([positive + gap * rng.normal(size=query.shape) for _ in range(4)])
    gallery = np.concatenate([positive, negatives])
    products = np.concatenate([np.arange(6), np.repeat(6, 24)])
    check_pair(query, np.arange(6), gallery, products)


def test_a_difference_of_one_tie_is_decided_by_integers(monkeypatch):
    """Cosines that differ by 1e-12 within 1e-16: float64 cannot say on which side."""
    calls = []
    original = pair_counts.exact_cosine
    monkeypatch.setattr(pair_counts, "exact_cosine", lambda a, b: calls.append(1) or original(a, b))
    angle = np.arccos(1 - 1e-12)  # cosine of the negative: one tie below that of the positive, which is 1
    gallery = [[1, 0], [np.cos(angle), np.sin(angle)]]
    check_pair([[1, 0]], [0], gallery, [0, 1])
    assert calls


def test_float32_products_that_disagree_with_float64_are_rechecked():
    rng = np.random.default_rng(0)
    base = rng.normal(size=64)
    gallery = base + 1e-6 * rng.normal(size=(200, 64))
    forward, _ = rank_pair(labelled([base], [0]), labelled(gallery, np.arange(200)), ComputeSettings())
    assert forward.n_rechecked > 100
    check_pair([base], [0], gallery, np.arange(200))


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e20, 1e37])
def test_length_does_not_matter(scale):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(8, 5)), rng.normal(size=(9, 5))
    check_pair(a * scale, np.arange(8) // 2, b, np.arange(9) // 3)


def test_constant_embeddings_rank_last():
    ones = np.ones((6, 3))
    side = labelled(ones, np.arange(6) // 2)
    forward, backward = rank_pair(side, side, ComputeSettings())
    for ranks in (forward, backward):
        scores = score_queries(ranks)
        assert scores.rank.tolist() == [5] * 6
        assert scores.rank_optimistic.tolist() == [1] * 6


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("memory_bytes", [1, 1 << 20, 1 << 30])
@pytest.mark.parametrize("kind", ["clustered", "quantised", "constant"])
def test_blocks_and_threads_change_nothing(threads, memory_bytes, kind):
    rng = np.random.default_rng(2)
    products = np.sort(rng.integers(0, 90, size=700))
    vectors = rng.normal(size=(90, 16))[products] + rng.normal(size=(700, 16))
    vectors = {"clustered": vectors, "quantised": np.round(vectors), "constant": np.ones_like(vectors)}[kind]
    a, b = labelled(vectors[::2], products[::2]), labelled(vectors[1::2], products[1::2])
    drawn = support_bits(a.products, Draws(seed=0)), support_bits(b.products, Draws(seed=0))
    expected = [*rank_pair(a, b, ComputeSettings(threads=1), drawn=drawn), rank_within(a, ComputeSettings(threads=1))]
    compute = ComputeSettings(memory_bytes, threads)
    for got, want in zip([*rank_pair(a, b, compute, drawn=drawn), rank_within(a, compute)], expected, strict=True):
        assert np.array_equal(got.above, want.above)
        assert np.array_equal(got.above_optimistic, want.above_optimistic)
        assert np.array_equal(got.win_chances, want.win_chances)
        assert np.array_equal(got.won, want.won)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([2, 64, 1100]))
def test_hit_rate_equals_faiss(seed, dim):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(60, dim))
    products = np.sort(rng.integers(0, 60, size=300))
    vectors = float32(centres[products] + rng.normal(size=(300, dim)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries, gallery = vectors[::3], vectors[1::3]
    index = faiss.IndexFlatIP(dim)
    index.add(gallery)
    found = products[1::3][index.search(queries, 10)[1]] == products[::3, None]
    ranks = rank_one_way(labelled(queries, products[::3]), labelled(gallery, products[1::3]), ComputeSettings())
    scores = score_queries(ranks)
    for k in (1, 5, 10):
        assert np.sum(scores.rank <= k) == np.sum(found[:, :k].any(axis=1))


def test_an_empty_side_has_no_ranks():
    nothing, something = labelled(np.zeros((0, 2)), []), labelled(np.eye(2), [0, 1])
    bits = support_bits(something.products, Draws(seed=0))
    for ranks in rank_pair(nothing, something, ComputeSettings(), drawn=(bits[:0], bits)):
        assert len(ranks.above) == 0


def test_products_must_be_ascending():
    with pytest.raises(ValueError, match="ascending"):
        labelled(np.eye(2), [1, 0])


def test_dimensions_must_agree():
    with pytest.raises(ValueError, match="dimensions differ: 2 and 3"):
        rank_pair(labelled(np.eye(2), [0, 1]), labelled(np.eye(3), [0, 1, 2]), ComputeSettings())


def test_vectors_may_stay_on_disk(tmp_path):
    rng = np.random.default_rng(0)
    products = np.sort(rng.integers(0, 30, 200))
    vectors = float32(rng.normal(size=(30, 8))[products] + rng.normal(size=(200, 8)))
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = Labelled(Vectors.of(np.load(tmp_path / "vectors.npy", mmap_mode="r")), products)
    assert isinstance(mapped.vectors.raw.base, np.memmap) or isinstance(mapped.vectors.raw, np.memmap)
    on_disk, in_memory = (rank_pair(side, side, ComputeSettings())[0] for side in (mapped, labelled(vectors, products)))
    assert on_disk.above.tolist() == in_memory.above.tolist()
