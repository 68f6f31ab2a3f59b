"""The shards of one split, and one row of them as a sample."""

from pathlib import Path
from typing import Final

import pyarrow as pa

from rope.dataset.directory import shard_names
from rope.dataset.manifest import read_manifest
from rope.domain import Domain, Frame, Sample, Split
from rope.errors import DatasetError
from rope.media import choose_frames

__all__ = ["SAMPLE_COLUMNS", "split_shards", "to_sample"]

SAMPLE_COLUMNS: Final = ("sample_id", "text", "frames")
"""What a sample is made of."""


def split_shards(directory: Path, config: str, split: Split) -> list[Path]:
    """The shards of a configuration and split, in order.

    Raises:
        DatasetError: the directory is no dataset, or has no such split.
    """
    manifest = read_manifest(directory)
    if split not in manifest.counts:
        raise DatasetError(f"{directory}: has no split {split}; it has {', '.join(sorted(manifest.counts)) or 'none'}")
    return [directory / name for name in shard_names(manifest, config, split)]


def to_sample(rows: pa.Table, row: int, domain: Domain, n_frames: int) -> Sample:
    """One row as a sample, with no more frames than `n_frames`, those that `choose_frames` names.

    The others are not read from a table that is mapped into memory.

    Args:
        rows: a table with SAMPLE_COLUMNS.
        row: the row's number in it.
        domain: of the table.
        n_frames: how many frames will be decoded.
    """
    stored = rows["frames"][row].values
    n_stored = len(stored)
    chosen = choose_frames(n_stored, n_frames) if n_stored > n_frames else range(n_stored)
    frames = [stored[i].as_py() for i in chosen]
    return Sample(
        sample_id=rows["sample_id"][row].as_py(),
        domain=domain,
        text=rows["text"][row].as_py(),
        frames=tuple(Frame(frame["bytes"], frame["path"]) for frame in frames),
    )
