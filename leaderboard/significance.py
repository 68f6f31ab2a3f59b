"""Which models of a board can be told apart: the test of `rope.bench.stats.compare`, for hundreds of models at once.

The tests of one metric, in the pairs and their mean, are corrected together, by Holm's method.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy.special import stdtr

from rope.arrays import FloatArray
from rope.bench.stats.compare import SIGNIFICANT
from rope.bench.stats.intervals import MetricEstimate

__all__ = ["n_rejected", "separate_pairs"]

_ROUNDING: Final = 1e-12
"""What is nearer to zero comes from rounding, as in `rope.bench.stats.compare`."""


def separate_pairs(
    names: Sequence[str], estimates: Mapping[str, Sequence[MetricEstimate]]
) -> dict[str, set[tuple[str, str]]]:
    """Pairs (better, worse) whose difference is significant after Holm's correction over all pairs and columns.

    Where columns differ in their number of products, the fewest degrees of freedom of all are taken, which is on the
    side of caution; where every product has queries in all columns, as in ROPE, the result is that of
    `rope.bench.stats.compare`.

    Args:
        names: n models, in any order.
        estimates: column -> what each scored, over one training run or several.
    """
    found: dict[str, set[tuple[str, str]]] = {column: set() for column in estimates}
    degrees = min((one.n_products for of_column in estimates.values() for one in of_column), default=0) - 1
    if len(names) < 2 or degrees < 1:
        return found
    first, second = np.triu_indices(len(names), 1)
    p_values = np.concatenate([_p_values(of_column, degrees) for of_column in estimates.values()])
    order = np.argsort(p_values, kind="stable")
    columns = list(estimates)
    for test in order[: n_rejected(p_values[order])].tolist():
        column, i, j = columns[test // len(first)], first[test % len(first)], second[test % len(first)]
        better, worse = (i, j) if estimates[column][i].value > estimates[column][j].value else (j, i)
        found[column].add((names[better], names[worse]))
    return found


def n_rejected(p_values: FloatArray) -> int:
    """How many of the tests Holm's method rejects at the level of 5 %: up to the first that does not pass its step.

    Args:
        p_values: float64 [m], smallest first.

    >>> n_rejected(np.array([0.001, 0.01, 0.04])), n_rejected(np.array([0.001, 0.03, 0.04]))
    (3, 1)
    """
    m = len(p_values)
    failed = np.flatnonzero(p_values * (m - np.arange(m)) >= SIGNIFICANT)
    return int(failed[0]) if len(failed) else m


def _p_values(estimates: Sequence[MetricEstimate], degrees: int) -> FloatArray:
    """The p-value of every two models in one column, in the order of `triu_indices`."""
    values = np.array([one.value for one in estimates])
    shifts = np.stack([one.shifts for one in estimates])
    spread = np.array([sum(seeds.spread for seeds in one.seeds) for one in estimates])
    by_product = np.array([sum(seeds.by_product for seeds in one.seeds) for one in estimates])
    squares = np.array([sum(seeds.spread**2 / seeds.degrees for seeds in one.seeds) for one in estimates])
    rows = []
    for i in range(len(values) - 1):
        differences, later = np.abs(values[i] - values[i + 1 :]), slice(i + 1, None)
        total = spread[i] + spread[later]
        extra = np.maximum(0.0, total - by_product[i] - by_product[later])
        variance = np.sum((shifts[i] - shifts[later]) ** 2, axis=1) + extra
        of_tests = _degrees(total, squares[i] + squares[later], extra, variance, degrees)
        rows.append(_tests(differences, variance, of_tests, estimates[0].n_products))
    return np.concatenate(rows)


def _degrees(
    total: FloatArray, squares: FloatArray, extra: FloatArray, variance: FloatArray, of_products: int
) -> FloatArray:
    """`rope.bench.stats.intervals.crossed_degrees` of many differences at once."""
    found = np.full(len(total), float(of_products))
    counts = extra > 0
    share = np.minimum(1.0, total[counts] / variance[counts])
    found[counts] = 1 / ((1 - share) / of_products + share * squares[counts] / total[counts] ** 2)
    return found


def _tests(differences: FloatArray, variance: FloatArray, degrees: FloatArray, n_products: int) -> FloatArray:
    errors = np.sqrt(variance)
    statistics = np.divide(differences, errors, out=np.zeros_like(differences), where=errors > _ROUNDING)
    p_values: FloatArray = 2 * stdtr(degrees, -statistics)
    # Where all products show the same difference, the standard error is zero, and the sign test decides.
    p_values[(errors <= _ROUNDING) & (differences > _ROUNDING)] = 2.0 ** (1 - n_products)
    return p_values
