"""Near-duplicate pictures: candidates by a coarse layout, each checked by laying one picture over the other.

A picture's signature is its 32 x 32 thumbnail in colour. Two signatures are copies when, after the best affine map and
change of brightness, their fine structure agrees and no part of them differs in colour. That finds copies that were
encoded again, scaled, cropped a little, brightened, darkened or mirrored, and tells them from other photos of the same
thing, in which the structure never falls on itself, and from packs of another flavour.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from threadpoolctl import threadpool_limits

from rope.arrays import BoolArray, Float32Array, IntArray
from rope.curation.dedup.neighbours import Method, near_pairs, near_pairs_between
from rope.curation.dedup.registration import IDENTITY, register, warped

__all__ = ["SIDE", "CopyPairs", "candidate_pairs", "copy_pairs", "layout", "score_pairs", "thumbnail"]

SIDE: Final = 32
"""Of a thumbnail."""

MIN_DETAIL: Final = 0.5**0.5
"""Smallest correlation of fine structure: one picture explains half of the variance of the other."""

MAX_COLOUR_GAP: Final = 0.1
"""Largest difference of colour, a share of its range, in the mean of a cell of 4 x 4 pixels after one change of
brightness for the whole picture: packs of two flavours have one structure and differ by more in some cell."""

MIN_OVERLAP: Final = 0.5
"""Smallest share of the first picture that the second covers."""

MIN_CONTRAST: Final = 2 / 255
"""Smallest standard deviation of fine structure: below two grey levels it is noise of the encoder."""

MIN_LAYOUT: Final = 0.8
"""Smallest cosine of two layouts that are worth a check."""

_COARSE: Final = 16
_LAYOUT: Final = 8
_BLUR: Final = 5
_PAIRS_AT_ONCE: Final = 1024

Thumbnails = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CopyPairs:
    """Pairs of pictures that are copies of one, ordered by `left`, then `right`.

    Attributes:
        left: int64 [m]; number of a picture.
        right: int64 [m]; number of another, above `left`.
        score: float64 [m]; correlation of the fine structure, rounded to 4 digits.
        mirrored: bool [m]; is one the mirror image of the other?
    """

    left: IntArray
    right: IntArray
    score: Scores
    mirrored: BoolArray


def thumbnail(image: Image.Image) -> Thumbnails:
    """The signature of a picture: uint8 [SIDE, SIDE, 3], upright, its sides scaled apart.

    >>> thumbnail(Image.new("RGB", (100, 50), (200, 10, 0)))[0, 0].tolist()
    [200, 10, 0]
    """
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.BOX), np.uint8)


def copy_pairs(thumbnails: Thumbnails, *, limit: int = 51, method: Method = "auto") -> CopyPairs:
    """All pairs of copies among some pictures.

    Args:
        thumbnails: uint8 [n, SIDE, SIDE, 3]; each once: collapse equal files first.
        limit: pictures of similar layout to check for each; more than the neighbours that make a hub of a picture, so
            that hubs show.
        method: of the search, as in `near_pairs`.
    """
    left, right, mirrored = candidate_pairs(thumbnails, limit=limit, method=method)
    score = score_pairs(thumbnails, left, right, mirrored)
    found = score > 0
    left, right, mirrored, score = left[found], right[found], mirrored[found], score[found]
    order = np.lexsort((-score, right, left))
    first = order[_is_first(left[order] * len(thumbnails) + right[order])]
    return CopyPairs(left[first], right[first], score[first], mirrored[first])


def candidate_pairs(
    thumbnails: Thumbnails, *, limit: int, method: Method = "auto"
) -> tuple[IntArray, IntArray, BoolArray]:
    """Pairs worth a check: `left`, `right` (above `left`) and whether `right` is to be mirrored.

    Pictures without any structure, such as a plain surface, are not candidates.
    """
    there = np.flatnonzero(layout(thumbnails).any(axis=1))
    plain = layout(thumbnails[there])
    straight = near_pairs(plain, MIN_LAYOUT, limit=limit, method=method)
    turned = near_pairs_between(plain, layout(thumbnails[there, :, ::-1]), MIN_LAYOUT, limit=limit, method=method)
    once = turned.left < turned.right  # a and mirrored b are alike as b and mirrored a are
    left = np.concatenate([straight.left, turned.left[once]])
    right = np.concatenate([straight.right, turned.right[once]])
    mirrored = np.arange(len(left)) >= len(straight.left)
    return there[left], there[right], mirrored


def layout(thumbnails: Thumbnails) -> Float32Array:
    """Colours on an 8 x 8 grid about their mean: float32 [n, 192], zero for a picture without structure.

    >>> layout(np.full((1, SIDE, SIDE, 3), 7, np.uint8)).any()
    np.False_
    """
    cell = SIDE // _LAYOUT
    cells = thumbnails.reshape(-1, _LAYOUT, cell, _LAYOUT, cell, 3).astype(np.float32).mean(axis=(2, 4))
    centred = cells.reshape(-1, _LAYOUT * _LAYOUT, 3)
    centred = centred - centred.mean(axis=1, keepdims=True)
    contrast = _grey(thumbnails).std(axis=(1, 2)) >= MIN_CONTRAST
    return np.asarray(centred.reshape(len(thumbnails), 3 * _LAYOUT * _LAYOUT) * contrast[:, None], np.float32)


def score_pairs(thumbnails: Thumbnails, left: IntArray, right: IntArray, mirrored: BoolArray) -> Scores:
    """Correlation of the fine structure of two pictures laid over each other, 0 where they are not copies.

    Args:
        thumbnails: uint8 [n, SIDE, SIDE, 3].
        left: int64 [m].
        right: int64 [m].
        mirrored: bool [m]; compare with the mirror image of `right`.

    Returns:
        float64 [m], rounded to 4 digits; each pair's depends on its two pictures alone.
    """
    parts = [np.empty(0)]
    with threadpool_limits(1, user_api="blas"):  # products this small wait for each other's threads
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            now = slice(start, start + _PAIRS_AT_ONCE)
            second = np.where(mirrored[now, None, None, None], thumbnails[right[now], :, ::-1], thumbnails[right[now]])
            parts.append(_scores(thumbnails[left[now]], second))
    return np.concatenate(parts)


def _scores(first: Thumbnails, second: Thumbnails) -> Scores:
    """As `score_pairs`, for pairs given as two arrays; a pair that fails the coarse fit is not fitted finely."""
    scores = np.zeros(len(first))
    a, b = _grey(first), _grey(second)
    start = np.broadcast_to(IDENTITY, (len(first), 2, 3))
    coarse_a, coarse_b = _halved(a), _halved(b)
    maps = register(coarse_a, coarse_b, np.array(start), iterations=8)
    fit = _correlation(coarse_a.reshape(len(a), _COARSE * _COARSE), *warped(coarse_b, maps))
    hopeful = np.flatnonzero(fit >= MIN_DETAIL)
    maps = register(a[hopeful], b[hopeful], maps[hopeful], iterations=4)
    scores[hopeful] = _agreement(first[hopeful], second[hopeful], maps)
    return scores


def _agreement(first: Thumbnails, second: Thumbnails, maps: Float32Array) -> Scores:
    """Correlation of fine structure under the maps, 0 where any measure is below its minimum."""
    a, b = _fine(_grey(first)), _fine(_grey(second))
    over, inside = warped(b, maps)
    here = np.asarray(a.reshape(len(a), SIDE * SIDE), np.float32)
    detail = np.round(_correlation(here, over, inside), 4)
    fits = (detail >= MIN_DETAIL) & (inside.mean(axis=1) >= MIN_OVERLAP)
    fits &= (_spread(here, inside) >= MIN_CONTRAST) & (_spread(over, inside) >= MIN_CONTRAST)
    fits &= _colour_gap(first, second, maps) <= MAX_COLOUR_GAP
    return np.where(fits, detail, 0.0)


def _colour_gap(first: Thumbnails, second: Thumbnails, maps: Float32Array) -> Scores:
    """Largest difference of colour over the cells of each pair, from 0 to 1."""
    shape = (len(first), SIDE * SIDE, 3)
    mine = first.reshape(shape).astype(np.float64) / 255
    channels = [warped(np.asarray(second[..., c] / 255, np.float32), maps) for c in range(3)]
    inside = channels[0][1][:, :, None]
    count = np.maximum(3 * inside.sum(axis=(1, 2), keepdims=True), 1)
    mine = (mine - (mine * inside).sum(axis=(1, 2), keepdims=True) / count) * inside
    theirs = np.stack([values for values, _ in channels], axis=2, dtype=np.float64)
    theirs = (theirs - (theirs * inside).sum(axis=(1, 2), keepdims=True) / count) * inside
    gain = (mine * theirs).sum(axis=(1, 2)) / np.maximum((theirs * theirs).sum(axis=(1, 2)), 1e-9)
    rest = mine - gain[:, None, None] * theirs
    cell = SIDE // _LAYOUT
    cells = rest.reshape(-1, _LAYOUT, cell, _LAYOUT, cell, 3).mean(axis=(2, 4))
    return np.asarray(np.abs(cells).max(axis=(1, 2, 3)), np.float64)


def _grey(thumbnails: Thumbnails) -> Float32Array:
    return np.asarray(thumbnails @ np.array([0.299, 0.587, 0.114], np.float32) / 255, np.float32)


def _halved(pictures: Float32Array) -> Float32Array:
    n = len(pictures)
    cells = pictures.reshape(n, _COARSE, SIDE // _COARSE, _COARSE, SIDE // _COARSE)
    return np.asarray(cells.mean(axis=(2, 4)), np.float32)


def _fine(pictures: Float32Array) -> Float32Array:
    """What a blur over 5 x 5 pixels takes away."""
    margin = _BLUR // 2
    padded = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_BLUR, _BLUR), axis=(1, 2))
    return np.asarray(pictures - windows.mean(axis=(3, 4)), np.float32)


def _correlation(a: Float32Array, b: Float32Array, inside: BoolArray) -> Scores:
    """Of the pixels inside; 0 where either picture is constant there."""
    x, y = _centred(a, inside), _centred(b, inside)
    product = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.asarray(np.divide((x * y).sum(axis=1), product, out=np.zeros(len(x)), where=product > 1e-9), np.float64)


def _spread(a: Float32Array, inside: BoolArray) -> Scores:
    centred = _centred(a, inside)
    return np.asarray(np.sqrt((centred * centred).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)), np.float64)


def _centred(a: Float32Array, inside: BoolArray) -> Scores:
    weight = inside.astype(np.float64)
    mean = (a * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
    return np.asarray((a - mean[:, None]) * weight, np.float64)


def _is_first(keys: IntArray) -> BoolArray:
    """Where sorted keys change."""
    return np.asarray(np.diff(keys, prepend=-1) != 0, np.bool_)
