"""Where two small pictures differ once one is laid over the other: what tells a copy from a look-alike.

Two goods on one backdrop have most of a picture in common, and so have a photo and its copy with a line of text over
it. What differs tells them apart, and it is looked at twice:

* *Pixels of another colour.* Text is thin, and the picture shows between its strokes; other goods differ over a patch.
  So their share counts, of the whole picture and of what it shows, and their share in the worst square.
* *The rest*, where the colours agree. There a copy has the same fine structure everywhere, whatever was written over
  other places, while two garments of one colour have folds of their own. So the worst place counts.

Pixels are compared after an affine map and a change of light and colour. This change is fitted to most of the picture,
not to all of it, so that what was added does not pull the rest, and its tint is small, so that it does not turn blue
goods into green ones.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, Float32Array, FloatArray
from rope.curation.dedup.registration import IDENTITY, register, warped

__all__ = ["MIN_CONTRAST", "Agreement", "compare", "grey"]

MIN_CONTRAST: Final = 2 / 255
"""Smallest standard deviation of brightness: below two grey levels it is noise of the encoder."""

_COARSE: Final = 16
_MIDDLE: Final = 32
_STEPS: Final = (8, 4, 3)
"""Of the registration, at 16, at 32 and at all pixels of a side."""

_MIN_COARSE: Final = 0.6
"""Smallest correlation at 16 x 16; a black bar over pale goods leaves no more."""

_MIDDLE_SLACK: Final = 0.2
"""How much more of a picture may differ at 32 x 32, where the map is still rough."""

_SQUARES: Final = 5
"""A square whose side is this part of the picture's is thicker than two lines of text."""

_FITS: Final = 4
_RIDGE: Final = 0.05
"""Holds the tint near none: the variance, of a range of 1, that has to speak for another."""

_GAIN_RIDGE: Final = 0.003
"""Holds the gain near 1, in the same way."""

_LARGEST_TINT: Final = 0.25
"""How far the change of colour may be from one gain for all colours (Frobenius norm): saturation by a quarter."""

_LARGEST_GAIN: Final = 2.0

_LARGEST_CAST: Final = 0.12
"""How far what black becomes may be from grey: a tint changes light colours, and leaves black nearly black."""

_OUTLIER: Final = 0.06
"""A difference of colour from which on a pixel counts little in the fit."""

_DARKEST: Final = 0.03
_BRIGHTEST: Final = 0.97
"""Colours at these ends of the range may have been cut off there, and lain beyond."""

_AROUND: Final = 7
_SHOWN: Final = 0.025
"""Standard deviation of brightness in the 7 x 7 pixels around one, above which it shows something: six grey levels."""

_NEAR: Final = 5
"""Side of the surroundings that are compared: with 7 pixels, few of them are free of the strokes of a watermark."""

_STRUCTURED: Final = 0.01
"""Standard deviation in both pictures, above which surroundings can be compared: two and a half grey levels."""

_MOST_HIDDEN: Final = 0.6
"""Share of the pixels around one that may be of another colour, beyond which its surroundings are not compared."""

_MIN_STRUCTURED: Final = 0.3
"""Share of the pixels of a square whose surroundings have to be compared for the square to count."""

