"""Rows of Parquet as samples."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from rope.domain import Audio, DomainName, Frame, Sample, Video
from rope.media import choose_frames

__all__ = ["sample_columns", "sample_of", "to_sample"]

_SAMPLE_COLUMNS: Final = ("sample_id", "text", "frames", "video")


def sample_columns(there: Iterable[str], *, has_sound: bool = False) -> list[str]:
    """Those of some columns that a sample for training is made of; not every dataset has the last.

    Args:
        there: the columns of a table.
        has_sound: whether the sound of samples that consist of frames is one of them.

    >>> sample_columns(["category", "frames", "sample_id", "text"])
    ['sample_id', 'text', 'frames']
    """
    stored = set(there)
    return [name for name in (*_SAMPLE_COLUMNS, *(["audio"] if has_sound else [])) if name in stored]


def sample_of(row: Mapping[str, Any], domain: DomainName) -> Sample:
    """The sample in a row with the columns `sample_id`, `text`, `frames` and, where there are, `video` and `audio`.

    >>> sample_of({"sample_id": "1", "text": None, "frames": [{"bytes": None, "path": "a.jpg"}]}, "page").frames
    (Frame(data=None, path='a.jpg'),)
    """
    video, audio = row.get("video"), row.get("audio")
    return Sample(
        row["sample_id"],
        domain,
        row["text"],
        tuple(Frame(frame["bytes"], frame["path"]) for frame in row["frames"] or ()),
        None if video is None else Video(video["bytes"], video["path"]),
        None if audio is None else Audio(audio["bytes"], audio["path"]),
    )


def to_sample(rows: pa.Table, row: int, domain: DomainName, n_frames: int) -> Sample:
    """One row as a sample, with no more frames than `n_frames`, those that `choose_frames` names.

    The others are not read from a table that is mapped into memory.

    Args:
        rows: a table with the columns that `sample_columns` names; without that of sounds, a sample has none.
        row: the row's number in it.
        domain: of the table.
        n_frames: how many frames will be decoded.
    """
    stored = rows["frames"][row].values
    n_stored = len(stored)
    chosen = choose_frames(n_stored, n_frames) if n_stored > n_frames else range(n_stored)
    columns = sample_columns(rows.column_names, has_sound=True)
    others = {name: rows[name][row].as_py() for name in columns if name != "frames"}
    return sample_of({**others, "frames": [stored[i].as_py() for i in chosen]}, domain)
