"""The files of a folder of results: none that belongs to no row, and none of the last release lost or changed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from leaderboard.entry import PARTS, REPORTED, entry_paths
from leaderboard.schema import read_json
from leaderboard.text import printable
from rope.errors import RopeError, UsageError
from rope.files import sha256_of

__all__ = ["changed_rows", "files_of", "kept_rows", "stray_files"]

_ID: Final = re.compile(r"[a-z0-9.-]{1,64}")
_SHOWN: Final = 8


def files_of(entry: Path) -> list[Path]:
    """The files that a row can have, given the file of its entry."""
    if entry.name == REPORTED:
        return [entry]
    return [entry, *(entry.with_name(f"{entry.stem}{suffix}") for suffix in PARTS.values())]


def stray_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Files that belong to no entry, each with the reason to refuse it: links, pickles, scripts, unknown names."""
    entries = entry_paths(root)
    owned = {path for entry in entries for path in files_of(entry)}
    is_of_models = any(entry.parent != root for entry in entries)
    for path in sorted(root.rglob("*")):
        place = Path(printable(str(path)))
        if path.is_symlink():
            yield place, "a link; submit the file itself"
        elif path.is_dir():
            if not _ID.fullmatch(path.name) or path.parent != root:
                yield place, "not the folder of a model; expected one folder per model, named by the id of its card"
        elif path not in owned or not path.is_file():
            yield place, "belongs to no entry; a submission holds what rope-bench submit wrote, and nothing else"
        elif path.parent == root and is_of_models:
            yield place, "outside of the folder of a model, beside others; expected one folder per model"


def changed_rows(root: Path, base: Path) -> Iterator[tuple[str, Path, str]]:
    """Rows of the last release that are lost or differ in a byte: id of the model, file of the entry, what changed.

    Args:
        root: a folder of results, or the folder of one model.
        base: the results of the last release.
    """
    for old, new in _rows(root, base):
        if not new.is_file():
            yield old.parent.name, new, "is lost"
            continue
        differ = [name for one, name in _parts(old) if _hash(one) != _hash(new.with_name(one.name))]
        if differ:
            told = "; ".join(_told(old, new)[:_SHOWN]) or "other bytes"
            yield old.parent.name, new, f"has changed ({', '.join(differ)}): {told}"


def kept_rows(root: Path, base: Path) -> set[Path]:
    """Where the entries of the last release are expected in `root`."""
    return {new for _, new in _rows(root, base)}


def _rows(root: Path, base: Path) -> Iterator[tuple[Path, Path]]:
    """Entry of the last release, and where it is expected now."""
    if not base.is_dir():
        raise UsageError(f"{base}: no such folder; expected the results of the last release")
    released, entries = entry_paths(base), entry_paths(root)
    if not released:  # a wrong folder would let every change pass
        raise UsageError(f"{base}: holds no result of a last release; before the first one, leave out --base")
    name = root.resolve().name
    is_one_model = bool(entries) and all(entry.parent == root for entry in entries)
    is_one_model &= any(old.parent.name == name for old in released)
    for old in released:
        if not is_one_model:
            yield old, root / old.parent.name / old.name
        elif old.parent.name == name:
            yield old, root / old.name


def _parts(entry: Path) -> Iterator[tuple[Path, str]]:
    """The files of a row that are there, each with what it is."""
    for path, name in zip(files_of(entry), ("entry", *PARTS), strict=False):
        if path.is_file():
            yield path, name


def _hash(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() and not path.is_symlink() else None


def _told(old: Path, new: Path) -> list[str]:
    """The fields of an entry that changed, each with both values."""
    try:
        return list(_differences(read_json(old), read_json(new), ""))
    except RopeError as error:
        return [str(error)]


def _differences(before: Any, after: Any, where: str) -> Iterator[str]:  # noqa: ANN401 (JSON values)
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _differences(before.get(key), after.get(key), f"{where}.{key}" if where else key)
    elif before != after:
        yield f"{where} {printable(repr(before)[:40])} -> {printable(repr(after)[:40])}"
