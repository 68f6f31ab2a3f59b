"""Patterns printed on products: functions of the place on the product that say where the second colour goes."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray

__all__ = ["PATTERNS", "Pattern", "pattern_mask"]

Mask = npt.NDArray[np.bool_]
Pattern = Callable[[FloatArray, FloatArray], Mask]
"""(u, v), both [height, width] and counted in repeats of the pattern -> where the second colour is."""


def _plain(u: FloatArray, v: FloatArray) -> Mask:
    return np.zeros(u.shape, dtype=bool)


def _hoops(u: FloatArray, v: FloatArray) -> Mask:
    return v % 1.0 < 0.4


def _pinstripes(u: FloatArray, v: FloatArray) -> Mask:
    return u % 1.0 < 0.3


def _diagonals(u: FloatArray, v: FloatArray) -> Mask:
    return (u + v) % 1.0 < 0.45


def _dots(u: FloatArray, v: FloatArray) -> Mask:
    x, y = (u + 0.5 * np.floor(v)) % 1.0 - 0.5, v % 1.0 - 0.5
    inside: Mask = x**2 + y**2 < 0.3**2
    return inside


def _checks(u: FloatArray, v: FloatArray) -> Mask:
    inside: Mask = (np.floor(u) + np.floor(v)) % 2 == 0
    return inside


def _tartan(u: FloatArray, v: FloatArray) -> Mask:
    return (u % 1.0 < 0.22) | (v % 1.0 < 0.22)


def _zigzag(u: FloatArray, v: FloatArray) -> Mask:
    return (v + np.abs(u % 1.0 - 0.5)) % 1.0 < 0.4


def _waves(u: FloatArray, v: FloatArray) -> Mask:
    inside: Mask = (v + 0.25 * np.sin(2 * np.pi * u)) % 1.0 < 0.4
    return inside


def _flowers(u: FloatArray, v: FloatArray) -> Mask:
    x, y = (u + 0.5 * np.floor(v)) % 1.0 - 0.5, v % 1.0 - 0.5
    reach = 0.26 + 0.14 * np.cos(5 * np.arctan2(y, x))
    inside: Mask = x**2 + y**2 < reach**2
    return inside


def _halves(u: FloatArray, v: FloatArray) -> Mask:
    inside: Mask = v > (v.min() + v.max()) / 2
    return inside


PATTERNS: Final[dict[str, Pattern]] = {
    "plain": _plain,
    "hoops": _hoops,
    "pinstripes": _pinstripes,
    "diagonals": _diagonals,
    "dots": _dots,
    "checks": _checks,
    "tartan": _tartan,
    "zigzag": _zigzag,
    "waves": _waves,
    "flowers": _flowers,
    "halves": _halves,
}


def pattern_mask(name: str, side: int, period: float) -> Mask:
    """Where the second colour goes on a square of `side` pixels: bool [side, side].

    Args:
        name: a key of `PATTERNS`.
        side: pixels.
        period: repeats of the pattern across the square.

    >>> pattern_mask("hoops", 4, 2.0)[:, 0].tolist()
    [True, False, True, False]
    """
    place = np.arange(side) * (period / side)
    u, v = np.meshgrid(place, place)
    return PATTERNS[name](u, v)
