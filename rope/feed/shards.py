"""The shards of one split, and one row of them as a sample."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from rope.dataset.directory import shard_names
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Frame, Sample, Split, Video
from rope.errors import DatasetError
from rope.media import choose_frames

__all__ = ["sample_columns", "split_shards", "to_sample"]

_SAMPLE_COLUMNS: Final = ("sample_id", "text", "frames", "video")


def sample_columns(there: Iterable[str]) -> list[str]:
    """Those of some columns that a sample is made of; not every dataset has the last.

    >>> sample_columns(["category", "frames", "sample_id", "text"])
    ['sample_id', 'text', 'frames']
    """
    stored = set(there)
    return [name for name in _SAMPLE_COLUMNS if name in stored]


def split_shards(directory: Path, config: str, split: Split) -> list[Path]:
    """The shards of a configuration and split, in order.

    Raises:
        DatasetError: the directory is no dataset, or has no such split.
    """
    manifest = read_manifest(directory)
    if split not in manifest.counts:
        raise DatasetError(f"{directory}: has no split {split}; it has {', '.join(sorted(manifest.counts)) or 'none'}")
    return [directory / name for name in shard_names(manifest, config, split)]


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
