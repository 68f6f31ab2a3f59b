"""Copies of pictures: encoded again, scaled, cropped by some per cent, mirrored, recoloured, with text put over them.

A picture's signature is a thumbnail, 12 KB. Colours on an 8 x 8 grid find candidates, mirrored ones too; each is laid
over the other and the two are compared pixel by pixel, see `rope.curation.dedup.agreement`. A pair is compared both
ways and the better one counts, so that no score depends on which picture comes first. Two pictures that both are copies
of a third may differ more: each may have text, or a crop, of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from scipy.sparse import coo_matrix, triu
from threadpoolctl import threadpool_limits

from rope.arrays import BoolArray, Float32Array, FloatArray, IntArray
from rope.config import Count, Fraction, NumberRange, PositiveFraction, check_record
from rope.curation.dedup.agreement import MIN_CONTRAST, Agreement, compare, grey
from rope.curation.dedup.measured_search import SearchNote, SearchRules, measured_near_pairs

__all__ = ["SIDE", "CopyPairs", "CopyRules", "candidate_pairs", "copy_pairs", "layout", "score_pairs", "thumbnail"]

SIDE: Final = 64
"""Of a thumbnail."""

_LAYOUT: Final = 8
_PAIRS_AT_ONCE: Final = 128
_LAYOUTS_AT_ONCE: Final = 1024

Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CopyRules:
    """When two pictures are copies. The defaults were chosen by cross-validation: docs/curation-merging.md.

    Attributes:
        layout: smallest cosine of the colours on an 8 x 8 grid; other pairs are not compared.
        candidates: pictures of similar layout to compare each with, the nearest; more than the neighbours that make a
            hub of a picture, so that hubs show.
        gap: difference of a pixel in a colour, a share of its range, above which it differs.
        differing: largest share of the pixels that differ.
        shown: largest share of them among the pixels that differ or where either picture shows something.
        patch: largest share of them in any square of a fifth of the side.
        structure: smallest correlation of fine structure where the colours agree, in any square of a fifth of the side.
        overlap: smallest share of one picture that the other covers.
        between: how many times looser the limits are for two pictures that both are copies of a third, since what was
            done to one and what was done to the other add up; 1 for the same limits.

    Raises:
        UsageError: a number is out of range.
    """

    layout: PositiveFraction = 0.6
    candidates: Count = 51
    gap: PositiveFraction = 0.1
    differing: Fraction = 0.12
    shown: Fraction = 0.22
    patch: Fraction = 0.8
    structure: Fraction = 0.65
    overlap: Fraction = 0.5
    between: Annotated[float, NumberRange(1)] = 2.0

    def __post_init__(self) -> None:
        check_record(self)

    def between_copies(self) -> "CopyRules":
        """The rules for two pictures that are copies of a third."""
        return replace(
            self,
            differing=min(1.0, self.between * self.differing),
            shown=min(1.0, self.between * self.shown),
            patch=min(1.0, self.between * self.patch),
            structure=max(0.0, 1 - self.between * (1 - self.structure)),
        )


_DEFAULT: Final = CopyRules()
_SEARCH: Final = SearchRules()


@dataclass(frozen=True, slots=True)
class CopyPairs:
    """Pairs of pictures that are copies of one, ordered by `left`, then `right`.

    Attributes:
        left: int64 [m]; number of a picture.
        right: int64 [m]; number of another, above `left`.
        score: float64 [m]; share of the pixels that agree, rounded to 4 digits.
        mirrored: bool [m]; is one the mirror image of the other?
        searches: `copies` and `mirrored copies` -> how well candidates were searched.
    """

    left: IntArray
    right: IntArray
    score: FloatArray
    mirrored: BoolArray
    searches: Mapping[str, SearchNote] = field(default_factory=dict)


def thumbnail(image: Image.Image) -> Thumbnails:
    """The signature of a picture: uint8 [SIDE, SIDE, 3], upright, its sides scaled apart.

    >>> thumbnail(Image.new("RGB", (100, 50), (200, 10, 0)))[0, 0].tolist()
    [200, 10, 0]
    """
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.BOX), np.uint8)


def copy_pairs(thumbnails: Thumbnails, rules: CopyRules = _DEFAULT, search: SearchRules = _SEARCH) -> CopyPairs:
    """All pairs of copies among some pictures. Another order of the pictures gives the same pairs.

    Args:
        thumbnails: uint8 [n, SIDE, SIDE, 3]; each once: collapse equal files first.
        rules: when two are copies.
        search: how candidates are searched.

    Raises:
        DatasetError: an index has found too few of the candidates.
    """
    first, of = _by_content(thumbnails)
    candidates = candidate_pairs(layout(thumbnails)[first], rules, search)
    left, right, mirrored = candidates.left, candidates.right, candidates.mirrored
    several = np.flatnonzero(np.bincount(of, minlength=len(first)) > 1)
    left, right = np.concatenate([left, several]), np.concatenate([right, several])
    mirrored = np.concatenate([mirrored, np.zeros(len(several), np.bool_)])
    score = score_pairs(thumbnails, first[left], first[right], mirrored, rules)
    found = score > 0
    left, right, mirrored, score = left[found], right[found], mirrored[found], score[found]
    more = _with_a_copy_in_common(len(first), left, right, mirrored, rules.candidates)
    score_of_more = score_pairs(thumbnails, first[more[0]], first[more[1]], more[2], rules.between_copies())
    left, right, mirrored, score = (
        np.concatenate(parts) for parts in zip((left, right, mirrored, score), (*more, score_of_more), strict=True)
    )
    order = np.lexsort((mirrored, -score, right, left))
    order = order[score[order] > 0]
    best = order[_is_first(left[order] * len(first) + right[order])]
    pairs = _of_pictures(of, left[best], right[best], score[best], mirrored[best], rules.candidates)
    return replace(pairs, searches=candidates.searches)


def _with_a_copy_in_common(
    n: int, left: IntArray, right: IntArray, mirrored: BoolArray, most: int
) -> tuple[IntArray, IntArray, BoolArray]:
    """The pairs that were not found, though both are copies of a third picture, and whether one is mirrored.

    A picture with more than `most` copies says nothing of its copies, as it may be a hub.
    """
    apart = left != right
    ends = np.concatenate([left[apart], right[apart]]), np.concatenate([right[apart], left[apart]])
    turned = np.concatenate([mirrored[apart]] * 2)
    telling = np.bincount(ends[0], minlength=n)[ends[0]] <= most
    same, other = (
        coo_matrix((np.ones(some.sum(), np.int64), (ends[0][some], ends[1][some])), shape=(n, n)).tocsr()
        for some in (telling & ~turned, telling & turned)
    )
    known = left * n + right
    found = []
    for is_mirrored, paths in ((False, same.T @ same + other.T @ other), (True, same.T @ other + other.T @ same)):
        a, b = triu(paths, 1).nonzero()
        is_new = ~np.isin(a.astype(np.int64) * n + b, known)
        found.append(np.stack([a[is_new], b[is_new], np.full(is_new.sum(), is_mirrored)]).astype(np.int64))
    low, high, is_turned = np.concatenate(found, axis=1)
    return low, high, is_turned.astype(np.bool_)


def _by_content(thumbnails: Thumbnails) -> tuple[IntArray, IntArray]:
    """The first picture of each content, in the order of their hashes, and which of these contents each picture has.

    The search takes the nearest few, and of equally near ones those that come first: in this order, which pictures
    these are does not depend on their names or rows.
    """
    hashes = np.array([sha256(one.tobytes()).digest() for one in thumbnails], "V32")
    _, first, of = np.unique(hashes, return_index=True, return_inverse=True)
    return first.astype(np.int64), of.astype(np.int64)


def _of_pictures(
    of: IntArray, left: IntArray, right: IntArray, score: FloatArray, mirrored: BoolArray, most: int
) -> CopyPairs:
    """Pairs of contents as pairs of pictures.

    Of a content that more than `most` pictures have, each picture is paired with `most` others that have it, and the
    first `most` with those that have another one: enough to show that all of them are hubs.
    """
    members = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of, minlength=1))[:-1])
    parts = [np.empty((3, 0), np.int64)]
    for pair, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        mine, theirs = members[one], members[other]
        if one == other:
            steps = np.arange(1, min(most, len(mine) - 1) + 1)
            a, b = np.repeat(np.arange(len(mine)), len(steps)), np.tile(steps, len(mine))
            ends = mine[a], mine[(a + b) % len(mine)]
        else:
            ends = tuple(grid.ravel() for grid in np.meshgrid(mine[:most], theirs[:most]))
        parts.append(np.stack([np.minimum(*ends), np.maximum(*ends), np.full(len(ends[0]), pair)]))
    low, high, pair_of = np.unique(np.concatenate(parts, axis=1), axis=1)
    return CopyPairs(low, high, score[pair_of], mirrored[pair_of])


def candidate_pairs(layouts: Float32Array, rules: CopyRules = _DEFAULT, search: SearchRules = _SEARCH) -> CopyPairs:
    """Pairs worth a check; their score is 0 yet, and two pictures may be there straight and mirrored.

    Args:
        layouts: float32 [n, 192]; those of pictures without any structure, such as a plain surface, are zero, and these
            are not candidates.
        rules: how alike two have to be, and how many are taken of each.
        search: how candidates are searched.

    Raises:
        DatasetError: an index has found too few of the candidates.
    """
    there = np.flatnonzero(layouts.any(axis=1))
    plain, limit = layouts[there], rules.candidates
    turned = plain.reshape(-1, _LAYOUT, _LAYOUT, 3)[:, :, ::-1].reshape(plain.shape)
    same, straight = measured_near_pairs(plain, rules.layout, search, limit=limit, of_nearest=True)
    across, reflected = measured_near_pairs(plain, rules.layout, search, limit=limit, second=turned, of_nearest=True)
    ends = np.stack([np.concatenate([same.left, across.left]), np.concatenate([same.right, across.right])])
    is_turned = np.arange(ends.shape[1]) >= len(same.left)
    low, high = np.sort(there[ends], axis=0)
    rows = np.unique(np.stack([low, high, is_turned])[:, low < high], axis=1)  # a and b mirrored, as b and a mirrored
    searches = {"copies": straight, "mirrored copies": reflected}
    return CopyPairs(rows[0], rows[1], np.zeros(rows.shape[1]), rows[2].astype(np.bool_), searches)


def layout(thumbnails: Thumbnails) -> Float32Array:
    """Colours on an 8 x 8 grid about their mean: float32 [n, 192], zero for a picture without structure.

    >>> layout(np.full((1, SIDE, SIDE, 3), 7, np.uint8)).any()
    np.False_
    """
    parts = [np.empty((0, 3 * _LAYOUT**2), np.float32)]
    for start in range(0, len(thumbnails), _LAYOUTS_AT_ONCE):
        some = thumbnails[start : start + _LAYOUTS_AT_ONCE]
        cell = SIDE // _LAYOUT
        cells = some.reshape(-1, _LAYOUT, cell, _LAYOUT, cell, 3).astype(np.float32).mean(axis=(2, 4))
        centred = cells.reshape(-1, _LAYOUT**2, 3)
        centred = centred - centred.mean(axis=1, keepdims=True)
        contrast = grey(some).std(axis=(1, 2)) >= MIN_CONTRAST
        parts.append(np.asarray(centred.reshape(len(some), -1) * contrast[:, None], np.float32))
    return np.concatenate(parts)


def score_pairs(
    thumbnails: Thumbnails, left: IntArray, right: IntArray, mirrored: BoolArray, rules: CopyRules = _DEFAULT
) -> FloatArray:
    """Share of the pixels in which two pictures agree, laid over each other; 0 where they are not copies.

    Exactly the same with `left` and `right` exchanged: each pair is compared both ways, and the better one counts.

    Args:
        thumbnails: uint8 [n, SIDE, SIDE, 3].
        left: int64 [m].
        right: int64 [m].
        mirrored: bool [m]; compare with the mirror image of the other.
        rules: when two are copies.

    Returns:
        float64 [m], rounded to 4 digits; each pair's depends on its two pictures alone.
    """
    parts = [np.empty(0)]
    with threadpool_limits(1, user_api="blas"):  # products this small wait for each other's threads
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            now = slice(start, start + _PAIRS_AT_ONCE)
            ways = (left[now], right[now]), (right[now], left[now])
            scores = [_score(_compared(thumbnails, *way, mirrored[now], rules), rules) for way in ways]
            parts.append(np.maximum(*scores))
    return np.concatenate(parts)


def _compared(thumbnails: Thumbnails, a: IntArray, b: IntArray, mirrored: BoolArray, rules: CopyRules) -> Agreement:
    second = np.where(mirrored[:, None, None, None], thumbnails[b, :, ::-1], thumbnails[b])
    return compare(thumbnails[a], second, rules.gap, rules.differing)


def _score(found: Agreement, rules: CopyRules) -> FloatArray:
    fits = (found.differing <= rules.differing) & (found.shown <= rules.shown) & (found.patch <= rules.patch)
    fits &= (found.structure >= rules.structure) & (found.overlap >= rules.overlap)
    return np.where(fits, np.round(1 - found.differing, 4), 0.0)


def _is_first(keys: IntArray) -> BoolArray:
    """Where sorted keys change."""
    return np.asarray(np.diff(keys, prepend=-1) != 0, np.bool_)
