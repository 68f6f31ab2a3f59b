import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.bench.metrics import QueryScores, score_pair, score_within
from rope.bench.per_gallery import score_pair_by_group, score_within_by_group
from rope.bench.ranking.engine import ComputeSettings, Labelled
from rope.bench.ranking.similarity import TIE, Vectors, exact_cosine


def labelled(rng: np.random.Generator, n: int, n_products: int) -> Labelled:
    """Vectors of small integers, so that ties abound."""
    vectors = rng.integers(-1, 2, size=(n, 3)).astype(np.float32)
    vectors[:, 0] += 2
    return Labelled(Vectors.of(vectors), np.sort(rng.integers(0, n_products, size=n)))


def slow_ranks(a, b, groups_a, groups_b, same=False):
    """For each query of a: negatives of its group at least as similar as each positive of its group, ascending."""
    found = []
    for i in range(len(a)):
        mine = [j for j in range(len(b)) if groups_b[j] == groups_a[i] and not (same and i == j)]
        similar = {j: exact_cosine(a.vectors.raw[i], b.vectors.raw[j]) for j in mine}
        positives = [j for j in mine if b.products[j] == a.products[i]]
        negatives = [similar[j] for j in mine if b.products[j] != a.products[i]]
        found.append(sorted(sum(float(n) > float(similar[j]) - TIE for n in negatives) for j in positives))
    return found


def numbers(scores: QueryScores) -> list[tuple[int, int, int, float]]:
    return [*zip(*(x.tolist() for x in (scores.queries, scores.n_positives, scores.rank, scores.average_precision)))]  # noqa: B905


def slow_numbers(*case, **options) -> list[tuple[int, int, int, float]]:
    ranks = slow_ranks(*case, **options)
    return [
        (query, len(above), 1 + above[0], sum(i / (i + b) for i, b in enumerate(above, 1)) / len(above))
        for query, above in enumerate(ranks)
        if above
    ]


def random_groups(rng: np.random.Generator, n: int) -> list[str | None]:
    return [(None, "x", "y", "z")[i] for i in rng.integers(0, 4, size=n)]


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_every_query_is_ranked_in_its_group_alone(seed):
    rng = np.random.default_rng(seed)
    a, b = labelled(rng, 17, 4), labelled(rng, 13, 4)
    groups_a, groups_b = random_groups(rng, 17), random_groups(rng, 13)
    forward, backward = score_pair_by_group(a, b, groups_a, groups_b, ComputeSettings(threads=1))
    assert numbers(forward) == slow_numbers(a, b, groups_a, groups_b)
    assert numbers(backward) == slow_numbers(b, a, groups_b, groups_a)
    assert numbers(score_within_by_group(a, groups_a, ComputeSettings(threads=1))) == slow_numbers(
        a, a, groups_a, groups_a, same=True
    )


def test_one_group_is_the_whole_gallery():
    rng = np.random.default_rng(0)
    a, b = labelled(rng, 30, 5), labelled(rng, 40, 5)
    grouped = score_pair_by_group(a, b, [None] * 30, [None] * 40, ComputeSettings())
    for got, expected in zip(grouped, score_pair(a, b, ComputeSettings()), strict=True):
        assert numbers(got) == numbers(expected)
        assert got.rank.dtype == got.rank_optimistic.dtype == got.n_positives.dtype == np.int64
    assert numbers(score_within_by_group(a, ["x"] * 30, ComputeSettings())) == numbers(
        score_within(a, ComputeSettings())
    )


def test_a_group_that_the_gallery_lacks_has_no_positives():
    rng = np.random.default_rng(0)
    a, b = labelled(rng, 4, 1), labelled(rng, 4, 1)
    forward, backward = score_pair_by_group(a, b, ["x"] * 4, ["y"] * 4, ComputeSettings())
    assert numbers(forward) == numbers(backward) == []


def test_there_must_be_a_group_for_each_sample():
    rng = np.random.default_rng(0)
    a = labelled(rng, 4, 1)
    with pytest.raises(ValueError, match="4 samples but 3 groups"):
        score_within_by_group(a, [None] * 3, ComputeSettings())
