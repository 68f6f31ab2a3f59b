import numpy as np
import pytest

from rope.bench.attributes.examples import Examples
from rope.bench.attributes.few_shot import draw_examples, few_shot_correct
from rope.bench.one_shot import Draws
from tests.bench.attributes.test_knn import at

TARGETS = np.eye(2, dtype=bool)


def products(n: int, samples: int) -> Examples:
    of = np.repeat(np.arange(n), samples)
    return Examples(np.random.default_rng(0).normal(size=(len(of), 3)), of, TARGETS[of % 2])


@pytest.mark.parametrize(("shots", "expected"), [(1, 1), (3, 3), (99, 5)])
def test_a_draw_has_so_many_products_of_each_class_and_one_sample_of_each(shots, expected):
    train = products(10, 4)
    for trial in range(5):
        drawn = train.take(draw_examples(train, Draws(0, 5, shots), trial))
        assert np.bincount(drawn.classes).tolist() == [expected, expected]
        assert len(set(drawn.products.tolist())) == len(drawn)


def test_every_product_and_sample_is_drawn_about_equally_often():
    train = products(6, 3)
    rows = np.concatenate([draw_examples(train, Draws(0, 600, 1), trial) for trial in range(600)])
    counts = np.bincount(rows, minlength=18)
    assert counts.sum() == 1200
    assert np.abs(counts - 1200 / 18).max() < 4 * np.sqrt(1200 / 18)


def test_a_sample_is_of_the_class_whose_mean_is_nearest():
    train = at([0, 60, 100], [0, 0, 1])  # the mean of class 0 points to 30 degrees
    assert few_shot_correct(train, at([60, 70, 10], [0, 1, 1]), Draws(0, 2, 9)).tolist() == [[1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize("degrees", [[45, 45], [10, -10]])
def test_ties_are_wrong(degrees):
    assert few_shot_correct(at(degrees, [0, 1]), at([0, 0], [0, 1]), Draws(0, 1)).sum() == 0


def test_a_class_whose_mean_is_zero_has_no_direction_and_wins_nothing():
    train = at([90, 270, 180], [0, 0, 1])
    assert few_shot_correct(train, at([90, 180], [0, 1]), Draws(0, 1, 2)).tolist() == [[0], [1]]
