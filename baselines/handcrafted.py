"""A floor without weights: colour, edges, layout and hashed characters. No model should score below it.

Nothing is learned and nothing is known of the dataset, so what a model scores above this is its own.
"""

import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from rope.arrays import FloatArray
from rope.domain import Sample, may_be_text_alone
from rope.encoders.identity import fingerprint_of
from rope.media import decode_frames

__all__ = ["DIM", "Handcrafted", "embedder", "frame_features"]


_MAX_FRAMES: Final = 8
_SIDE: Final = 64
"""Frames are squeezed to a square of this many pixels a side."""

_COLOUR_BINS: Final = (4, 8, 8)
"""Bins of brightness, red-green and yellow-blue."""

_EDGE_CELLS: Final = 4
_EDGE_DIRECTIONS: Final = 9
_LAYOUT_CELLS: Final = 4
_TEXT_DIM: Final = 512
_NGRAMS: Final = (1, 2, 3)

# Round figures, not tuned: colour says most about a product, and where things are in the frame says least.
_WEIGHTS: Final = {"colour": 1.0, "balanced_colour": 1.0, "edges": 0.5, "layout": 0.3, "text": 1.0}

_N_COLOURS: Final = _COLOUR_BINS[0] * _COLOUR_BINS[1] * _COLOUR_BINS[2]
DIM: Final = 2 * _N_COLOURS + _EDGE_CELLS**2 * _EDGE_DIRECTIONS + 3 * _LAYOUT_CELLS**2 + _TEXT_DIM
"""Dimension of the embeddings."""

_NOTHING_SEEN: Final = {
    "colour": np.zeros(_N_COLOURS),
    "balanced_colour": np.zeros(_N_COLOURS),
    "edges": np.zeros(_EDGE_CELLS**2 * _EDGE_DIRECTIONS),
    "layout": np.zeros(3 * _LAYOUT_CELLS**2),
}
"""The blocks of a sample that is just a text, which only domains other than ROPE's have."""

