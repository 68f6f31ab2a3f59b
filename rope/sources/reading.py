"""Text and JSON files of a release, read with their hashes, and the checks that every reader makes of names."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from rope.errors import ReleaseError
from rope.sources.lines import scan_lines
from rope.sources.text import DAMAGED, read_text

__all__ = ["Reading", "is_inside", "listing_hash", "registered"]

_BLANKS: Final = " \r\u3000"


@contextmanager
def registered(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[None]:
    """Make batches a view while the block runs; an error in making them comes out as it is, not as one of DuckDB."""
    errors: list[Exception] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            errors.append(error)
            raise

    connection.register(name, pa.RecordBatchReader.from_batches(schema, watched()))
    try:
        yield
    except duckdb.Error:
        if errors:
            raise errors[0] from None
        raise
    finally:
        connection.unregister(name)


@dataclass(slots=True)
class Reading:
    """Reads the text files of a release, and keeps what a manifest and a report say of each, by its name.

    Attributes:
        advance: called with the number of bytes read.
        encoding: of files without a byte order mark; None for UTF-8.
        digests: the SHA-256 of each file that was read to its end.
        n_rows: the lines of each text file that are not blank, and the entries of each JSON file.
    """

    advance: Callable[[int], None]
    encoding: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    n_rows: Counter[str] = field(default_factory=Counter)

    def lines(self, path: Path) -> Iterator[tuple[int, str | None]]:
        """The lines of a text file with their numbers, from 1; blank ones are left out.

        Blanks at the ends are taken off, but not tabs, which part fields that may be empty. The text of a line that
        is not of the file's encoding is None.

        Raises:
            ReleaseError: the file is not text.
        """
        for batch in self.batches(path):
            for number, text in zip(batch["line"].to_pylist(), batch["text"].to_pylist(), strict=True):
                if text is None or text.strip():
                    self.n_rows[path.name] += 1
                    yield number, text.strip(_BLANKS) if text is not None else None

    def batches(self, path: Path) -> Iterator[pa.RecordBatch]:
        """The lines of a text file, see `rope.sources.lines.scan_lines`; they are not counted."""
        digest = hashlib.sha256()
        yield from scan_lines(path, partial(self._take, digest), encoding=self.encoding)
        self.digests[path.name] = digest.hexdigest()

    def text(self, path: Path) -> str:
        """The whole text of a file, see `rope.sources.text.read_text`."""
        digest = hashlib.sha256()
        found = read_text(path, partial(self._take, digest), self.encoding)
        self.digests[path.name] = digest.hexdigest()
        return found

    def object(self, path: Path) -> dict[str, Any]:
        """The members of the object in a JSON file.

        Raises:
            ReleaseError: the file is not JSON or holds something else than an object; or a name occurs twice in one
                object, of which JSON readers would silently believe the last.
        """

        def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            members = dict(pairs)
            if len(members) < len(pairs):
                repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
                raise ReleaseError(f"{path}: the name {repeated!r} occurs twice in one object; keep one of them")
            return members

        content = self.text(path)
        if DAMAGED in content:
            line = content[: content.index(DAMAGED)].count("\n") + 1
            raise ReleaseError(
                f"{path}:{line}: cannot be read as JSON: bytes that are not {self.encoding or 'UTF-8'}; say with "
                "--encoding what it is in, or fetch it again"
            )
        try:
            found = json.loads(content, object_pairs_hook=without_repeats)
        except (ValueError, RecursionError) as error:
            raise ReleaseError(f"{path}: cannot be read as JSON ({error}); fetch it again") from error
        if not isinstance(found, dict):
            raise ReleaseError(f"{path}: holds a {type(found).__name__}; expected an object with an entry for each id")
        self.n_rows[path.name] = len(found)
        return found

    def _take(self, digest: "hashlib._Hash", piece: bytes) -> None:
        digest.update(piece)
        self.advance(len(piece))


def is_inside(name: str) -> bool:
    r"""Whether a file name of a release stays inside the folder that it is relative to.

    >>> [is_inside(name) for name in ("a.jpg", "sub/a.jpg", "/etc/passwd", "../a.jpg", "sub\\a.jpg", "sub/", "")]
    [True, True, False, False, False, False, False]
    """
    return "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def listing_hash(names: list[str]) -> str:
    """SHA-256 of file names, regardless of their order."""
    return hashlib.sha256("\0".join(sorted(names)).encode()).hexdigest()
