"""Tables of a terminal as text and as HTML, and values as the JSON that files hold."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from io import StringIO
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["as_html", "as_text", "json_text", "show"]

_WIDTH: Final = 120
"""Columns of a table that goes to no terminal."""


def json_text(value: Mapping[str, Any]) -> str:
    """The text of a file of results; a number that JSON cannot hold is an error, never a NaN literal."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def show(parts: Iterable[str | Table], console: Console) -> None:
    """Print tables, and sentences as they are: a name in them may hold brackets, which are no marks of colour."""
    for part in parts:
        console.print(part, markup=None if isinstance(part, Table) else False)


def as_text(parts: Iterable[str | Table]) -> str:
    """What a terminal of 120 columns would show, without colours.

    >>> as_text(["[bold] is the name"])
    '[bold] is the name'
    """
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    with console.capture() as capture:
        show(parts, console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def as_html(parts: Iterable[str | Table]) -> str:
    """The same for a notebook: paragraphs and plain tables, which take the notebook's own style."""
    return "\n".join(_table(part) if isinstance(part, Table) else f"<p>{escape(part)}</p>" for part in parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{_plain(column.header)}</th>" for column in table.columns)
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = "\n".join(f"<tr>{''.join(f'<td>{_plain(cell)}</td>' for cell in row)}</tr>" for row in rows)
    caption = "".join(f"<p>{_plain(text)}</p>" for text in (table.caption,) if text)
    title = f"<caption>{_plain(table.title)}</caption>" if table.title else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>{caption}"


def _plain(part: RenderableType | None) -> str:
    """A cell without the marks that a terminal turns into colours."""
    return escape(Text.from_markup(part).plain if isinstance(part, str) else str(part or ""))
