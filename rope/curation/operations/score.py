"""A number for every row from a model of somebody else's: how probable a watermark is, or nudity."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final, Literal, SupportsFloat

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.config import Count, check_record
from rope.curation.media_rows import decode_looked_at, media_rows
from rope.curation.operations.plugged import load_model
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.curation.wide import new_column
from rope.errors import DatasetError, UsageError

__all__ = ["SCORE", "ScoreFrames", "Scorer", "score_frames"]

Scorer = Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[float]]
"""From pictures, uint8 [height, width, 3] in RGB, to a number for each. An attribute `fingerprint`, any text, says when
it has changed."""

_REDUCE: Final[Mapping[str, Callable[[list[float]], float]]] = {"max": max, "min": min, "mean": fmean}


@dataclass(frozen=True, slots=True)
class ScoreFrames:
    """Options of the operation `score`.

    Attributes:
        model: `module:function`, a `Scorer`; a module is looked for in Python's path and in the current folder.
        column: what the number is called.
        frames: of a video or live clip, by the rule of `rope.media.choose_frames`.
        reduce: which number counts of those of several frames.
    """

    model: str
    column: str
    frames: Count = 4
    reduce: Literal["max", "min", "mean"] = "max"

    def __post_init__(self) -> None:
        check_record(self)


def score_frames(batch: pa.RecordBatch, options: ScoreFrames) -> Outcome:
    """Add the number of each row; rejects only `unreadable_media`.

    Raises:
        UsageError: the function does not exist, the rows have a column of this name, or it does not return a finite
            number for each picture.
    """
    scorer: Scorer = load_model(options.model, "score")
    values: list[float | None] = []
    verdicts: list[Reject | None] = []
    for row in media_rows(batch):
        try:
            values.append(_score(row, scorer, options))
            verdicts.append(None)
        except DatasetError as error:
            values.append(None)
            verdicts.append(Reject("unreadable_media", None, str(error)))
    return divide(new_column(batch, options.column, pa.array(values, pa.float64()), "score"), verdicts)


def _score(row: Mapping[str, Any], scorer: Scorer, options: ScoreFrames) -> float:
    shown = decode_looked_at(row, options.frames)
    found = [*scorer(shown)]
    if len(found) != len(shown) or not all(map(_is_finite, found)):
        raise UsageError(
            f"score: {options.model} returned {found} for {len(shown)} pictures of row {row['id']}; expected a finite "
            "number for each"
        )
    return float(_REDUCE[options.reduce]([float(one) for one in found]))


def _is_finite(value: object) -> bool:
    """Whether a value is a finite number, and no text of one."""
    return isinstance(value, SupportsFloat) and not isinstance(value, str | bytes) and math.isfinite(value)


SCORE: Final = MapOperation(
    version=1,
    options=ScoreFrames,
    apply=score_frames,
    fingerprint=lambda options: str(getattr(load_model(options.model, "score"), "fingerprint", "")),
)
