"""Answers kept under the hash of what was asked, so that nothing is asked, or paid for, twice."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rope.asr.answers import ChatAnswer
from rope.errors import RopeError

__all__ = ["AnswerCache", "open_cache"]

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, is_refused INTEGER NOT NULL, "
    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL) WITHOUT ROWID"
)
_KEYS_AT_ONCE: Final = 500
"""SQLite takes at least 999 values in one query."""


class AnswerCache:
    """A file that only ever gains answers; each is there whole, or not at all, whenever the process dies."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, key: str, answer: ChatAnswer) -> None:
        """Keep an answer; one that is there already stays."""
        values = (key, answer.text, int(answer.is_refused), answer.prompt_tokens, answer.completion_tokens)
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", values)

    def get(self, keys: Sequence[str]) -> dict[str, ChatAnswer]:
        """The answers that are there, by key."""
        found: dict[str, ChatAnswer] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            query = f"SELECT * FROM answers WHERE key IN ({', '.join('?' * len(some))})"  # noqa: S608  places alone
            for key, text, is_refused, n_read, n_written in self._connection.execute(query, list(some)):
                found[key] = ChatAnswer(text, bool(is_refused), n_read, n_written)
        return found


@contextmanager
def open_cache(path: Path) -> Iterator[AnswerCache]:
    """Open a file of answers, made where there is none, and close it after the block.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, open_cache(Path(folder) / "answers.sqlite") as cache:
    ...     cache.put("a", ChatAnswer("red cup"))
    ...     cache.get(["a", "b"])
    {'a': ChatAnswer(text='red cup', is_refused=False, prompt_tokens=0, completion_tokens=0)}

    Raises:
        RopeError: the file is something else, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute(_TABLE)
            yield AnswerCache(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise RopeError(f"{path}: cannot be used to keep answers ({error}); name another file with --cache") from error
