import numpy as np
import pytest

from rope.bench.doctor.geometry import measure_gap, measure_shape, moments
from rope.bench.ranking.similarity import Vectors
from tests.bench.reference import float32


def shape_of(vectors):
    return measure_shape(moments(Vectors.of(float32(vectors))))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_cross_of_axes_uses_every_dimension(dim):
    shape = shape_of(np.concatenate([np.eye(dim), -np.eye(dim)]))
    assert shape.effective_rank == pytest.approx(dim)
    assert shape.participation_ratio == pytest.approx(dim)
    assert shape.cumulative[dim] == pytest.approx(1)


def test_one_direction_beside_many_unused_ones():
    shape = shape_of([[1, 0, 0, 0], [-1, 0, 0, 0]])
    assert shape.effective_rank == pytest.approx(1)
    assert shape.cumulative == pytest.approx({1: 1, 2: 1, 4: 1})


def test_equal_vectors_vary_in_nothing():
    shape = shape_of(np.full((7, 3), 0.1))
    assert (shape.effective_rank, shape.participation_ratio, shape.cumulative) == (0, 0, {})
    assert shape.mean_cosine == pytest.approx(1)


def test_lengths_do_not_matter():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4))
    longer = vectors * rng.uniform(1, 9, size=(30, 1))
    assert shape_of(longer).effective_rank == pytest.approx(shape_of(vectors).effective_rank, rel=1e-6)


def test_cosines_equal_those_of_all_pairs():
    vectors = np.random.default_rng(1).normal(size=(25, 3)) + 0.7
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (units @ units.T)[~np.eye(25, dtype=bool)]
    shape = shape_of(vectors)
    assert shape.mean_cosine == pytest.approx(cosines.mean(), abs=1e-6)
    assert shape.std_cosine == pytest.approx(cosines.std(), abs=1e-6)


def test_a_single_sample_has_no_pair():
    shape = shape_of([[1, 2]])
    assert shape.mean_cosine is None
    assert shape.std_cosine is None


def gap_between(a, b):
    left, right = Vectors.of(float32(a)), Vectors.of(float32(b))
    return measure_gap(left, moments(left), right, moments(right))


def test_opposite_domains_are_told_apart():
    gap = gap_between([[1, 0.1], [1, -0.1]], [[-1, 0.1], [-1, -0.1]])
    assert gap.told_apart == 1
    assert gap.distance == pytest.approx(2 / np.sqrt(1.01))
    assert gap.spread == pytest.approx(0.1 / np.sqrt(1.01))
    assert gap.ratio == pytest.approx(20)
    assert sum(gap.first) == pytest.approx(1)
    assert sum(gap.second) == pytest.approx(1)


def test_the_same_domain_twice_has_no_gap():
    gap = gap_between(np.eye(3), np.eye(3))
    assert (gap.distance, gap.told_apart, gap.edges) == (0, None, ())


def test_two_points_have_no_spread_to_compare_with():
    gap = gap_between([[1, 0]], [[0, 1]])
    assert gap.ratio is None
    assert gap.told_apart == 1
