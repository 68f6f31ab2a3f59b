"""Files of a release that were read and said nothing: which, what they look like, and what is wrong with them most."""

from pathlib import Path
from typing import Final

import duckdb

from rope.errors import ReleaseError
from rope.sources.faults import ReleaseFault, rule_of
from rope.sources.looks import look_of
from rope.sources.source import ReleaseSource
from rope.sources.text import iter_blocks

__all__ = ["commonest", "refuse_unusable"]

_N_KINDS: Final = 3


def refuse_unusable(connection: duckdb.DuckDBPyConnection, source: ReleaseSource) -> None:
    """Refuse a staged release with a file that most rows of cannot be read, or that no row of has to do with another.

    Raises:
        ReleaseError: there is one; names the first, what it looks like and the commonest faults.
    """
    found = connection.execute(
        "SELECT file, n_rows, n_bad FROM files WHERE 2 * n_bad > n_rows OR NOT is_used "
        "ORDER BY 2 * n_bad <= n_rows, rowid"
    ).fetchall()
    if not found:
        return
    file, n_rows, n_bad = found[0]
    look = _look(source, file) if n_rows else ""
    if 2 * n_bad > n_rows:
        problem = f"{n_bad:,} of {n_rows:,} rows cannot be read"
    elif n_rows:
        problem = f"none of its {n_rows:,} rows names a sample or product that the files next to it have"
    else:
        problem = "has no rows, though the files next to it have samples that need them"
    others = f" (so it is with {len(found) - 1} more files)" if len(found) > 1 else ""
    faults = commonest(connection, "faults", file)
    raise ReleaseError(
        f"{source.folder / file}: {problem}{others}{f'; it looks like {look}' if look else ''}"
        f"{': ' if faults else ''}{faults}"
    )


def commonest(connection: duckdb.DuckDBPyConnection, faults: str, file: str | None = None) -> str:
    """The commonest kinds of faults, each with the first as an example.

    Args:
        connection: the staged release.
        faults: a table of them, or a query in brackets.
        file: count those of this file only; None for all that leave something out.
    """
    rows = connection.execute(
        f"SELECT kind, count(*) AS n, min({{'file': file, 'line': line, 'subject': coalesce(subject, '')}}) AS first "  # noqa: S608
        f"FROM {faults} WHERE file = coalesce(?, file) GROUP BY kind ORDER BY n DESC, kind",
        [file],
    ).fetchall()
    kept = [row for row in rows if file is not None or rule_of(row[0]).consequence == "left out"]
    return "; ".join(
        f"{n:,} x {kind} ({ReleaseFault(first['file'], first['line'], kind, first['subject'])})"
        for kind, n, first in kept[:_N_KINDS]
    )


def _look(source: ReleaseSource, file: str) -> str:
    path: Path = source.folder / file
    return look_of(next(iter_blocks(path, encoding=source.encoding, block_bytes=1 << 16), b""))
