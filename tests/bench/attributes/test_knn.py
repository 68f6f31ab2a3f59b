import numpy as np
import pytest

from rope.bench.attributes.examples import Examples
from rope.bench.attributes.knn import knn_correct, majority_correct


def at(degrees, classes, n_classes: int = 3) -> Examples:
    angles = np.radians(np.array(degrees, float))
    targets = np.eye(n_classes, dtype=bool)[classes]
    return Examples(np.stack([np.cos(angles), np.sin(angles)], axis=1), np.arange(len(classes)), targets)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [0, 1]),
        (2, [0, 1]),  # one vote each: the class of the nearer example
        (3, [1, 0]),
        (99, [1, 0]),
    ],
)
def test_the_nearest_vote(k, expected):
    train = at([10, 20, 30], [0, 1, 1])
    assert knn_correct(train, at([0, 0], [1, 0]), k).tolist() == expected


@pytest.mark.parametrize(
    ("degrees", "classes", "own", "k", "expected"),
    [
        ([10, -10], [0, 1], 0, 1, 0),
        ([10, -10], [0, 1], 1, 1, 0),
        ([10, 10, 10], [0, 0, 1], 0, 2, 0),  # the wrong one comes first, then one of the right ones
        ([10, 10, 10], [0, 0, 1], 0, 3, 1),
    ],
)
def test_equally_similar_examples_count_against_the_model(degrees, classes, own, k, expected):
    assert knn_correct(at(degrees, classes), at([0], [own]), k).tolist() == [expected]


def test_constant_vectors_score_nothing():
    train = at([45] * 30, [i % 3 for i in range(30)])
    assert knn_correct(train, train, 10).sum() == 0


def vote(train: Examples, unit, own: int, k: int) -> float:
    ranked = sorted(
        (-round(float(unit @ other), 9), int(of == own), int(of))
        for other, of in zip(train.units, train.classes, strict=True)
    )[:k]
    classes = [of for *_, of in ranked]
    return float(max(classes, key=lambda one: (classes.count(one), -classes.index(one))) == own)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_vote_is_that_of_a_plain_loop(k, monkeypatch):
    monkeypatch.setattr("rope.bench.attributes.knn._BLOCK", 500)  # several blocks
    rng = np.random.default_rng(k)
    train, test = (at(rng.integers(0, 40, n), rng.integers(0, 3, n)) for n in (60, 50))  # with many ties
    expected = [vote(train, unit, own, k) for unit, own in zip(test.units, test.classes, strict=True)]
    assert 0 < sum(expected) < 50
    assert knn_correct(train, test, k).tolist() == expected


def test_the_majority_needs_no_vector():
    assert majority_correct(at([0, 0, 0], [1, 1, 0]), at([0, 0], [1, 2])).tolist() == [1, 0]
