"""Student's t distribution from the standard library alone."""

import math
from functools import lru_cache

__all__ = ["t_quantile", "two_sided_p"]


def two_sided_p(t: float, degrees: float) -> float:
    """The probability that a Student variable is at least as far from zero as `t`.

    >>> round(two_sided_p(2.228139, 10), 6)
    0.05
    >>> two_sided_p(0.0, 3)
    1.0

    Raises:
        ValueError: `degrees` is not positive.
    """
    if not degrees > 0:
        raise ValueError(f"need more than 0 degrees of freedom, got {degrees}")
    square = t * t
    return _beta_cdf(degrees / 2, 0.5, degrees / (degrees + square), square / (degrees + square))


@lru_cache(maxsize=4096)
def t_quantile(tail: float, degrees: float) -> float:
    """The number that a Student variable exceeds with probability `tail`.

    >>> round(t_quantile(0.025, 10), 6), round(t_quantile(0.025, 1e9), 6)
    (2.228139, 1.959964)

    Raises:
        ValueError: `tail` is not above 0 and below 0.5, or `degrees` not positive.
    """
    if not 0 < tail < 0.5:
        raise ValueError(f"need a tail above 0 and below 0.5, got {tail}")
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    t = 0.0
    # Right of zero the tail is convex, so that Newton's steps from the left never pass the answer.
    for _ in range(200):
        density = math.exp(scale - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (two_sided_p(t, degrees) / 2 - tail) / density
        t += step
        if step <= 1e-13 * t:
            break
    return t


def _beta_cdf(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function; `rest` is 1 - x without its rounding.

    The continued fraction of DLMF 8.17.22, on the side where it converges fast.
    """
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(b, a, rest, x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest))
    value, numerator, denominator = 1.0, 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = denominator
    for m in range(1, 10_000):
        change = 1.0
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            denominator = 1 / (1 + term * denominator)
            numerator = 1 + term / numerator
            change = denominator * numerator
            value *= change
        if abs(change - 1) < 1e-15:
            break
    return front * value / a
