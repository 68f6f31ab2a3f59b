"""Tables of a terminal as text and as HTML, and values as the JSON that files hold."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from io import StringIO
from typing import Any

from rich.console import Console

from rope.console import output
from rope.table import Table

__all__ = ["as_html", "as_text", "json_text", "show"]


def json_text(value: Mapping[str, Any]) -> str:
    """The text of a file of results; a number that JSON cannot hold is an error, never a NaN literal."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def show(parts: Iterable[str | Table], console: Console) -> None:
    """Print tables, and sentences unchanged: brackets are not interpreted as colours, and commands can be copied."""
    for part in parts:
        if isinstance(part, Table):
            console.print(part)
        else:
            console.print(part, markup=False, highlight=False, soft_wrap=True)


def as_text(parts: Iterable[str | Table]) -> str:
    """What the command would print here, without colours: as wide as the terminal, or unbroken where there is none.

    >>> as_text(["[bold] is the name"])
    '[bold] is the name'
    """
    console = Console(file=StringIO(), width=output().width, color_system=None)
    with console.capture() as capture:
        show(parts, console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def as_html(parts: Iterable[str | Table]) -> str:
    """The same for a notebook: paragraphs and plain tables, which take the notebook's own style."""
    return "\n".join(_table(part) if isinstance(part, Table) else f"<p>{escape(part)}</p>" for part in parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column.heading)}</th>" for column in table.columns)
    rows = (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.plain_rows())
    body = "\n".join(rows)
    caption = f"<p>{escape(table.caption)}</p>" if table.caption else ""
    title = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>{caption}"
