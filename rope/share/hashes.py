"""Hashes of large files, kept while a push is unfinished, so that one that starts again does not read everything."""

import json
import time
from pathlib import Path
from typing import Any, Final

from rope.files import sha256_of

__all__ = ["KeptHashes"]

_SETTLED_NS: Final = 2_000_000_000
"""A file written less than this ago may change again under the same time, as file systems count time coarsely."""


class KeptHashes:
    """SHA-256 of files, from a list where size and times of a file are those of when it was hashed.

    The list has a line of JSON for each file and is only appended to; a line that a kill has torn counts as none.

    Args:
        path: the list; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
            try:
                name, *seen = json.loads(line)
                self._known[str(name)] = seen
            except ValueError:
                continue

    def sha256_of(self, path: Path) -> str:
        """SHA-256 of a file in hex; the file is read unless it is in the list as it is now."""
        before = _state(path)
        *state, digest = self._known.get(str(path.absolute()), [None])
        if state == before:
            return str(digest)
        found = sha256_of(path)
        if _state(path) == before and time.time_ns() - max(before[1:3]) > _SETTLED_NS:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([str(path.absolute()), *before, found]) + "\n")
        return found

    def drop(self) -> None:
        """Delete the list."""
        self._path.unlink(missing_ok=True)


def _state(path: Path) -> list[int]:
    """Size, times of content and of the entry in ns, and number of a file: what a change does not leave alone."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
