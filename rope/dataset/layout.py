"""Names of the shards of a dataset directory."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rope.domain import SPLITS, domain_of_config

__all__ = ["is_shard_name", "shard_name", "shard_pattern", "unfinished_files"]

_FOLDER_SHARDS: Final = 10_000
"""Shards in one folder; the Hub takes no more files in any."""

_SHARD_NAME: Final = re.compile(
    rf"([a-z]+)/({'|'.join(SPLITS)})-(?:\d{{5,}}/\2-)?\d{{5,}}-of-\d{{5,}}\.parquet"  # perhaps in its own folder
)


def shard_name(config: str, split: str, number: int, n_shards: int, n_in_config: int) -> str:
    """The path of a shard, relative to the dataset directory.

    >>> shard_name("pages", "train", 2, 3, 5)
    'pages/train-00002-of-00003.parquet'
    >>> shard_name("pages", "train", 12_345, 20_000, 20_001)
    'pages/train-00001/train-12345-of-20000.parquet'

    Args:
        config: its configuration.
        split: its split.
        number: from 0.
        n_shards: of this split.
        n_in_config: of all splits of the configuration; if one folder cannot take them, each 10,000 get their own.
    """
    name = f"{split}-{number:05d}-of-{n_shards:05d}.parquet"
    if n_in_config <= _FOLDER_SHARDS:
        return f"{config}/{name}"
    return f"{config}/{split}-{number // _FOLDER_SHARDS:05d}/{name}"


def shard_pattern(names: Iterable[str], config: str, split: str) -> str:
    """The pattern of paths that the shards of a split have, among those of a dataset.

    >>> shard_pattern(["pages/train-00001/train-12345-of-20000.parquet"], "pages", "train")
    'pages/train-*/*.parquet'
    """
    in_folders = any(name.startswith(f"{config}/{split}-") and name.count("/") > 1 for name in names)
    return f"{config}/{split}-*/*.parquet" if in_folders else f"{config}/{split}-*.parquet"


def is_shard_name(name: str) -> bool:
    """Whether a path relative to a dataset directory is that of a shard; nothing else may be read or written by name.

    >>> is_shard_name("pages/train-00000-of-00001.parquet"), is_shard_name("../pages/train-00000-of-00001.parquet")
    (True, False)
    >>> is_shard_name("pages/train-00001/train-12345-of-20000.parquet"), is_shard_name("pages/../train-0-of-1.parquet")
    (True, False)
    """
    match = _SHARD_NAME.fullmatch(name)
    return match is not None and (match[1] == "products" or domain_of_config(match[1]) is not None)


def unfinished_files(directory: Path) -> list[Path]:
    """The shards in a dataset directory without a manifest, and the files beside them."""
    shards = [path for path in directory.rglob("*.parquet") if is_shard_name(path.relative_to(directory).as_posix())]
    return [*shards, *(directory / name for name in ("README.md", "faults.tsv"))]
