"""The option `--csv` of every command that gives a table: a file, or `-` for stdout, which then holds only the rows.

Each row names what it belongs to, and has its numbers in full precision.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from rope.bench.json_option import STDOUT, put

if TYPE_CHECKING:
    from rich.console import Console

    from rope.bench.answer import Answer

__all__ = ["CsvFile", "put_answer", "write_csv"]

CsvFile = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        dir_okay=False,
        help="Write the rows here as CSV, each with what it belongs to; - is stdout, and the tables go to stderr.",
        show_default=False,
    ),
]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV in UTF-8 with a heading; what is not defined is left empty.

    Args:
        path: the file, replaced if it exists; `-` is stdout.
        rows: each with the same keys, which become the heading.
    """
    from rope.files import atomic_path

    headings = [*dict.fromkeys(key for row in rows for key in row)]

    def write(file: TextIO) -> None:
        writer = csv.DictWriter(file, headings, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    if path == STDOUT:
        write(sys.stdout)
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write(file)


def put_answer(answer: "Answer[Any]", json: Path | None, csv: Path | None) -> "Console":
    """Show the tables of an answer, and write what `--json` and `--csv` ask for.

    Returns:
        The console of the tables, for what a command says next to them.

    Raises:
        UsageError: both ask for stdout.
    """
    console = put(answer.shown, json, answer.plain, csv)
    if csv is not None:
        write_csv(csv, answer.to_rows())
        if csv != STDOUT:
            console.print(f"wrote {csv}", markup=False)
    return console
