"""One-shot classification: name the product of a sample from one labelled example of each product.

The support set holds `shots` samples of each product of one domain, drawn with a seed. Every sample of the
other domain is given the product of the most similar support; a tie between products counts as wrong.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
from scipy.special import chdtri, stdtrit

from rope.arrays import BitArray, FloatArray, IntArray
from rope.bench.metrics import QueryScores, mean
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way
from rope.bench.ranking.similarity import Vectors, float32_units
from rope.config import Count, NumberRange, check_record
from rope.errors import EmbeddingError

__all__ = [
    "Draws",
    "OneShot",
    "classify",
    "draw_supports",
    "mean_interval",
    "std_bound",
    "support_bits",
]

_WORD: Final = 64
"""Trials noted in one whole number."""

_NO_DIRECTION: Final = 1e-6
"""A sum of float32 unit vectors that is shorter is rounding: the vectors cancel out."""

_TAIL: Final = 0.025
"""What a 95 % interval leaves out on each side."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How support sets are drawn: seed, number of trials, and shots per product.

    Attributes:
        seed: any non-negative integer; with the number of the trial and the order of the samples, it
            determines the draws.
        trials: number of draws.
        shots: samples of each product in a support set; several are averaged as unit vectors.

    Raises:
        UsageError: the seed is negative, there are no trials or shots, or one of them is not a whole number.
    """

    seed: Annotated[int, NumberRange(0)]
    trials: Count = 20
    shots: Count = 1

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True)
class OneShot:
    """Accuracy of one-shot classification for one pair, as fractions.

    Attributes:
        n_queries: samples that were classified.
        n_no_support: samples left out because their product has no sample in the support domain.
        n_products: products in the support set.
        expected: the mean accuracy over all support sets of one sample per product, exactly (see `chances`);
            None with several shots, for which there is no closed form.
        accuracies: one for each trial.
        mean: over trials; with one shot, an estimate of `expected`.
        std: standard deviation over trials (n - 1 in the denominator); None for a single trial.
        std_bound: with 97.5 % confidence, the standard deviation over all draws is no larger (see `std_bound`); None
            for a single trial.
        draws_interval: where the mean over all draws lies, with 95 % confidence, for these samples and no others (see
            `mean_interval`); None for a single trial. `intervals.expected_interval` is about other products.
        chances: float64 [n_queries], the chance of each query to be right. Each product's support is drawn evenly from
            its samples, independently of the others, so it is the mean, over the query's own product's samples, of
            their chance to survive; their mean is `expected`. None in the same case.
        products: int64 [n_queries], ascending, the product of each query.
    """

    n_queries: int
    n_no_support: int
    n_products: int
    expected: float | None
    accuracies: tuple[float, ...]
    mean: float
    std: float | None
    std_bound: float | None
    draws_interval: tuple[float, float] | None
    chances: FloatArray | None = field(repr=False, compare=False)
    products: IntArray = field(repr=False, compare=False)


def classify(
    support: Labelled, queries: Labelled, scores: QueryScores, draws: Draws, compute: ComputeSettings
) -> OneShot:
    """Classify every query in each draw of the support set.

    Args:
        support: the domain that examples are drawn from (A of A2B).
        queries: the domain that is classified (B of A2B).
        scores: of the queries in the support domain, made with the `support_bits` of the support domain.
        draws: seed, trials and shots; a product with fewer samples than shots gives all it has.
        compute: how to spend the machine.

    Raises:
        ValueError: no query has a product in the support domain.
        EmbeddingError: the unit vectors of several shots add up to zero.
    """
    known = scores.queries  # those with a positive: whose product has a support
    if not len(known):
        raise ValueError("no query is of a product in the support domain")
    products = queries.products[known]
    if draws.shots == 1:
        accuracies = _accuracies(scores, draws)
    else:
        queries_known = Labelled(queries.vectors.take(known), products)
        accuracies = [_classify_once(support, queries_known, draws, trial, compute) for trial in range(draws.trials)]
    chances = scores.chances if draws.shots == 1 else None
    std = math.sqrt(_variance(accuracies)) if draws.trials > 1 else None
    return OneShot(
        n_queries=len(known),
        n_no_support=len(queries) - len(known),
        n_products=len(np.unique(support.products)),
        expected=None if chances is None else mean(chances),
        accuracies=tuple(accuracies),
        mean=mean(accuracies),
        std=std,
        std_bound=std_bound(accuracies) if draws.trials > 1 else None,
        draws_interval=mean_interval(accuracies) if draws.trials > 1 else None,
        chances=chances,
        products=products,
    )


def _accuracies(scores: QueryScores, draws: Draws) -> list[float]:
    """The accuracy in each trial, with one support per product."""
    if scores.won is None:
        raise ValueError("the scores were made without support sets")
    trials = [divmod(trial, _WORD) for trial in range(draws.trials)]
    return [mean(scores.won[:, word] >> np.uint64(bit) & np.uint64(1)) for word, bit in trials]


def _classify_once(support: Labelled, queries: Labelled, draws: Draws, trial: int, compute: ComputeSettings) -> float:
    """The accuracy in one trial, with the mean of several supports a product."""
    prototypes = _prototypes(support, draw_supports(support.products, draws, trial))
    ranks = rank_one_way(queries, prototypes, compute, best_only=True)  # one positive: its product's prototype
    return mean(ranks.above == 0)


def support_bits(products: IntArray, draws: Draws) -> BitArray:
    """The support sets that each sample is in, for drawing one of each product: uint64 [n, n_words], a bit a trial.

    With several shots there is nothing to note: supports are averaged then, and ranked on their own.

    >>> support_bits(np.array([3, 3, 8]), Draws(seed=0, trials=4)).T
    array([[ 4, 11, 15]], dtype=uint64)

    Args:
        products: int64 [n], ascending.
        draws: how support sets are drawn.
    """
    n_words = -(-draws.trials // _WORD) if draws.shots == 1 else 0
    bits = np.zeros((len(products), n_words), np.uint64)
    for trial in range(draws.trials if n_words else 0):
        word, bit = divmod(trial, _WORD)
        bits[draw_supports(products, draws, trial), word] |= np.uint64(1 << bit)
    return bits


def draw_supports(products: IntArray, draws: Draws, trial: int) -> IntArray:
    """Rows of the support set of one trial: `draws.shots` of each product, or all where there are fewer.

    Each sample gets a random key in order, and the smallest keys of each product are drawn, so a draw depends
    only on the seed, the trial and the samples.

    Args:
        products: int64 [n], ascending.
        draws: seed and shots.
        trial: the number of the draw, from 0.

    Returns:
        int64, ascending by product.

    >>> draw_supports(np.array([3, 3, 3, 8]), Draws(seed=0, shots=2), trial=0)
    array([1, 2, 3])
    """
    # The raw stream of a bit generator is the part of numpy's randomness that is kept stable for good.
    keys = np.random.PCG64(np.random.SeedSequence([draws.seed, trial])).random_raw(len(products))
    starts = np.flatnonzero(np.diff(products, prepend=products[0] - 1))
    sizes = np.diff([*starts, len(products)])
    if draws.shots == 1:  # no need to sort, which takes ten times as long
        smallest = np.flatnonzero(keys == np.repeat(np.minimum.reduceat(keys, starts), sizes))
        return smallest[np.flatnonzero(np.diff(products[smallest], prepend=products[0] - 1))]
    order = np.lexsort((keys, products))
    place = np.arange(len(products)) - np.repeat(starts, sizes)
    return np.sort(order[place < draws.shots])


def mean_interval(values: list[float]) -> tuple[float, float]:
    """95 % confidence interval of the mean of shares, from at least two of them.

    mean ± t · std / sqrt(n), with the quantile of Student's t for n - 1 degrees of freedom, cut to [0, 1], which no
    mean of shares leaves.

    >>> [round(bound, 4) for bound in mean_interval([0.4, 0.5, 0.6, 0.5, 0.5])]
    [0.4122, 0.5878]
    >>> mean_interval([0.4, 0.6])
    (0.0, 1.0)
    """
    centre = mean(values)
    reach = float(stdtrit(len(values) - 1, 1 - _TAIL)) * math.sqrt(_variance(values) / len(values))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def std_bound(values: list[float]) -> float:
    """What the standard deviation that shares come from is below with 97.5 % confidence, from at least two of them.

    An accuracy is a mean over thousands of queries, so it is nearly normal over draws, and its variance is bounded by
    the quantile of the chi-squared distribution for n - 1 degrees of freedom. No share between 0 and 1 deviates by more
    than 1/2, so the bound is never larger.

    >>> round(std_bound([0.4, 0.5, 0.6, 0.5, 0.5]), 3)
    0.203
    >>> std_bound([0.4, 0.6])
    0.5
    """
    degrees = len(values) - 1
    return min(0.5, math.sqrt(_variance(values) * degrees / float(chdtri(degrees, 1 - _TAIL))))


def _variance(values: list[float]) -> float:
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)


def _prototypes(support: Labelled, drawn: IntArray) -> Labelled:
    """One vector a product: the sample drawn, or the mean of the unit vectors of several."""
    if support.vectors.offsets is not None:
        raise EmbeddingError(
            "several shots are averaged, and samples with many vectors or none have no mean; score with one shot"
        )
    products = support.products[drawn]
    unique, starts = np.unique(products, return_index=True)
    if len(unique) == len(drawn):
        return Labelled(support.vectors.take(drawn), products)
    chosen = support.vectors.take(drawn)
    sums = np.add.reduceat(float32_units(chosen, 0, len(drawn)).astype(np.float64), starts, axis=0)
    if np.any(np.linalg.norm(sums, axis=1) < _NO_DIRECTION):
        raise EmbeddingError(
            "the examples drawn for a product cancel out, so that their mean has no direction; "
            "score with one shot, or look at the embeddings of repeated samples"
        )
    return Labelled(Vectors.of(sums.astype(np.float32)), unique)
