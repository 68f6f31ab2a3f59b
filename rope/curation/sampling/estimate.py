"""What a stratified sample of keys says of the whole pool: totals and shares, with intervals.

Horvitz-Thompson: each drawn key counts as often as its weight says. The keys are clusters of rows, so that rows of one
key are never taken for independent ones. The variance has the finite-population correction: what was drawn whole is
known. See Särndal, Swensson, Wretman, Model Assisted Survey Sampling (1992), chapters 3, 5.6 and 5.8.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from rope.arrays import FloatArray
from rope.curation.sampling.sample import Drawn
from rope.errors import UsageError

__all__ = ["SampleEstimate", "estimate_share", "estimate_total"]


@dataclass(frozen=True, slots=True)
class SampleEstimate:
    """An estimate with its interval.

    Attributes:
        value: of the pool.
        low: end of the interval.
        high: end of the interval.
        standard_error: 0 where the sample is the whole pool.
        degrees: degrees of freedom of the standard error.
    """

    value: float
    low: float
    high: float
    standard_error: float
    degrees: float


def estimate_total(drawn: Drawn, values: npt.ArrayLike, *, confidence: float = 0.95) -> SampleEstimate:
    """The sum over the keys of the pool of a number that is known of each drawn key.

    The interval is that of Student's t, with Satterthwaite's degrees of freedom. It keeps what it promises where no
    few keys hold most of the sum.

    Args:
        drawn: the sample.
        values: float [n]; for each drawn key, such as the number of its rows that are matches.
        confidence: of the interval, above 0 and below 1.

    >>> from collections import Counter
    >>> from rope.curation.sampling.sample import Stratum, Units
    >>> units = Units(np.arange(4, dtype=np.uint64), np.zeros(4, np.int64), np.ones(4, np.int64), np.ones(4, np.int64),
    ...     ("",))
    >>> drawn = Drawn(units, np.zeros(4, np.int64), (Stratum("", ("page",)),), np.array([100]))
    >>> total = estimate_total(drawn, [1, 2, 3, 2])
    >>> round(total.value), round(total.low), round(total.high)
    (200, 73, 327)

    Raises:
        UsageError: not one finite number for each drawn key, or a confidence out of range.
    """
    numbers = _checked(drawn, values, confidence)
    variance, degrees = _variance(drawn, numbers)
    value = float(drawn.weight @ numbers)
    error = math.sqrt(variance)
    reach = error * float(stdtrit(degrees, (1 + confidence) / 2))
    return SampleEstimate(value, value - reach, value + reach, error, degrees)


def estimate_share(
    drawn: Drawn, part: npt.ArrayLike, whole: npt.ArrayLike, *, confidence: float = 0.95
) -> SampleEstimate:
    """The sum of `part` over the keys of the pool divided by that of `whole`, such as matches among rows.

    The standard error is that of the linearised ratio. The interval is Wilson's, of as many independent draws as would
    have this standard error, which stays between 0 and 1 and keeps its promise near them. Where the drawn keys do not
    differ at all, such as none of them has a match, it is that of Kish's number of draws.

    Args:
        drawn: the sample.
        part: float [n]; for each drawn key, from 0 to its `whole`.
        whole: float [n]; at least 0, not all 0.
        confidence: of the interval, above 0 and below 1.

    Raises:
        UsageError: the numbers are not as said.
    """
    above, below = _checked(drawn, part, confidence), _checked(drawn, whole, confidence)
    if (above < 0).any() or (above > below).any() or not below.any():
        raise UsageError("a part is below 0 or above its whole, or all wholes are 0; expected shares of something")
    size = float(drawn.weight @ below)
    share = float(drawn.weight @ above) / size
    variance, degrees = _variance(drawn, (above - share * below) / size)
    if (drawn.pool == drawn.taken).all():
        return SampleEstimate(share, share, share, 0.0, degrees)
    n_draws = share * (1 - share) / variance if variance > 0 else _kish(drawn.weight * below)
    low, high = _wilson(share, n_draws, float(stdtrit(degrees, (1 + confidence) / 2)))
    return SampleEstimate(share, low, high, math.sqrt(variance), degrees)


def _checked(drawn: Drawn, values: npt.ArrayLike, confidence: float) -> FloatArray:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != drawn.stratum.shape or not np.isfinite(numbers).all() or not len(numbers):
        raise UsageError(
            f"got numbers of shape {numbers.shape} for {len(drawn.stratum)} drawn keys; expected a finite one for each"
        )
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; expected above 0 and below 1")
    return numbers


def _variance(drawn: Drawn, values: FloatArray) -> tuple[float, float]:
    """Variance of the estimated total, and its degrees of freedom.

    The strata of which one key was drawn, and more exist, share the variance between these keys; a stratum that is
    alone in this takes the variance between all drawn keys. As strata differ, both are more often too large than small.
    """
    taken, pool = drawn.taken, drawn.pool
    between, freedom = _spread(values, drawn.stratum, len(pool))
    is_single = (taken == 1) & (pool > 1)
    if is_single.any():
        lonely = values[is_single[drawn.stratum]]
        shared = lonely if len(lonely) > 1 else values
        between[is_single] = shared.var(ddof=1) if len(shared) > 1 else values[0] ** 2
    drawn_share = taken / pool
    parts = pool**2 * (1 - drawn_share) * between / np.maximum(taken, 1)  # [strata]
    joined = np.append(parts[~is_single], parts[is_single].sum())
    degrees = np.append(freedom[~is_single], max(int(is_single.sum()) - 1, 1))
    squares = float((joined**2 / np.maximum(degrees, 1)).sum())
    total = float(joined.sum())
    return total, max(total**2 / squares, 1.0) if squares > 0 else max(float(len(values) - len(pool)), 1.0)


def _spread(values: FloatArray, stratum: npt.NDArray[np.int64], n_strata: int) -> tuple[FloatArray, FloatArray]:
    """Variance of the values within each stratum, 0 where there is one, and its degrees of freedom."""
    taken = np.bincount(stratum, minlength=n_strata)
    mean = np.bincount(stratum, values, n_strata) / np.maximum(taken, 1)
    squares = np.bincount(stratum, (values - mean[stratum]) ** 2, n_strata)
    return squares / np.maximum(taken - 1, 1), np.maximum(taken - 1, 0).astype(np.float64)


def _kish(weight: FloatArray) -> float:
    """How many equal weights would vary as much.

    >>> _kish(np.array([2.0, 2.0, 2.0]))
    3.0
    """
    return float(weight.sum() ** 2 / (weight**2).sum())


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval.

    >>> [round(end, 4) for end in _wilson(0.5, 100, 1.96)]
    [0.4038, 0.5962]
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)
