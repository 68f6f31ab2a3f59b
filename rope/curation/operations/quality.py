"""What is cheap to know of a row's pictures and text: blur, darkness, shape, transparency, length and script."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from scipy.ndimage import uniform_filter1d

from rope.arrays import FloatArray
from rope.config import Count, check_record
from rope.curation.media_rows import decode_looked_at, media_rows, sample_in
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.curation.wide import new_column
from rope.errors import DatasetError
from rope.media import opaque_share

__all__ = ["QUALITY", "Quality", "blur_of", "measure_quality", "script_of"]

_SIDE: Final = 256
"""Pixels of the shorter side at which blur is measured, so that it does not depend on the size of a file."""

_WINDOW: Final = 11
"""Pixels of the blur that a picture is compared with, as in the paper."""

_DECIMALS: Final = 4

_SCRIPTS: Final = {
    "CJK": "han", "HIRAGANA": "kana", "KATAKANA": "kana", "HANGUL": "hangul", "LATIN": "latin",
    "CYRILLIC": "cyrillic", "ARABIC": "arabic", "THAI": "thai",
}  # fmt: skip
"""What Unicode's name of a letter begins with -> script."""

_KANA: Final = 0.05
"""Share of kana from which on a text is Japanese, most of whose letters may be han."""

_HAN: Final = 0.2
"""Share of han from which on a text is Chinese: a character stands for a word of several Latin letters."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Options of the operation `quality`.

    Attributes:
        frames: of a video or live clip, by the rule of `rope.media.choose_frames`; the median of theirs counts.
    """

    frames: Count = 4

    def __post_init__(self) -> None:
        check_record(self)


def measure_quality(batch: pa.RecordBatch, options: Quality) -> Outcome:
    """Add the measures, by which stages `filter` cut; rejects only `unreadable_media`.

    Columns: `blur`, from 0 (sharp) to 1, see `blur_of`; `brightness`, the mean luminance from 0 (black) to 1; `aspect`,
    the shorter side over the longer; `opaque`, the share of a picture that is not transparent; `text_length`,
    characters apart from spaces; `script`, see `script_of`.
    """
    measures: list[dict[str, float | None]] = []
    verdicts: list[Reject | None] = []
    rows = media_rows(batch)
    for row in rows:
        try:
            measures.append(_measures(row, options.frames))
            verdicts.append(None)
        except DatasetError as error:
            measures.append({})
            verdicts.append(Reject("unreadable_media", None, str(error)))
    texts = [row["text"] or "" for row in rows]
    columns = {name: pa.array([one.get(name) for one in measures], pa.float64()) for name in _MEASURES}
    columns["text_length"] = pa.array([len("".join(text.split())) for text in texts], pa.int64())
    columns["script"] = pa.array([script_of(text) for text in texts], pa.string())
    for name, column in columns.items():
        batch = new_column(batch, name, column, "quality")
    return divide(batch, verdicts)


_MEASURES: Final = ("blur", "brightness", "aspect", "opaque")


def _measures(row: Mapping[str, Any], n_frames: int) -> dict[str, float | None]:
    shown = decode_looked_at(row, n_frames)
    grey = [_grey(frame) for frame in shown]
    found = {
        "blur": float(np.median([blur_of(one) for one in grey])),
        "brightness": float(np.median([one.mean() for one in grey])),
        "aspect": float(np.median([min(one.shape[:2]) / max(one.shape[:2]) for one in shown])),
        "opaque": min((opaque_share(frame) for frame in sample_in(row).frames), default=1.0),
    }
    return {name: round(value, _DECIMALS) for name, value in found.items()}


def _grey(frame: npt.NDArray[np.uint8]) -> FloatArray:
    """Luminance from 0 to 1, float64 [height, width], with a shorter side of at most `_SIDE`."""
    image = Image.fromarray(frame).convert("L")
    scale = min(1.0, _SIDE / min(image.size))
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX)
    return np.asarray(image, np.float64) / 255


def blur_of(grey: FloatArray) -> float:
    """How blurred a picture is, from 0 to 1: how little of its differences between neighbours one more blur takes away.

    Of both directions the more blurred counts. A picture of one colour is 1. Source: Crete, Dolmiere, Ladret and
    Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual blur metric", 2007.

    Args:
        grey: float [height, width].

    >>> from scipy.ndimage import gaussian_filter
    >>> noise = np.random.default_rng(0).random((64, 64))
    >>> round(blur_of(noise), 2), round(blur_of(gaussian_filter(noise, 5)), 2), blur_of(noise * 0)
    (0.09, 0.78, 1.0)
    """
    found = []
    for axis in (0, 1):
        own = np.abs(np.diff(grey, axis=axis))
        blurred = np.abs(np.diff(uniform_filter1d(grey, _WINDOW, axis=axis, mode="nearest"), axis=axis))
        total = own.sum()
        found.append(1 - np.maximum(own - blurred, 0).sum() / total if total > 0 else 1.0)
    return float(max(found))


def script_of(text: str) -> str:
    """The script of a text: `han`, `kana`, `hangul`, `latin`, `cyrillic`, `arabic`, `thai`, `other`, or `none`.

    A text with 5 % kana is `kana`, however much han it has, and one with 20 % han is `han`, however long a Latin brand
    name is; else most letters decide. So Chinese, Japanese and Korean are told apart; languages of one script are not.

    >>> [script_of(text) for text in ("红色杯子 Nike", "赤いカップ", "빨간 컵", "a red cup", "12 ★")]
    ['han', 'kana', 'hangul', 'latin', 'none']
    """
    counts = Counter(script for script in map(_script, text) if script)
    if not counts:
        return "none"
    for script, share in (("kana", _KANA), ("han", _HAN)):
        if counts[script] >= share * counts.total():
            return script
    return max(counts, key=lambda script: (counts[script], script))


@lru_cache(maxsize=65_536)
def _script(character: str) -> str:
    """The script of a letter; empty for other characters."""
    if not character.isalpha():
        return ""
    return _SCRIPTS.get(unicodedata.name(character, "").partition(" ")[0], "other")


QUALITY: Final = MapOperation(version=1, options=Quality, apply=measure_quality)
