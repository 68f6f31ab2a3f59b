"""The option `--json` of every command: a file, or `-` for stdout, which then holds only the JSON.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from rope.table import Table

__all__ = ["JsonFile", "is_file", "put"]

_STDOUT: Final = Path("-")

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
    return json is not None and json != _STDOUT


def put(shown: "Iterable[str | Table]", json: Path | None, value: Mapping[str, Any]) -> "Console":
    """Show tables, and write what `--json` asks for.

    Returns:
        The console of the tables, for what a command says next to them.
    """
    from rope.bench.report import write_json
    from rope.bench.shown import json_text, show
    from rope.console import output

    console = output(to_stderr=json == _STDOUT)
    show(shown, console)
    if is_file(json):
        write_json(json, value)
        show([f"wrote {json}"], console)
    elif json is not None:
        typer.echo(json_text(value), nl=False)
    return console
