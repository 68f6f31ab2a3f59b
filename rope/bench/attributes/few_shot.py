"""The class of a sample by the nearest class mean of a few labelled products."""

from typing import Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.attributes.examples import Examples
from rope.bench.attributes.knn import wins
from rope.bench.one_shot import Draws, draw_supports

__all__ = ["draw_examples", "few_shot_correct"]


_DIGITS: Final = 10
"""Cosines are compared as rounded to so many digits."""


def few_shot_correct(train: Examples, test: Examples, draws: Draws) -> FloatArray:
    """Whether each sample is given its class in each draw.

    A class is the mean of the unit vectors of its examples, and a sample is of the class whose mean is most similar
    by cosine. A tie (less than about 1e-10 apart) is wrong, and so is a class whose mean is zero.

    Args:
        train: examples in the order of their products.
        test: samples to classify, of classes that the examples have.
        draws: seed, number of draws, and products of each class in one; see `draw_examples`.

    Returns:
        float64 [n, draws], 0 or 1.
    """
    present = np.flatnonzero(train.targets.any(axis=0))
    own = np.searchsorted(present, test.classes)
    correct = np.zeros((len(test), draws.trials))
    for trial in range(draws.trials):
        drawn = train.take(draw_examples(train, draws, trial))
        means = drawn.targets[:, present].T.astype(np.float64) @ drawn.units
        norms = np.linalg.norm(means, axis=1)
        cosines = np.round(test.units @ (means / np.where(norms > 1e-12, norms, np.inf)[:, None]).T, _DIGITS)
        correct[:, trial] = wins(cosines, own)
    return correct


def draw_examples(train: Examples, draws: Draws, trial: int) -> IntArray:
    """Rows of `draws.shots` products of each class, or all where there are fewer, with one sample of each.

    The sample of a product is the one that one-shot classification would draw; products are drawn in the same way, as
    if they were the samples of their class, with the number of the draw moved on by `draws.trials`.

    Args:
        train: examples in the order of their products.
        draws: seed, number of draws and shots.
        trial: number of the draw, from 0.

    Returns:
        int64, by class.
    """
    one_each = draw_supports(train.products, Draws(draws.seed, draws.trials), trial)
    by_class = one_each[np.argsort(train.classes[one_each], kind="stable")]
    return by_class[draw_supports(train.classes[by_class], draws, trial + draws.trials)]
