"""The option `--csv` of commands that score: a row for each model and pair, in full precision."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["CsvFile", "write_csv"]

CsvFile = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        dir_okay=False,
        help="Write a row for each model and pair here as CSV, fractions in full precision.",
        show_default=False,
    ),
]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV in UTF-8 with a heading; what is not defined is left empty.

    Args:
        path: the file, replaced if it exists.
        rows: each with the same keys, which become the heading.
    """
    from rope.files import atomic_path

    headings = [*dict.fromkeys(key for row in rows for key in row)]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, headings, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
