"""The rows of a batch with their media, and the frames of a row that all stages look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.dataset.sample_rows import sample_of
from rope.domain import Sample
from rope.media import choose_frames, decode_frames

__all__ = ["decode_looked_at", "looked_at", "media_rows", "sample_in"]


def media_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The columns of each row that say what it is and shows."""
    found: list[dict[str, Any]] = batch.select(["id", "domain", "text", "frames", "video"]).to_pylist()
    return found


def sample_in(row: Mapping[str, Any]) -> Sample:
    """A row of `media_rows` as a sample."""
    return sample_of({**row, "sample_id": row["id"]}, row["domain"])


def looked_at(row: Mapping[str, Any], frames: int) -> list[int]:
    """Places of the frames that are looked at: the middle one of a page, and so many of a clip, or all if it has fewer.

    Of a video, they are places among `frames` that are spread evenly over it.
    """
    n_stored = len(row["frames"] or ()) or frames
    return choose_frames(n_stored, 1 if row["domain"] == "page" else min(frames, n_stored))


def decode_looked_at(row: Mapping[str, Any], frames: int) -> list[npt.NDArray[np.uint8]]:
    """The frames of `looked_at`; uint8 [height, width, 3] each.

    Raises:
        DatasetError: one cannot be decoded; see `rope.media.decode_frames`.
    """
    return decode_frames(sample_in(row), len(looked_at(row, frames)))
