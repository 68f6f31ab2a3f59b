"""Several labels a product: average precision and F1 of each tag, with what each product does to them.

Ties count against the model: of equally scored samples, those without the tag come first.
"""

from dataclasses import dataclass

import numpy as np

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.stats.intervals import MetricEstimate, average, estimate

__all__ = ["TagEstimates", "average_precision", "estimate_tags"]


@dataclass(frozen=True, slots=True, eq=False)
class TagEstimates:
    """Metrics of tag prediction.

    Attributes:
        mean_average_precision: the mean over tags.
        micro_f1: F1 of all decisions about all tags together.
        macro_f1: the mean over tags of F1.
    """

    mean_average_precision: MetricEstimate
    micro_f1: MetricEstimate
    macro_f1: MetricEstimate


def estimate_tags(scores: FloatArray, targets: BoolArray, products: IntArray, n_products: int) -> TagEstimates:
    """Average precision and F1 of predicted tags.

    The means over tags are over those that some sample has; false alarms of the others count in micro F1.

    Args:
        scores: float64 [n, tags], log odds; a tag is predicted where they are above 0.
        targets: bool [n, tags], what is true; at least one tag of one sample is.
        products: int64 [n].
        n_products: how many products there are.

    Raises:
        ValueError: no sample has a tag.
    """
    tags = np.flatnonzero(targets.any(axis=0))
    if not len(tags):
        raise ValueError("no sample has a tag, so there is nothing to estimate")
    agreed, claimed = _f1_parts(scores > 0, targets, products, n_products)
    return TagEstimates(
        average([average_precision(scores[:, tag], targets[:, tag], products, n_products) for tag in tags]),
        estimate(agreed.sum(axis=1), claimed.sum(axis=1)),
        average([estimate(agreed[:, tag], claimed[:, tag]) for tag in tags]),
    )


def average_precision(scores: FloatArray, has_tag: BoolArray, products: IntArray, n_products: int) -> MetricEstimate:
    """Average precision of one tag: the mean, over the samples that have it, of the precision down to each.

    The shift of a product is exact: it is left out of the ranking, and the rest is ranked as before. It is 0 where no
    other product has the tag.

    Args:
        scores: float64 [n], highest first.
        has_tag: bool [n], at least one.
        products: int64 [n].
        n_products: how many products there are.

    >>> perfect_but_one = average_precision(
    ...     np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), np.array([0, 1, 2]), 3
    ... )
    >>> perfect_but_one.value, perfect_but_one.shifts
    (0.83333333..., array([-0.33333333,  0.16666667,  0.16666667]))
    """
    order = np.lexsort((products, has_tag, -scores))
    positive, owner = has_tag[order], products[order]
    at = np.flatnonzero(positive)  # the positions, from 0, of the samples that have the tag
    precision = np.arange(1, len(at) + 1) / (at + 1)
    sums = np.bincount(owner[at], weights=precision, minlength=n_products).astype(np.float64)
    counts = np.bincount(owner[at], minlength=n_products).astype(np.float64)
    plain = estimate(sums, counts)
    shifts = _left_out(at, positive, owner, n_products) - plain.value
    shifts[(counts == counts.sum()) | (np.bincount(products, minlength=n_products) == 0)] = 0.0
    return MetricEstimate(plain.value, shifts, plain.parts, plain.weights)


def _left_out(at: IntArray, positive: BoolArray, owner: IntArray, n_products: int) -> FloatArray:
    """The average precision without each product, float64 [products]; 0 where nothing with the tag is left."""
    by_product = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner, minlength=n_products))[:-1])
    ranks, values = np.arange(1, len(at) + 1), np.zeros(n_products)
    for product, places in enumerate(by_product):
        kept = owner[at] != product
        above = np.searchsorted(places, at[kept])
        hits_above = np.searchsorted(places[positive[places]], at[kept])
        precision = (ranks[kept] - hits_above) / (at[kept] + 1 - above)
        values[product] = precision.mean() if len(precision) else 0.0
    return values


def _f1_parts(
    predicted: BoolArray, targets: BoolArray, products: IntArray, n_products: int
) -> tuple[FloatArray, FloatArray]:
    """Twice the true positives, and these with all false ones, of each product and tag: float64 [products, tags]."""
    agreed, claimed = np.zeros((2, n_products, targets.shape[1]))
    np.add.at(agreed, products, 2.0 * (predicted & targets))
    np.add.at(claimed, products, predicted.astype(np.float64) + targets)
    return agreed, claimed
