"""The first places against sorting by hand, with many exact ties."""

import numpy as np
import pytest

from rope.bench.ranking.engine import ComputeSettings, Labelled
from rope.bench.ranking.maxsim import exact_maxsim
from rope.bench.ranking.similarity import Vectors, exact_cosine
from rope.bench.rerank.first_stage import first_places

TIE = 1e-12


def by_hand(similarities, is_positive, ids, depth):
    """Positives at one more than what is before them, negatives between by similarity and id; then the cut."""
    rows = sorted(range(len(ids)), key=lambda row: (-similarities[row], ids[row]))
    positives, negatives = ([row for row in rows if is_positive[row] == kind] for kind in (True, False))
    places = {}
    for i, row in enumerate(positives):
        before = sum(float(similarities[other] - similarities[row]) >= -TIE for other in negatives)
        places[i + 1 + before] = row
    order = [places[place] if place in places else negatives.pop(0) for place in range(1, len(ids) + 1)]
    return [(row, i + 1) for i, row in enumerate(order) if i < depth or is_positive[row]]


def labelled(rng, n, products, offsets=None):
    vectors = rng.integers(-1, 2, (n, 3)).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1
    return Labelled(Vectors.of(vectors, offsets), np.array(products))


@pytest.mark.parametrize("depth", [1, 3, 8, 99])
@pytest.mark.parametrize("is_many", [False, True])
def test_places_are_those_of_sorting_by_hand(depth, is_many):
    rng = np.random.default_rng(0)
    offsets = np.array([0, 2, 4, 5, 6, 6, 8, 9, 11, 12]) if is_many else None
    gallery = labelled(rng, 12 if is_many else 9, [0, 0, 0, 1, 1, 2, 2, 3, 3], offsets)
    queries = labelled(rng, 4, [0, 1, 2, 3])
    ids = [str(n) for n in rng.permutation(9)]
    found = [*first_places(queries, gallery, ids, depth, ComputeSettings(threads=1))]
    for query, one in enumerate(found):
        if is_many:
            asked = queries.vectors.part(query, query + 1)
            exact = [exact_maxsim(asked, gallery.vectors.part(row, row + 1)) for row in range(9)]
        else:
            exact = [exact_cosine(queries.vectors.raw[query], row) for row in gallery.vectors.raw]
        expected = by_hand(exact, gallery.products == query, ids, depth)
        assert [*zip(one.rows.tolist(), one.places.tolist(), strict=True)] == expected


def test_constant_vectors_put_negatives_first_by_their_ids():
    gallery = Labelled(Vectors.of(np.ones((4, 2), np.float32)), np.array([0, 1, 1, 2]))
    queries = Labelled(Vectors.of(np.ones((1, 2), np.float32)), np.array([1]))
    (found,) = first_places(queries, gallery, ["d", "c", "b", "a"], 3, ComputeSettings(threads=1))
    assert (found.rows.tolist(), found.places.tolist()) == ([3, 0, 2, 1], [1, 2, 3, 4])
