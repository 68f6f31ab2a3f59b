"""Which models of a board can be told apart: the test of `rope.bench.compare`, for hundreds of models at once.

The tests of one metric, in the pairs and their mean, are corrected together, by Holm's method.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from rope.bench.compare import SIGNIFICANT

__all__ = ["n_rejected", "separate_pairs"]

_ROUNDING: Final = 1e-12
"""What is nearer to zero comes from rounding, as in `rope.bench.compare`."""

FloatArray = npt.NDArray[np.float64]


def separate_pairs(
    names: Sequence[str], values: Mapping[str, FloatArray], shifts: Mapping[str, FloatArray]
) -> dict[str, set[tuple[str, str]]]:
    """Pairs (better, worse) whose difference is significant after Holm's correction over all pairs and columns.

    Where columns differ in their number of products, the fewest degrees of freedom of all are taken, which is on the
    side of caution; where every product has queries in all columns, as in ROPE, the result is that of
    `rope.bench.compare`.

    Args:
        names: n models, in any order.
        values: column -> float64 [n], what each scored.
        shifts: column -> float64 [n, products], what leaving out a product with queries does to it.
    """
    degrees = min(array.shape[1] for array in shifts.values()) - 1
    found: dict[str, set[tuple[str, str]]] = {column: set() for column in values}
    if len(names) < 2 or degrees < 1:
        return found
    first, second = np.triu_indices(len(names), 1)
    statistics = np.concatenate([_statistics(values[column], shifts[column]) for column in values])
    order = np.argsort(-statistics, kind="stable")
    columns = list(values)
    for test in order[: n_rejected(statistics[order], degrees)].tolist():
        column, i, j = columns[test // len(first)], first[test % len(first)], second[test % len(first)]
        better, worse = (i, j) if values[column][i] > values[column][j] else (j, i)
        found[column].add((names[better], names[worse]))
    return found


def n_rejected(statistics: FloatArray, degrees: int) -> int:
    """How many of the tests Holm's method rejects at the level of 5 %.

    The k-th largest statistic is compared with the critical value for the k-th step, and the first that does not
    exceed it ends the search. Both fall with k, so whole runs are settled by their two ends.

    Args:
        statistics: float64 [m], absolute values of Student's t, largest first.
        degrees: of freedom, the same for all.

    >>> n_rejected(np.array([9.0, 3.0, 2.1]), 60)
    3
    >>> n_rejected(np.array([9.0, 2.1, 2.1]), 60)
    1
    """
    m = len(statistics)

    def critical(k: int) -> float:
        return -float(stdtrit(degrees, SIGNIFICANT / (m - k) / 2))

    def first_failure(start: int, stop: int) -> int:
        """The first k of start..stop-1 that fails, or stop."""
        if start == stop or statistics[stop - 1] > critical(start):
            return stop
        if stop - start == 1:
            return start
        middle = (start + stop) // 2
        found = first_failure(start, middle)
        return found if found < middle else first_failure(middle, stop)

    return first_failure(0, m)


def _statistics(values: FloatArray, shifts: FloatArray) -> FloatArray:
    """|difference| / standard error of every two models, in the order of `triu_indices`."""
    rows = [_against_later(values, shifts, i) for i in range(len(values) - 1)]
    return np.concatenate(rows)


def _against_later(values: FloatArray, shifts: FloatArray, i: int) -> FloatArray:
    differences = np.abs(values[i] - values[i + 1 :])
    errors = np.linalg.norm(shifts[i] - shifts[i + 1 :], axis=1)
    statistics: FloatArray = np.divide(differences, errors, out=np.zeros_like(differences), where=errors > _ROUNDING)
    # Where all products show the same difference there is no error to divide by, and the sign test decides.
    statistics[(errors <= _ROUNDING) & (differences > _ROUNDING)] = _sign_test(shifts.shape[1])
    return statistics


def _sign_test(n_products: int) -> float:
    """Student's t with the p-value of the sign test, 2 ** (1 - n)."""
    return -float(stdtrit(n_products - 1, 2.0**-n_products)) if n_products < 50 else np.inf
