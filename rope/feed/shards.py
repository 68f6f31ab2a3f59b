"""One row of a shard as a sample."""

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from rope.domain import DomainName, Frame, Sample, Video
from rope.media import choose_frames

__all__ = ["sample_columns", "to_sample"]

_SAMPLE_COLUMNS: Final = ("sample_id", "text", "frames", "video")


def sample_columns(there: Iterable[str]) -> list[str]:
    """Those of some columns that a sample is made of; not every dataset has the last.

    >>> sample_columns(["category", "frames", "sample_id", "text"])
    ['sample_id', 'text', 'frames']
    """
    stored = set(there)
    return [name for name in _SAMPLE_COLUMNS if name in stored]


def to_sample(rows: pa.Table, row: int, domain: DomainName, n_frames: int) -> Sample:
    """One row as a sample, with no more frames than `n_frames`, those that `choose_frames` names.

    The others are not read from a table that is mapped into memory.

    Args:
        rows: a table with the columns that `sample_columns` names.
        row: the row's number in it.
        domain: of the table.
        n_frames: how many frames will be decoded.
    """
    stored = rows["frames"][row].values
    n_stored = len(stored)
    chosen = choose_frames(n_stored, n_frames) if n_stored > n_frames else range(n_stored)
    frames = [stored[i].as_py() for i in chosen]
    video = rows["video"][row].as_py() if "video" in rows.column_names else None
    return Sample(
        sample_id=rows["sample_id"][row].as_py(),
        domain=domain,
        text=rows["text"][row].as_py(),
        frames=tuple(Frame(frame["bytes"], frame["path"]) for frame in frames),
        video=None if video is None else Video(video["bytes"], video["path"]),
    )
