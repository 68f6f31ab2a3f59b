"""Where two small pictures differ once one is laid over the other: what tells a copy from a look-alike.

Two goods on one backdrop have most of a picture in common, and so have a photo and its copy with a line of text over
it. What differs tells them apart. Text is thin, and the picture shows between its strokes; other goods differ over a
patch of some size. So two numbers decide: the share of the pixels that differ, of those where either picture shows
anything, and the share of pixels of another colour in the worst square of a ninth of the side. A pixel differs by its
colour, or by what is around it: two garments of nearly one colour differ in folds and outline. Pixels are compared
after an affine map and a change of light and colour that is fitted to most of the picture, not to all of it, so that
what was added does not pull the rest, and that is small, so that it does not turn blue goods into green ones.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import Float32Array, FloatArray
from rope.curation.dedup.registration import IDENTITY, register, warped

__all__ = ["MIN_CONTRAST", "Agreement", "compare", "grey"]

MIN_CONTRAST: Final = 2 / 255
"""Smallest standard deviation of fine structure: below two grey levels it is noise of the encoder."""

_COARSE: Final = 16
_MIDDLE: Final = 32
_STEPS: Final = (8, 4, 3)
"""Of the registration, at 16, at 32 and at all pixels of a side."""

_MIN_COARSE: Final = 0.75
"""Smallest correlation at 16 x 16; of 1,151 pairs of copies 99 % reach 0.89."""

_PATCHES: Final = 9
"""A patch is a square whose side is this part of the picture's: thicker than a line of text."""

_BLUR: Final = 5
_FITS: Final = 4
_RIDGE: Final = 0.05
"""Holds the change of colour near none: the variance, of a range of 1, that has to speak for another."""

_LARGEST_TINT: Final = 0.25
"""How far the change of colour may be from one gain for all colours (Frobenius norm): saturation by a quarter."""

_LARGEST_GAIN: Final = 2.0

_AROUND: Final = 7
_SHOWN: Final = 0.025
"""Standard deviation of brightness in the 7 x 7 pixels around one, above which it shows something: six grey levels."""

_STRUCTURED: Final = 0.015
"""The same in both pictures, above which their surroundings can be compared: four grey levels."""

_MIN_LOCAL: Final = 0.4
"""Smallest correlation of such surroundings; below it the pixel differs."""

_OUTLIER: Final = 0.06
"""A difference of colour from which on a pixel counts little in the fit."""

