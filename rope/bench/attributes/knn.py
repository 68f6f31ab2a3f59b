"""The class of a sample by vote of the most similar samples of other products."""

from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray, IntArray
from rope.bench.attributes.examples import Examples

__all__ = ["knn_correct", "majority_correct", "wins"]


_STEPS: Final = 10**10
"""Cosines are compared in whole steps of 1 / `_STEPS`, which the rounding of float64 products does not reach."""

_BLOCK: Final = 1 << 23
"""Similarities held at a time: 64 MiB."""


def knn_correct(train: Examples, test: Examples, k: int) -> FloatArray:
    """Whether each sample is given its class by the k most similar examples, each with one vote.

    Of classes with equally many votes, the one that has the most similar example wins. Ties count against the model: of
    equally similar examples, those of another class than the sample's come first, and among them those of the class
    that is first by name.

    Args:
        train: examples; all of them vote where there are fewer than k.
        test: samples to classify.
        k: at least 1.

    Returns:
        float64 [n], 0 or 1.
    """
    n_classes, k = train.targets.shape[1], min(k, len(train))
    classes, block = train.classes, max(1, _BLOCK // len(train))
    correct = np.zeros(len(test))
    for start in range(0, len(test), block):
        asked = test.take(np.arange(start, min(start + block, len(test))))
        keys = _keys(asked.units @ train.units.T, classes, asked.classes, n_classes)
        nearest = np.sort(np.partition(keys, k - 1, axis=1)[:, :k], axis=1) % n_classes
        correct[start : start + block] = wins(_votes(nearest, n_classes), asked.classes)
    return correct


def majority_correct(train: Examples, test: Examples) -> FloatArray:
    """Whether each sample is of the most frequent class of the examples: what needs no vector at all.

    Of equally frequent classes, the first by name. float64 [n], 0 or 1.
    """
    usual = int(np.argmax(train.targets.sum(axis=0)))
    return np.asarray(test.classes == usual, np.float64)


def wins(scores: npt.NDArray[np.generic], classes: IntArray) -> FloatArray:
    """Whether the score of each sample's class is above all others: float64 [n], 0 or 1; a tie is 0.

    Args:
        scores: [n, classes].
        classes: int64 [n].

    >>> wins(np.array([[0.2, 0.3], [0.3, 0.3]]), np.array([1, 0]))
    array([1., 0.])
    """
    rows = np.arange(len(scores))
    others = scores.astype(np.float64)
    own = others[rows, classes]
    others[rows, classes] = -np.inf
    won: FloatArray = (own > others.max(axis=1)).astype(np.float64)
    return won


def _keys(similarity: FloatArray, classes: IntArray, own: IntArray, n_classes: int) -> IntArray:
    """A whole number a pair, int64 [n, examples]: smallest first, and its remainder by `n_classes` is the class."""
    distance = np.rint((1.0 - similarity) * _STEPS).astype(np.int64) + _STEPS  # positive, regardless of the rounding
    same = classes[None, :] == own[:, None]
    keys: IntArray = (2 * distance + same) * n_classes + classes
    return keys


def _votes(nearest: IntArray, n_classes: int) -> IntArray:
    """A number for each class, int64 [n, classes]: the order of its votes, and of its best place where votes are equal.

    Args:
        nearest: int64 [n, k], the classes of the nearest examples, nearest first.
        n_classes: how many classes there are.

    >>> _votes(np.array([[2, 0, 0, 2]]), 3)
    array([[13,  0, 14]])
    """
    k, scores = nearest.shape[1], np.zeros((len(nearest), n_classes), np.int64)
    rows = np.arange(len(nearest))
    for place in reversed(range(k)):
        votes = scores[rows, nearest[:, place]] // (k + 1) + 1
        scores[rows, nearest[:, place]] = votes * (k + 1) + k - place
    return scores
