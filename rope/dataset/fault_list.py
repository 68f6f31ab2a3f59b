"""The list of everything that was wrong with a release, in the dataset directory."""

# ruff: noqa: S608 -- SQL is put together from splits, domains and our own names

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from rope.files import atomic_path
from rope.sources.faults import FaultCount, ReleaseFault, in_order_of_rules, rule_of
from rope.sources.source import ReleaseSource
from rope.sql import csv_file, literal

__all__ = ["FAULTS_NAME", "count_faults", "read_faults", "registered_faults", "write_faults"]

FAULTS_NAME: Final = "faults.tsv"
"""Every fault by file and line: columns file, line, kind, subject."""

_N_EXAMPLES: Final = 5
_SHOWN: Final = 1000
"""Characters of a name or subject in the list; more are cut, and an ellipsis stands for them."""

_COLUMNS: Final = ("file", "line", "kind", "subject")


@contextmanager
def registered_faults(connection: duckdb.DuckDBPyConnection, more: Sequence[ReleaseFault]) -> Iterator[str]:
    """A query in brackets for the faults of staging and for `more`."""
    schema = pa.schema([(name, pa.int64() if name == "line" else pa.string()) for name in _COLUMNS])
    found = pa.table([[getattr(fault, name) for fault in more] for name in _COLUMNS], schema=schema)
    connection.register("found", found)
    columns = ", ".join(_COLUMNS)
    yield f"(SELECT {columns} FROM faults UNION ALL SELECT {columns} FROM found)"
    connection.unregister("found")


def write_faults(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    more: Sequence[ReleaseFault],
    release: ReleaseSource | None = None,
) -> None:
    """Write faults by file and line.

    Args:
        connection: the staged release.
        path: the file to write.
        more: faults besides those of staging.
        release: where its products are written, to add those that lack a domain.
    """
    parts = (
        []
        if release is None
        else [
            f"SELECT {literal(release.file_of(split, domain))}, 0, 'no_{domain}', product_id "
            f"FROM members_{split} WHERE n_{domain} = 0"
            for split in release.splits
            for domain in release.domains
        ]
    )
    with registered_faults(connection, more) as faults, atomic_path(path) as temporary:
        parts.insert(0, f"FROM {faults}")
        connection.execute(
            f"COPY (SELECT {_cut('file')}, line, kind, {_cut('subject')} "
            f"FROM ({' UNION ALL '.join(parts)}) AS f(file, line, kind, subject) "
            f"ORDER BY ALL) TO {literal(temporary)} (FORMAT csv, DELIMITER '\t', HEADER)"
        )


def _cut(column: str) -> str:
    return (
        f"CASE WHEN length({column}) > {_SHOWN} THEN left({column}, {_SHOWN - 1}) || '…' ELSE {column} END AS {column}"
    )


def read_faults(path: Path) -> tuple[FaultCount, ...]:
    """Read the list back: each kind with its count and first examples."""
    columns = "{'file': 'VARCHAR', 'line': 'BIGINT', 'kind': 'VARCHAR', 'subject': 'VARCHAR'}"
    options = f"auto_detect = false, delim = '\t', quote = '\"', escape = '\"', header = true, columns = {columns}"
    with duckdb.connect() as connection:
        return count_faults(connection, csv_file(path, options))


def count_faults(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[FaultCount, ...]:
    """Each kind of the faults in a table or table function, most serious first."""
    rows = connection.sql(
        f"SELECT kind, count(*), min({{'file': file, 'line': line, 'subject': coalesce(subject, '')}}, {_N_EXAMPLES}) "
        f"FROM {relation} GROUP BY kind"
    ).fetchall()
    by_kind = {kind: (n, examples) for kind, n, examples in rows}
    return tuple(
        FaultCount(
            kind,
            by_kind[kind][0],
            rule_of(kind).consequence,
            tuple(str(ReleaseFault(e["file"], e["line"], kind, e["subject"])) for e in by_kind[kind][1]),
        )
        for kind in in_order_of_rules(by_kind)
    )
