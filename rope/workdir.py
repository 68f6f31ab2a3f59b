"""The one rule for the output folder of a command that can be stopped and repeated; `docs/configuration.md` states it.

Such a command notes in the folder what it makes there before it writes anything else. The same note means: go on.
Another one, or other files, mean that the folder is somebody else's, and nothing in it is touched.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shutil import rmtree
from typing import Any, Final

from rope.errors import UsageError
from rope.files import atomic_path, is_half_written, refuse_address

__all__ = ["WorkFolder", "differences", "json_differences"]

_SHOWN: Final = 3
"""Differences, or names of files, that a sentence lists."""

_LONGEST: Final = 60
"""Characters of a value that a sentence shows."""


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """An output folder that a command fills.

    Attributes:
        path: the folder.
        note: the file in it that says what is made, relative to `path`. A folder that it lies in holds only what
            the command needs to go on.
        text: what the note says: everything that decides the bytes of the output.
        what: what the folder holds when the note is there, for error texts: `an unfinished build`.
        differs: what another note has otherwise, in words; empty if the command may go on with it.
        spare: names that the command leaves behind without a note, and writes again.
        written: gives the files that were written outside of the note's folder, for `overwrite`; None for a command
            that cannot start over.
    """

    path: Path
    note: str
    text: str
    what: str
    differs: Callable[[str], str]
    spare: frozenset[str] = frozenset()
    written: Callable[[], Iterable[Path]] | None = None

    def is_begun(self, *, overwrite: bool = False, is_own: bool = False) -> bool:
        """Whether the command has begun here and would resume; nothing is written.

        Args:
            overwrite: whether what was begun of something else may be there; `claimed` then removes it.
            is_own: whether the command has seen already that other files in the folder are its own.

        Raises:
            UsageError: the folder is a file, or holds something else; says what.
        """
        refuse_address(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file; expected a folder that is empty or does not exist")
        # Listed before the note is looked for: another process may be starting, and writes its note first.
        names = sorted(_names(self.path))
        if (why := self._why_not()) is None:
            others = [name for name in names if not self._is_nothing(name)]
            if others and not is_own:
                raise UsageError(
                    f"{self.path}: holds {_listed(others)}, and not {self.what}; choose a folder that is empty or does "
                    "not exist"
                )
            return False
        if why and not (overwrite and self.written):
            over = "start over with --overwrite, " if self.written else ""
            raise UsageError(
                f"{self.path}: holds {self.what} of something else: {why}; repeat the command as it was started, "
                f"{over}or choose another folder"
            )
        return not why

    @contextmanager
    def claimed(self, *, overwrite: bool = False, is_own: bool = False, is_shared: bool = False) -> Iterator[bool]:
        """Begin in the folder, or go on; where the block fails before it has written anything, leave no trace.

        Args:
            overwrite: start over where something else was begun; only what the command wrote is removed.
            is_own: see `is_begun`.
            is_shared: other processes may be at work in the folder, so the note stays whatever happens.

        Yields:
            Whether the command resumes.

        Raises:
            UsageError: see `is_begun`.
        """
        existed, is_begun = self.path.exists(), self.is_begun(overwrite=overwrite, is_own=is_own)
        if not is_begun:
            if self._note.exists():
                self.discard()
            with atomic_path(self._note) as temporary:
                temporary.write_text(self.text, "utf-8")
        try:
            yield is_begun
        except BaseException:
            if not (is_begun or is_shared):
                self._withdraw(existed)
            raise

    def discard(self) -> None:
        """Remove what the command wrote; the note goes last, since it says whose the files are."""
        for path in [*self.written()] if self.written else ():
            path.unlink(missing_ok=True)
            _prune(path.parent, self.path)
        self.finish()

    def finish(self) -> None:
        """Remove the note, and the folder that it lies in with all that was kept to go on."""
        folder = self._note.parent
        if folder != self.path:
            for path in folder.iterdir() if folder.exists() else ():
                if path.is_dir() and not path.is_symlink():
                    rmtree(path)
                elif path != self._note:
                    path.unlink()
        self._note.unlink(missing_ok=True)
        _prune(folder, self.path)

    @property
    def _note(self) -> Path:
        return self.path / self.note

    def _why_not(self) -> str | None:
        """Why the command cannot go on, in words; empty if it can, and None without a note."""
        if not self._note.is_file():
            return None
        found = self._note.read_text("utf-8", "replace")
        return "" if found == self.text else self.differs(found)

    def _is_nothing(self, name: str) -> bool:
        """Whether an entry may be there before the note is: half of a note, as a kill leaves it, or a spare name."""
        top, note, folder = PurePosixPath(self.note).parts[0], self._note.name, self._note.parent
        if name in self.spare:
            return True
        if top == note:
            return is_half_written(Path(name), note)
        return name == top and folder.is_dir() and all(is_half_written(path, note) for path in folder.iterdir())

    def _withdraw(self, existed: bool) -> None:
        """Take the note back where nothing else came to be."""
        folder, top = self._note.parent, PurePosixPath(self.note).parts[0]
        beside = _names(self.path) - {top, *self.spare}
        inside = _names(folder) - {self._note.name} if folder != self.path else set()
        if not beside and not inside:
            self._note.unlink(missing_ok=True)
            _prune(folder, self.path)
            if not existed and self.path.exists() and not any(self.path.iterdir()):
                self.path.rmdir()


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two notes have otherwise, the first few in words; empty where they are equal.

    >>> differences({"a": {"b": 1, "c": 2}, "d": 0}, {"a": {"b": 3, "c": 2}, "e": 0})
    'a.b is 1 there and 3 now, d is 0 there and missing now, e is missing there and 0 now'
    """
    found = list(_differing(there, now, ""))
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def json_differences(now: str) -> Callable[[str], str]:
    """`differences` of a note in JSON from another.

    >>> json_differences('{"a": 1}')('{"a": 2}')
    'a is 2 there and 1 now'
    """

    def differs(there: str) -> str:
        try:
            found = json.loads(there)
        except ValueError:
            found = None
        return differences(found, json.loads(now)) if isinstance(found, dict) else "its note cannot be read"

    return differs


def _differing(there: Mapping[str, Any], now: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in dict.fromkeys((*there, *now)):
        old, new = there.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, f"{path}{name}.")
        elif (old, name in there) != (new, name in now):
            was, is_ = (_shown(values[name]) if name in values else "missing" for values in (there, now))
            yield f"{path}{name} is {was} there and {is_} now"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _names(folder: Path) -> set[str]:
    """What is in a folder, which may not be there."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _prune(folder: Path, root: Path) -> None:
    """Remove a folder inside `root` and those around it, as far as they are empty."""
    while folder != root and root in folder.parents and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
