"""Text and JSON files of a release, read with their hashes, and the checks that every reader makes of names."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from rope.errors import ReleaseError
from rope.sources.lines import scan_lines

__all__ = ["is_inside", "iter_lines", "listing_hash", "read_object"]


_BLANKS: Final = " \r\u3000"


def iter_lines(path: Path, digests: dict[str, str], advance: Callable[[int], None]) -> Iterator[tuple[int, str | None]]:
    """The lines of a file with their numbers, from 1; those of nothing but blanks are left out.

    Blanks at the ends are taken off, but not tabs, which part fields that may be empty.

    Args:
        path: a UTF-8 text file; a byte order mark and CR before LF mean nothing.
        digests: gets the SHA-256 of the file under its name, at the end.
        advance: called with the number of bytes read.

    Yields:
        The number of a line, and its text or None where it is not UTF-8.
    """
    digest = hashlib.sha256()

    def on_bytes(piece: bytes) -> None:
        digest.update(piece)
        advance(len(piece))

    for batch in scan_lines(path, on_bytes):
        for number, text in zip(batch["line"].to_pylist(), batch["text"].to_pylist(), strict=True):
            if text is None or text.strip():
                yield number, text.strip(_BLANKS) if text is not None else None
    digests[path.name] = digest.hexdigest()


def read_object(path: Path, digests: dict[str, str], advance: Callable[[int], None]) -> dict[str, Any]:
    """The members of the object in a JSON file.

    Args:
        path: a UTF-8 JSON file.
        digests: gets the SHA-256 of the file under its name.
        advance: called with the number of bytes read.

    Raises:
        ReleaseError: the file is no JSON or holds something else than an object; or a name occurs twice in one object,
            of which JSON readers would silently believe the last.
    """
    content = path.read_bytes()
    advance(len(content))
    digests[path.name] = hashlib.sha256(content).hexdigest()

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise ReleaseError(f"{path}: the name {repeated!r} occurs twice in one object; keep one of them")
        return members

    try:
        found = json.loads(content, object_pairs_hook=without_repeats)
    except ValueError as error:
        raise ReleaseError(f"{path}: cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise ReleaseError(f"{path}: holds a {type(found).__name__}; expected an object with an entry for each id")
    return found


def is_inside(name: str) -> bool:
    r"""Whether a file name of a release stays inside the folder that it is relative to.

    >>> [is_inside(name) for name in ("a.jpg", "sub/a.jpg", "/etc/passwd", "../a.jpg", "sub\\a.jpg", "sub/", "")]
    [True, True, False, False, False, False, False]
    """
    return "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def listing_hash(names: list[str]) -> str:
    """SHA-256 of file names, whatever their order."""
    return hashlib.sha256("\0".join(sorted(names)).encode()).hexdigest()