_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)

Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the second picture of each pair, laid over the first, differs from it; float64 [pairs] each.

    Attributes:
        differing: share of the pixels of another colour.
        shown: the same, of the pixels that differ or where either picture shows something, as a plain ground does not.
        patch: the same in the worst square of a fifth of the side.
        structure: correlation of the surroundings of a pixel, where the colours agree, averaged over the square of a
            fifth of the side in which it is lowest; 0 where there is nothing to compare.
        overlap: share of the first picture that the second covers.
    """

    differing: FloatArray
    shown: FloatArray
    patch: FloatArray
    structure: FloatArray
    overlap: FloatArray


def compare(first: Thumbnails, second: Thumbnails, gap: float, most: float) -> Agreement:
    """Lay each second picture over the first one of its pair, and say where they differ.

    A pair of which more than `most` differs is not looked at further: it has the values of two pictures that have
    nothing in common.

    Args:
        first: uint8 [pairs, side, side, 3], with a side of 32 or a multiple.
        second: the same.
        gap: difference in a colour, a share of its range, above which a pixel differs.
        most: the largest `differing` of interest.
    """
    n = len(first)
    found = np.tile(np.array([[1.0], [1.0], [1.0], [0.0], [0.0]]), (1, n))
    mine, theirs = (_by_colour(some) for some in (first, second))
    at, maps = _alike(mine, theirs, gap, most)
    if len(at):
        maps = register(_brightness(mine[at]), _brightness(theirs[at]), maps, iterations=_STEPS[2])
        found[:, at] = _differences(mine[at], theirs[at], maps, gap, most)
    return Agreement(*found)


def _by_colour(pictures: Thumbnails) -> Float32Array:
    """[pairs, colours, side, side], from 0 to 1."""
    return np.ascontiguousarray(np.moveaxis(pictures, 3, 1), np.float32) / np.float32(255)


def _brightness(pictures: Float32Array) -> Float32Array:
    """[pairs, side, side] of [pairs, colours, side, side]."""
    n, colours, side, _ = pictures.shape
    return (_GREY @ pictures.reshape(n, colours, side * side)).reshape(n, side, side)


def _alike(
    mine: Float32Array, theirs: Float32Array, gap: float, most: float
) -> tuple[npt.NDArray[np.int64], Float32Array]:
    """The pairs that are alike at 16 x 16 and at 32 x 32, and the maps that lay one over the other."""
    n = len(mine)
    a, b = (_shrunk(_brightness(some), _COARSE) for some in (mine, theirs))
    maps = register(a, b, np.array(np.broadcast_to(IDENTITY, (n, 2, 3))), iterations=_STEPS[0])
    over, inside = warped(b, maps)
    at = np.flatnonzero(_correlation(a.reshape(n, -1), over, inside.astype(np.float64)) >= _MIN_COARSE)
    if not len(at):
        return at, maps[at]
    small = [_shrunk(some[at], _MIDDLE) for some in (mine, theirs)]
    maps = register(_brightness(small[0]), _brightness(small[1]), maps[at], iterations=_STEPS[1])
    over, inside = warped(small[1], maps)
    differs = (_colour_gap(small[0].reshape(over.shape), over, inside) > gap) & inside
    fits = differs.sum(axis=1) <= (most + _MIDDLE_SLACK) * inside.sum(axis=1)
    return at[fits], maps[fits]


def _differences(
    mine: Float32Array, theirs: Float32Array, maps: Float32Array, gap: float, most: float
) -> npt.NDArray[np.float64]:
    """The fields of `Agreement` under known maps; float64 [5, pairs]."""
    n, side = len(mine), mine.shape[-1]
    over, inside = warped(theirs, maps)
    differs = ((_colour_gap(mine.reshape(over.shape), over, inside) > gap) & inside).reshape(n, side, side)
    covered = inside.sum(axis=1)
    found = np.stack([np.ones(n), np.ones(n), np.ones(n), np.zeros(n), inside.mean(axis=1)])
    found[0] = differs.sum(axis=(1, 2)) / np.maximum(covered, 1)
    square = side // _SQUARES
    found[2] = _box_sums(differs.astype(np.float64), square).max(axis=(1, 2)) / square**2
    at = np.flatnonzero(found[0] <= most)
    if len(at):
        a, b = (np.asarray(_brightness(some[at]), np.float64) for some in (mine, over.reshape(mine.shape)))
        covers, differs = inside.reshape(differs.shape)[at], differs[at]
        shows = (np.maximum(_deviation(a), _deviation(b)) > _SHOWN) & covers
        found[1, at] = differs.sum(axis=(1, 2)) / np.maximum((differs | shows).sum(axis=(1, 2)), 1)
        found[3, at] = _structure(a, b, covers & ~_widened(differs))
    return found


def _colour_gap(mine: Float32Array, theirs: Float32Array, inside: BoolArray) -> FloatArray:
    """Largest difference of a colour at each pixel, after the linear change that explains most pixels; [pairs, pixels].

    Both pictures are [pairs, colours, pixels].

    Pixels that the change leaves far apart count ever less (Cauchy weights), so that neither other goods nor added text
    are explained away. A colour that may have been cut off at an end of its range differs only if it falls short of it.
    """
    first, second = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
    weight = inside.astype(np.float64)
    gap = np.zeros_like(weight)
    for _ in range(_FITS):
        share = (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9))[:, None]
        middles = [some @ share.transpose(0, 2, 1) for some in (first, second)]  # [pairs, colours, 1]
        x, y = second - middles[1], first - middles[0]
        weighted = x * share
        change = _change(weighted @ x.transpose(0, 2, 1), y @ weighted.transpose(0, 2, 1))
        black = middles[0] - change @ middles[1]
        level = black.mean(axis=1, keepdims=True)
        fitted = change @ second + level + np.clip(black - level, -_LARGEST_CAST, _LARGEST_CAST)
        gap = np.where(_is_cut_off(first, second, fitted), 0, np.abs(first - fitted)).max(axis=1)
        weight = inside / (1 + (gap / _OUTLIER) ** 2)
    return np.asarray(gap, np.float64)


def _change(variance: FloatArray, covariance: FloatArray) -> FloatArray:
    """The change of colour, [pairs, 3, 3]: one gain for all colours, and a small tint."""
    products = (np.trace(some, axis1=1, axis2=2) / 3 + _GAIN_RIDGE for some in (covariance, variance))
    gain = np.clip(np.divide(*products), 1 / _LARGEST_GAIN, _LARGEST_GAIN)[:, None, None] * np.eye(3)
    held = (covariance + _RIDGE * gain).transpose(0, 2, 1)  # of change @ variance = covariance; variance is symmetric
    tint = np.linalg.solve(variance + _RIDGE * np.eye(3), held).transpose(0, 2, 1) - gain
    size = np.linalg.norm(tint, axis=(1, 2), keepdims=True)
    return np.asarray(gain + tint * np.minimum(1, _LARGEST_TINT / np.maximum(size, 1e-9)), np.float64)


def _is_cut_off(mine: FloatArray, theirs: FloatArray, fitted: FloatArray) -> BoolArray:
    """Colours that differ because one picture ends where the other goes on; of the same shape."""
    above = (mine >= _BRIGHTEST) & (fitted >= mine) | (theirs >= _BRIGHTEST) & (mine >= fitted)
    below = (mine <= _DARKEST) & (fitted <= mine) | (theirs <= _DARKEST) & (mine <= fitted)
    return np.asarray(above | below, np.bool_)


def grey(thumbnails: Thumbnails) -> Float32Array:
    """Brightness from 0 to 1; float32, without the axis of colours."""
    return np.asarray(thumbnails @ _GREY / 255, np.float32)


def _shrunk(pictures: Float32Array, side: int) -> Float32Array:
    """Means over square cells of the last two axes."""
    cell = pictures.shape[-1] // side
    mean = np.repeat(np.eye(side, dtype=np.float32), cell, axis=1) / np.float32(cell)  # [side, old side]
    return np.asarray(mean @ pictures @ mean.T, np.float32)


def _widened(places: BoolArray) -> BoolArray:
    """The places and their eight neighbours."""
    return _around(places.astype(np.float64), 3) > 0.5


def _deviation(bright: FloatArray) -> FloatArray:
    """Standard deviation in the square around each pixel; [pairs, side, side]."""
    size = _AROUND**2
    mean = _around(bright, _AROUND, "edge") / size
    return np.asarray(np.sqrt(np.maximum(_around(bright**2, _AROUND, "edge") / size - mean**2, 0)), np.float64)


def _structure(a: FloatArray, b: FloatArray, counts: BoolArray) -> FloatArray:
    """The lowest mean correlation of surroundings in a square; [pairs].

    Args:
        a: brightness, float64 [pairs, side, side].
        b: that of the other picture.
        counts: bool [pairs, side, side]; pixels that are looked at, on their own and around others.
    """
    weight = counts.astype(np.float64)
    n = _around(weight, _NEAR)
    mean_a, mean_b, square_a, square_b, product = (
        _around(weight * some, _NEAR) / np.maximum(n, 1) for some in (a, b, a * a, b * b, a * b)
    )
    spread = [np.sqrt(np.maximum(square - mean**2, 0)) for square, mean in ((square_a, mean_a), (square_b, mean_b))]
    correlation = np.clip((product - mean_a * mean_b) / np.maximum(spread[0] * spread[1], 1e-9), -1, 1)
    structured = counts & (n >= (1 - _MOST_HIDDEN) * _NEAR**2) & (np.minimum(*spread) > _STRUCTURED)
    square = a.shape[1] // _SQUARES
    compared = _box_sums(structured.astype(np.float64), square)
    mean = _box_sums(correlation * structured, square) / np.maximum(compared, 1)
    enough = compared >= _MIN_STRUCTURED * square**2
    lowest = np.where(enough, mean, 1).min(axis=(1, 2))
    return np.asarray(np.where(enough.any(axis=(1, 2)), lowest, 0), np.float64)


def _around(pictures: FloatArray, side: int, mode: Literal["constant", "edge"] = "constant") -> FloatArray:
    """The sum over the square around each pixel; beyond the edge there is nothing, or the edge again."""
    margin = side // 2
    return _box_sums(np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)), mode), side)


def _box_sums(pictures: FloatArray, side: int) -> FloatArray:
    """The sum over every square of a side.

    >>> _box_sums(np.arange(6.0).reshape(1, 2, 3), 2).tolist()
    [[[8.0, 12.0]]]
    """
    sums = np.pad(pictures, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    high, low = sums[:, side:], sums[:, :-side]
    return np.asarray(high[..., side:] - high[..., :-side] - low[..., side:] + low[..., :-side], np.float64)


def _correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating], inside: FloatArray) -> FloatArray:
    """Of the pixels inside; 0 where either picture is constant there."""
    x, y = _centred(a, inside), _centred(b, inside)
    product = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.asarray(np.divide((x * y).sum(axis=1), product, out=np.zeros(len(x)), where=product > 1e-9), np.float64)


def _centred(a: npt.NDArray[np.floating], inside: FloatArray) -> FloatArray:
    mean = (a * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    return np.asarray((a - mean[:, None]) * inside, np.float64)
