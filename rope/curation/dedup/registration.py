"""Lay one small picture over another: the affine map and change of brightness that make them most alike.

Gauss-Newton on the squared difference (Lucas and Kanade, IJCAI 1981), for many pairs of pictures at once. Pixels that
stay far apart count ever less (Cauchy weights), so that text over one picture does not pull the map. Two copies of one
photo, cropped, scaled or brightened differently, end up pixel on pixel; two different photos do not, whatever the map.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, Float32Array

__all__ = ["IDENTITY", "register", "warped"]


IDENTITY: Final = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
"""Rows give x and y in the second picture from (x, y, 1) in the first; both run from -1 to 1 over a picture."""

_LARGEST_STEP: Final = 0.1
"""Of a coefficient in one iteration: a twentieth of the picture, within which its gradient tells something."""

_OUTLIER: Final = np.float32(0.1)
"""A difference of brightness from which on a pixel counts little."""

_LARGEST_CHANGE: Final = np.array([[0.15, 0.05, 0.15], [0.05, 0.15, 0.15]], np.float32)
"""Of each coefficient from the identity: what a crop by a seventh or a turn by three degrees needs. With more freedom
the map would lay one object over another, alike one on another ground, and these are not copies."""


def register(first: Float32Array, second: Float32Array, start: Float32Array, *, iterations: int) -> Float32Array:
    """The maps under which the second pictures match the first ones best, near the given maps.

    Args:
        first: float32 [pairs, side, side], from 0 to 1.
        second: float32 [pairs, side, side].
        start: float32 [pairs, 2, 3]; maps to begin with.
        iterations: steps to make.

    Returns:
        float32 [pairs, 2, 3].
    """
    grid = _grid(first.shape[1])  # [3, pixels]
    scale = first.shape[1] / 2  # a pixel is 1 / scale wide
    slope_y, slope_x = (np.asarray(slope * scale, np.float32) for slope in np.gradient(second, axis=(1, 2)))
    target = first.reshape(len(first), 1, grid.shape[1])
    ones = np.ones_like(target)
    maps, trust = start.copy(), None
    for _ in range(iterations):
        places, weights, inside = _places(maps, grid, first.shape[1])
        value, by_x, by_y = (_read(picture, places, weights) for picture in (second, slope_x, slope_y))
        if trust is None:
            trust = _trusted(value, target[:, 0], inside)
        rows = np.concatenate([by_x[:, None] * grid, by_y[:, None] * grid, -target, -ones], axis=1)
        step = _solved(rows, value, trust * inside)
        left = value + (step.astype(np.float32)[:, None] @ rows)[:, 0]
        trust = 1 / (1 + (left / _OUTLIER) ** 2)
        maps += np.clip(step[:, :6].reshape(-1, 2, 3), -_LARGEST_STEP, _LARGEST_STEP)
        maps = np.clip(maps, IDENTITY - _LARGEST_CHANGE, IDENTITY + _LARGEST_CHANGE)
    return maps


def warped(pictures: Float32Array, maps: Float32Array) -> tuple[Float32Array, BoolArray]:
    """The pictures read at the places that the maps name, and which places lie inside; both [pairs, side * side].

    Pictures in colour, [pairs, colours, side, side], give [pairs, colours, side * side].

    >>> picture = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    >>> values, inside = warped(picture, IDENTITY[None])
    >>> values.round(3).tolist(), bool(inside.all())
    ([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]], True)
    """
    side = pictures.shape[-1]
    places, weights, inside = _places(maps, _grid(side), side)
    if pictures.ndim == 3:
        return _read(pictures, places, weights), inside
    colours = [_read(pictures[:, colour], places, weights) for colour in range(pictures.shape[1])]
    return np.stack(colours, axis=1), inside


def _grid(side: int) -> Float32Array:
    """x, y and 1 at the centre of each pixel; [3, side * side]."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x.ravel(), y.ravel(), np.ones(side * side, np.float32)])


def _places(
    maps: Float32Array, grid: Float32Array, side: int
) -> tuple[npt.NDArray[np.int64], tuple[Float32Array, Float32Array], BoolArray]:
    """The upper left neighbour of each place, counted over all pictures, the distances from it, and what is inside."""
    at = ((maps @ grid) + 1) * np.float32(side / 2) - np.float32(0.5)  # [pairs, 2, pixels], in pixels
    edge = np.float32(1e-3)  # the identity must not fall out by rounding
    inside = np.asarray(((at >= -edge) & (at <= side - 1 + edge)).all(axis=1), np.bool_)
    at = np.clip(at, 0, side - 1)
    whole = np.minimum(at.astype(np.int64), side - 2)
    part = at - whole.astype(np.float32)
    first = np.arange(len(maps))[:, None] * side**2
    return first + whole[:, 1] * side + whole[:, 0], (part[:, 0], part[:, 1]), inside


def _read(
    pictures: Float32Array, places: npt.NDArray[np.int64], weights: tuple[Float32Array, Float32Array]
) -> Float32Array:
    """Bilinear values at places; [pairs, pixels]."""
    side = pictures.shape[2]
    flat = pictures.ravel()
    right, down = weights
    upper = _mixed(flat, places, right)
    lower = _mixed(flat, places + side, right)
    return upper + (lower - upper) * down


def _mixed(flat: Float32Array, places: npt.NDArray[np.int64], right: Float32Array) -> Float32Array:
    here = flat.take(places)
    return here + (flat.take(places + 1) - here) * right


def _trusted(value: Float32Array, target: Float32Array, inside: BoolArray) -> Float32Array:
    """Weights of pixels after the change of brightness that explains most of them; [pairs, pixels]."""
    unlike = value - target  # to begin with, as if only the level had changed: a fit to all would follow what was added
    trust = inside / (1 + ((unlike - np.median(unlike, axis=1, keepdims=True)) / _OUTLIER) ** 2)
    for _ in range(3):
        share = trust / np.maximum(trust.sum(axis=1, keepdims=True), np.float32(1e-6))
        y, x = (some - (some * share).sum(axis=1, keepdims=True) for some in (value, target))
        gain = (x * y * share).sum(axis=1) / np.maximum((x * x * share).sum(axis=1), np.float32(1e-6))
        trust = inside / (1 + ((y - gain[:, None] * x) / _OUTLIER) ** 2)
    return np.asarray(trust, np.float32)


def _solved(rows: Float32Array, value: Float32Array, weight: Float32Array) -> npt.NDArray[np.float64]:
    """Weighted least squares of `value + step . rows = 0`, damped as flat pictures leave it open; [pairs, unknowns]."""
    weighted = rows * weight[:, None]
    normal = (weighted @ rows.transpose(0, 2, 1)).astype(np.float64)
    unknowns = rows.shape[1]
    damping = 1e-3 * np.trace(normal, axis1=1, axis2=2) / unknowns + 1e-6
    normal += damping[:, None, None] * np.diag([1.0] * 6 + [1e-3] * 2)
    right = -(weighted @ value[:, :, None]).astype(np.float64)
    return np.asarray(np.linalg.solve(normal, right)[:, :, 0], np.float64)