_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)

Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the second picture of each pair, laid over the first, differs from it; float64 [pairs] each.

    Attributes:
        differing: share of the pixels that differ, in colour or in what is around them, of those that differ or where
            either picture shows something, as a plain ground does not; 1 of a pair that the coarse fit has ruled out.
        patch: share of the pixels that differ in colour inside the worst patch.
        detail: correlation of what is finer than a blur of 5 x 5 pixels.
        overlap: share of the first picture that the second covers.
        contrast: standard deviation of the fine structure, from 0 to 1, of the one that has less.
    """

    differing: FloatArray
    patch: FloatArray
    detail: FloatArray
    overlap: FloatArray
    contrast: FloatArray


def compare(first: Thumbnails, second: Thumbnails, gap: float) -> Agreement:
    """Lay each second picture over the first one of its pair, and say where they differ.

    Args:
        first: uint8 [pairs, side, side, 3], with a side of 32 or a multiple.
        second: the same.
        gap: difference in a colour, a share of its range, above which a pixel differs.
    """
    n = len(first)
    found = np.tile(np.array([[1.0], [1.0], [0.0], [0.0], [0.0]]), (1, n))
    a, b = grey(first), grey(second)
    start = np.array(np.broadcast_to(IDENTITY, (n, 2, 3)))
    small = _shrunk(a, _COARSE), _shrunk(b, _COARSE)
    maps = register(*small, start, iterations=_STEPS[0])
    over, inside = warped(small[1], maps)
    fits = _correlation(small[0].reshape(n, -1), over, inside.astype(np.float64)) >= _MIN_COARSE
    if fits.any():
        at = np.flatnonzero(fits)
        found[:, at] = _differences(first[at], second[at], _refined(a[at], b[at], maps[at]), gap)
    return Agreement(*found)


def _refined(a: Float32Array, b: Float32Array, maps: Float32Array) -> Float32Array:
    maps = register(_shrunk(a, _MIDDLE), _shrunk(b, _MIDDLE), maps, iterations=_STEPS[1])
    return register(a, b, maps, iterations=_STEPS[2])


def _differences(first: Thumbnails, second: Thumbnails, maps: Float32Array, gap: float) -> npt.NDArray[np.float64]:
    """The fields of `Agreement` under known maps; float64 [5, pairs]."""
    n, side = first.shape[:2]
    layers = [warped(np.asarray(second[..., c] / 255, np.float32), maps) for c in range(3)]
    inside = layers[0][1].astype(np.float64)  # [pairs, pixels]
    theirs = np.stack([values for values, _ in layers], axis=2, dtype=np.float64)  # [pairs, pixels, 3]
    mine = first.reshape(n, side * side, 3) / 255.0
    bright = mine @ _GREY, theirs @ _GREY
    fine = _fine(bright[0], side), _fine(bright[1], side)
    coloured = (_colour_gap(mine, theirs, inside) > gap) & (inside > 0)
    deviations, local = _surroundings(*bright, side)
    differs = coloured | ((local < _MIN_LOCAL) & (np.minimum(*deviations) > _STRUCTURED) & (inside > 0))
    shows = (np.maximum(*deviations) > _SHOWN) & (inside > 0)
    square = side // _PATCHES
    patch = _box_sums(coloured.reshape(n, side, side).astype(np.float64), square).max(axis=(1, 2)) / square**2
    covered = inside.sum(axis=1)
    spread = [np.sqrt((_centred(one, inside) ** 2).sum(axis=1) / np.maximum(covered, 1)) for one in fine]
    detail = _correlation(fine[0], fine[1], inside)
    return np.stack(
        [
            differs.sum(axis=1) / np.maximum((differs | shows).sum(axis=1), 1),
            patch,
            detail,
            inside.mean(axis=1),
            np.minimum(*spread),
        ]
    )


def _colour_gap(mine: FloatArray, theirs: FloatArray, inside: FloatArray) -> FloatArray:
    """Largest difference of a colour at each pixel, after the linear change that explains most pixels; [pairs, pixels].

    A ridge holds the change near none, and pixels that it leaves far apart count ever less (Cauchy weights), so that
    neither other goods nor added text are explained away.
    """
    ridge = _RIDGE * np.eye(3)
    weight = inside
    gap = np.zeros_like(inside)
    for _ in range(_FITS):
        share = (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9))[..., None]
        x = theirs - (theirs * share).sum(axis=1, keepdims=True)
        y = mine - (mine * share).sum(axis=1, keepdims=True)
        weighted = (x * share).transpose(0, 2, 1)
        change = _held(np.linalg.solve(weighted @ x + ridge, weighted @ y + ridge))
        gap = np.abs(y - x @ change).max(axis=2)
        weight = inside / (1 + (gap / _OUTLIER) ** 2)
    return np.asarray(gap, np.float64)


def _held(change: FloatArray) -> FloatArray:
    """A change of colour, [pairs, 3, 3], held near one gain for all colours."""
    gain = np.clip(np.trace(change, axis1=1, axis2=2) / 3, 1 / _LARGEST_GAIN, _LARGEST_GAIN)[:, None, None] * np.eye(3)
    tint = change - gain
    size = np.linalg.norm(tint, axis=(1, 2), keepdims=True)
    return np.asarray(gain + tint * np.minimum(1, _LARGEST_TINT / np.maximum(size, 1e-9)), np.float64)


def grey(thumbnails: Thumbnails) -> Float32Array:
    """Brightness from 0 to 1; float32, without the axis of colours."""
    return np.asarray(thumbnails @ _GREY / 255, np.float32)


def _shrunk(pictures: Float32Array, side: int) -> Float32Array:
    cell = pictures.shape[1] // side
    cells = pictures.reshape(len(pictures), side, cell, side, cell)
    return np.asarray(cells.mean(axis=(2, 4)), np.float32)


def _fine(flat: FloatArray, side: int) -> FloatArray:
    """What a blur over 5 x 5 pixels takes away; [pairs, pixels]."""
    margin = _BLUR // 2
    pictures = flat.reshape(len(flat), side, side)
    padded = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    return np.asarray((pictures - _box_sums(padded, _BLUR) / _BLUR**2).reshape(flat.shape), np.float64)


def _surroundings(a: FloatArray, b: FloatArray, side: int) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
    """Standard deviations of two pictures in the square around each pixel, and their correlation there."""
    margin = _AROUND // 2
    edges = ((0, 0), (margin, margin), (margin, margin))
    x, y = (np.pad(flat.reshape(len(flat), side, side), edges, mode="edge") for flat in (a, b))
    mean_x, mean_y, square_x, square_y, product = (
        _box_sums(some, _AROUND).reshape(a.shape) / _AROUND**2 for some in (x, y, x * x, y * y, x * y)
    )
    deviations = np.sqrt(np.maximum(square_x - mean_x**2, 0)), np.sqrt(np.maximum(square_y - mean_y**2, 0))
    return deviations, (product - mean_x * mean_y) / np.maximum(deviations[0] * deviations[1], 1e-9)


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
