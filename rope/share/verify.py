"""The files of a dataset directory against its manifest: what has to hold before a push and after a pull."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from rope.dataset.layout import is_shard_name
from rope.dataset.manifest import DatasetManifest, Shard
from rope.dataset.validate import Problem
from rope.files import sha256_of

__all__ = ["find_damage", "in_one_line"]

_N_EXAMPLES: Final = 5


def find_damage(
    directory: Path,
    manifest: DatasetManifest,
    advance: Callable[[int], None] = lambda n_bytes: None,
    digest_of: Callable[[Path], str] = sha256_of,
) -> list[Problem]:
    """The shards that are missing, or have another size or SHA-256 than the manifest says, in order of their names.

    Reads every byte, but no row: `rope.dataset.validate.validate` looks inside.

    Args:
        directory: where the shards are.
        manifest: what they should be.
        advance: called with the bytes of each shard once it is checked.
        digest_of: gives the SHA-256 of a file in hex.
    """
    problems: list[Problem] = []
    for name, shard in sorted(manifest.shards.items()):
        if what := _damage(directory / name, name, shard, digest_of):
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


def _damage(path: Path, name: str, shard: Shard, digest_of: Callable[[Path], str]) -> str | None:
    if not is_shard_name(name):
        return "is not a shard name"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != shard.bytes:
        return f"has {size:,} bytes, the manifest says {shard.bytes:,}"
    digest = digest_of(path)
    return None if digest == shard.sha256 else f"has SHA-256 {digest[:12]}…, the manifest says {shard.sha256[:12]}…"
