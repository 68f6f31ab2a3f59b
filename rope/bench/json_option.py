"""The option `--json` of every command: a file, or `-` for stdout, which then holds only the JSON.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard

import typer

from rope.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from rope.table import Table

__all__ = ["STDOUT", "JsonFile", "is_file", "put"]

STDOUT: Final = Path("-")
"""What a file of `--json` or `--csv` is called that is written to stdout."""

JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        dir_okay=False,
        help="Write every number here as JSON; - is stdout, and the tables go to stderr.",
        show_default=False,
    ),
]


def is_file(json: Path | None) -> TypeGuard[Path]:
    """Whether `--json` names a file."""
    return json is not None and json != STDOUT


def put(
    shown: "Iterable[str | Table]", json: Path | None, value: Mapping[str, Any], csv: Path | None = None
) -> "Console":
    """Show tables, and write what `--json` asks for; where `--csv` has stdout, tables go to stderr.

    Returns:
        The console of the tables, for what a command says next to them.

    Raises:
        UsageError: both ask for stdout.
    """
    from rope.bench.report import write_json
    from rope.bench.shown import json_text, show
    from rope.console import output

    if json == STDOUT and csv == STDOUT:
        raise UsageError("--json - and --csv -: stdout holds one of them; give a file for the other")
    console = output(to_stderr=STDOUT in (json, csv))
    show(shown, console)
    if is_file(json):
        write_json(json, value)
        show([f"wrote {json}"], console)
    elif json is not None:
        typer.echo(json_text(value), nl=False)
    return console
