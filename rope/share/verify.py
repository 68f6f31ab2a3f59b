"""The files of a dataset directory against its manifest: what has to hold before a push and after a pull."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rope.dataset.manifest import Manifest, Shard
from rope.dataset.validate import Problem
from rope.domain import SPLITS, domain_of_config
from rope.files import sha256_of

__all__ = ["find_damage", "in_one_line", "is_shard_name"]

_SHARD_NAME: Final = re.compile(rf"([a-z]+)/({'|'.join(SPLITS)})-\d{{5,}}-of-\d{{5,}}\.parquet")
_N_EXAMPLES: Final = 5


def is_shard_name(name: str) -> bool:
    """Whether a path relative to a dataset directory is that of a shard; nothing else may be read or written by name.

    >>> is_shard_name("pages/train-00000-of-00001.parquet"), is_shard_name("../pages/train-00000-of-00001.parquet")
    (True, False)
    """
    match = _SHARD_NAME.fullmatch(name)
    return match is not None and (match[1] == "products" or domain_of_config(match[1]) is not None)


def find_damage(
    directory: Path, manifest: Manifest, advance: Callable[[int], None] = lambda n_bytes: None
) -> list[Problem]:
    """The shards that are missing, or have another size or SHA-256 than the manifest says, in order of their names.

    Reads every byte, but no row: `rope.dataset.validate.validate` looks inside.

    Args:
        directory: where the shards are.
        manifest: what they should be.
        advance: told of the bytes of each shard when it has been checked.
    """
    problems: list[Problem] = []
    for name, shard in sorted(manifest.shards.items()):
        if what := _damage(directory / name, name, shard):
            problems.append(Problem(name, what))
        advance(shard.bytes)
    return problems


def in_one_line(problems: list[Problem]) -> str:
    """The first problems, with the number of the others.

    >>> in_one_line([Problem("pages/a", "is missing"), Problem("pages/b", "is missing")])
    'pages/a is missing; pages/b is missing'
    """
    shown = "; ".join(f"{problem.where} {problem.what}" for problem in problems[:_N_EXAMPLES])
    rest = len(problems) - _N_EXAMPLES
    return f"{shown}; and {rest:,} more" if rest > 0 else shown


def _damage(path: Path, name: str, shard: Shard) -> str | None:
    if not is_shard_name(name):
        return "is no name of a shard"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != shard.bytes:
        return f"has {size:,} bytes, the manifest says {shard.bytes:,}"
    digest = sha256_of(path)
    return None if digest == shard.sha256 else f"has SHA-256 {digest[:12]}…, the manifest says {shard.sha256[:12]}…"