_ROWS, _COLUMNS = np.mgrid[:_SIDE, :_SIDE]
_EDGE_CELL: Final = (_ROWS * _EDGE_CELLS // _SIDE) * _EDGE_CELLS + _COLUMNS * _EDGE_CELLS // _SIDE
"""[side, side]: the cell of the grid that each pixel lies in."""

_CENTRE: Final = np.exp(-np.square((np.stack([_ROWS, _COLUMNS]) + 0.5) / _SIDE - 0.5).sum(axis=0) / 0.18).ravel()
"""[side * side]: weight of each pixel; products tend to be in the middle."""


class Handcrafted:
    """Image and text statistics as an embedder; each sample is embedded alone, so batches change no bit.

    Attributes:
        name: `handcrafted`.
        fingerprint: changes with the code below and with that which decodes, see `fingerprint_of`.
    """

    name: str = "handcrafted"

    def __init__(self) -> None:
        self.fingerprint = fingerprint_of(self)

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples as float32 [n, DIM].

        Up to 8 frames are looked at, evenly spread. No row is zero, since every frame has colours, and so has every
        text its characters where a sample of a domain other than ROPE's has nothing else.

        Raises:
            DatasetError: a sample has nothing to look at, or a frame that cannot be decoded; names the sample.
        """
        return np.array([_embed(sample) for sample in samples], np.float32).reshape(len(samples), DIM)


def embedder() -> Handcrafted:
    """The embedder of `baselines:handcrafted`; it has no options."""
    return Handcrafted()


def _embed(sample: Sample) -> FloatArray:
    is_text_alone = bool(sample.text) and not sample.frames and sample.video is None
    blocks = dict(_NOTHING_SEEN) if is_text_alone and may_be_text_alone(sample.domain) else _look_at(sample)
    blocks["text"] = _text(sample.text or "")
    return np.concatenate([weight * _unit(blocks[name]) for name, weight in _WEIGHTS.items()])


def frame_features(sample: Sample) -> FloatArray:
    """The blocks of up to 8 frames side by side, each frame of length 1: [n_frames, dim]; none for just a text.

    Raises:
        DatasetError: a frame cannot be decoded; names the sample.
    """
    if not sample.frames and sample.video is None:
        return np.zeros((0, DIM - _TEXT_DIM))
    found = [
        _unit(np.concatenate([_WEIGHTS[name] * block for name, block in of_frame.items()]))
        for of_frame in _described(sample)
    ]
    return np.array(found)


def _look_at(sample: Sample) -> dict[str, FloatArray]:
    """The blocks of a sample's frames: the means over up to 8 of them."""
    described = _described(sample)
    return {name: np.mean([of_frame[name] for of_frame in described], axis=0) for name in described[0]}


def _described(sample: Sample) -> list[dict[str, FloatArray]]:
    frames = decode_frames(sample, min(_MAX_FRAMES, max(1, len(sample.frames))))
    return [_describe(_shrink(frame)) for frame in frames]


def _shrink(frame: npt.NDArray[np.uint8]) -> FloatArray:
    """[height, width, 3] of 0-255 to [side, side, 3] of 0-1."""
    image = Image.fromarray(frame).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(image, np.float64) / 255


def _describe(image: FloatArray) -> dict[str, FloatArray]:
    """The blocks of one frame [side, side, 3], each of length 1, or 0 where there is nothing to see."""
    balanced = _balance(image)
    return {
        "colour": _unit(_colours(image, gain=1.0)),
        "balanced_colour": _unit(_colours(balanced, gain=2.0)),
        "edges": _unit(_edges(image)),
        "layout": _unit(_layout(balanced)),
    }


def _unit(vector: FloatArray) -> FloatArray:
    norm = np.sqrt(np.square(vector).sum())
    return vector / norm if norm > 0 else vector


def _balance(image: FloatArray) -> FloatArray:
    """Scale the channels to the same mean, as if the scene were grey on average; undoes the tint of a light."""
    means = image.mean(axis=(0, 1))
    balanced: FloatArray = np.clip(image * (means.mean() / np.maximum(means, 1e-3)), 0, 1)
    return balanced


def _colours(image: FloatArray, gain: float) -> FloatArray:
    """Histogram [4 * 8 * 8] of opponent colours, as square roots, so that a dot product compares two of them.

    A pixel is shared among the eight bins around it, so that a small change of light moves little.

    Args:
        image: [side, side, 3] of 0-1.
        gain: stretches the two colour axes; pale photos use little of their range.
    """
    red, green, blue = image.reshape(-1, 3).T
    axes = ((red + green + blue) / 3, (red - green) * gain + 0.5, ((red + green) / 2 - blue) * gain + 0.5)
    lower, shares = [], []
    for values, n_bins in zip(axes, _COLOUR_BINS, strict=True):
        position = np.clip(values, 0, 1) * (n_bins - 1)
        floor = np.minimum(position.astype(np.intp), n_bins - 2)
        lower.append(floor)
        shares.append((1 - (position - floor), position - floor))
    histogram = np.zeros(_N_COLOURS)
    for corner in product((0, 1), repeat=3):
        bins = np.ravel_multi_index(tuple(low + step for low, step in zip(lower, corner, strict=True)), _COLOUR_BINS)
        weights = _CENTRE * shares[0][corner[0]] * shares[1][corner[1]] * shares[2][corner[2]]
        histogram += np.bincount(bins, weights, minlength=_N_COLOURS)
    return np.sqrt(histogram)


def _edges(image: FloatArray) -> FloatArray:
    """Strength of edges by direction (light-dark and dark-light alike) in each cell of a 4 x 4 grid, square roots."""
    down, right = np.gradient(np.sqrt(image.mean(axis=2)))
    direction = np.mod(np.arctan2(down, right), np.pi) / np.pi * _EDGE_DIRECTIONS
    lower = direction.astype(np.intp)
    strength, share = np.hypot(down, right), direction - lower
    n_bins = _EDGE_CELLS**2 * _EDGE_DIRECTIONS
    histogram = np.zeros(n_bins)
    for step, weights in ((0, strength * (1 - share)), (1, strength * share)):
        bins = _EDGE_CELL * _EDGE_DIRECTIONS + (lower + step) % _EDGE_DIRECTIONS
        histogram += np.bincount(bins.ravel(), weights.ravel(), minlength=n_bins)
    return np.sqrt(histogram)


def _layout(image: FloatArray) -> FloatArray:
    """A 4 x 4 thumbnail less its mean colour, as [48]."""
    cell = _SIDE // _LAYOUT_CELLS
    thumbnail = image.reshape(_LAYOUT_CELLS, cell, _LAYOUT_CELLS, cell, 3).mean(axis=(1, 3))
    centred: FloatArray = thumbnail - thumbnail.mean(axis=(0, 1))
    return centred.ravel()


def _text(text: str) -> FloatArray:
    """Character n-grams hashed to [512] with signs, so that collisions cancel on average; zeros for no text.

    Width, case and spacing are ignored. An n-gram found c times counts 1 + ln c.

    >>> bool(np.array_equal(_text("ＡＢ  c"), _text("ab C")))
    True
    >>> float(np.abs(_text("")).sum())
    0.0
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    counts = Counter(plain[i : i + n] for n in _NGRAMS for i in range(len(plain) - n + 1))
    vector = np.zeros(_TEXT_DIM)
    for ngram, count in counts.items():
        code = zlib.crc32(ngram.encode("utf-8", "surrogatepass"))
        vector[code % _TEXT_DIM] += (1 if code >> 31 else -1) * (1 + np.log(count))
    return vector
