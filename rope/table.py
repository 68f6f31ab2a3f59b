"""Tables for a terminal that lose nothing where it is narrow.

A number is never cut or broken over two lines. A table that is wider than the terminal first breaks its headings and
texts between words. Where that isn't enough, the columns that don't fit follow below, beside the key columns once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["UNLIMITED", "Table"]

UNLIMITED: Final = 1_000_000
"""Columns of a console that has no width of its own: a pipe or a file."""

_TEXT: Final = 16
"""Columns that a text keeps where it is broken, unless it needs fewer."""

_LEAST: Final = 4
"""Columns that a text keeps in the narrowest terminal."""

_CONTROL: Final = {*range(32), *range(127, 160)} - {ord("\n"), ord("\t")}
_SHOWN: Final = {ord("\t"): " ", **{code: f"\\x{code:02x}" for code in _CONTROL}}
"""Control characters, which a name may hold, as texts: they would move the cursor or change the colour."""

Justify = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class _Column:
    """What a column is headed, and whether it holds numbers, at the right, or texts, at the left."""

    heading: str
    justify: Justify


@dataclass(frozen=True, slots=True)
class _Row:
    cells: tuple[Text, ...]
    ends_section: bool


@dataclass(slots=True, eq=False)
class Table:
    """A table for a terminal, a file or a notebook. Texts are shown as they are: `[bold]` is not markup.

    Attributes:
        title: above it; may be empty.
        caption: below it; may be empty.
        n_keys: the first columns, which are repeated wherever others continue below.
        show_header: whether the columns have headings.
        show_lines: whether there is a line between rows.
        columns: from left to right, the most important first.
        rows: from top to bottom.
    """

    title: str = ""
    caption: str = ""
    n_keys: int = 1
    show_header: bool = True
    show_lines: bool = False
    columns: list[_Column] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)

    def add_column(self, heading: str = "", *, justify: Justify = "left") -> None:
        """Add a column at the right; numbers, and all else that must not be broken, are justified right."""
        self.columns.append(_Column(heading, justify))

    def add_columns(self, *headings: str) -> None:
        """Add columns of numbers."""
        for heading in headings:
            self.add_column(heading, justify="right")

    def add_row(self, *cells: str | Text, end_section: bool = False) -> None:
        """Add a row at the bottom, with a cell for each column.

        Raises:
            ValueError: there are more or fewer cells than columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"a row of {len(cells)} cells in a table of {len(self.columns)} columns")
        texts = (_text(cell) if isinstance(cell, str) else cell for cell in cells)
        self.rows.append(_Row(tuple(texts), end_section))

    def add_section(self) -> None:
        """Draw a line below the last row."""
        if self.rows:
            self.rows[-1] = _Row(self.rows[-1].cells, ends_section=True)

    def plain_rows(self) -> Iterator[list[str]]:
        """The cells of each row, without colours."""
        return ([cell.plain for cell in row.cells] for row in self.rows)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """The title, as many blocks of columns as the width asks for, and the caption."""
        if self.title:
            yield _text(self.title, "table.title")
        for widths in _fold(self._needs(), self.n_keys, options.max_width):
            yield self._block(widths)
        if self.caption:
            yield _text(self.caption, "table.caption")

    def _needs(self) -> list["_Need"]:
        return [
            _need(column, [row.cells[i].plain for row in self.rows], self.show_header)
            for i, column in enumerate(self.columns)
        ]

    def _block(self, widths: dict[int, int]) -> RichTable:
        """Some of the columns, each with its width."""
        block = RichTable(show_header=self.show_header, show_lines=self.show_lines)
        for i, width in widths.items():
            column = self.columns[i]
            block.add_column(_text(column.heading), justify=column.justify, width=width, overflow="fold")
        for row in self.rows:
            block.add_row(*(row.cells[i] for i in widths), end_section=row.ends_section)
        return block


def _text(plain: str, style: str = "") -> Text:
    return Text(plain.translate(_SHOWN), style)


@dataclass(frozen=True, slots=True)
class _Need:
    """How many columns of a terminal one column needs.

    Attributes:
        least: in the narrowest terminal.
        broken: with headings and texts broken between words.
        whole: with nothing broken.
    """

    least: int
    broken: int
    whole: int


def _need(column: _Column, cells: Sequence[str], has_heading: bool) -> _Need:
    heading = _text(column.heading).plain if has_heading else ""
    lines = [line for cell in cells for line in cell.splitlines()]
    whole = max(map(cell_len, [heading, *lines]), default=0)
    words = max(map(cell_len, heading.split()), default=0)
    longest = max(map(cell_len, lines), default=0)
    if column.justify == "right":
        return _Need(max(words, longest), max(words, longest), whole)
    least = max(words, min(longest, _LEAST))
    return _Need(least, max(words, min(longest, _TEXT)), whole)


def _fold(needs: Sequence[_Need], n_keys: int, width: int) -> Iterator[dict[int, int]]:
    """The columns of each block with their widths; every block begins with the keys, and has one column more if it can.

    >>> [list(block) for block in _fold([_Need(4, 4, 4)] * 5, 1, 22)]
    [[0, 1, 2], [0, 3, 4]]
    """
    keys, others = list(range(min(n_keys, len(needs)))), list(range(n_keys, len(needs)))
    while True:
        n = len(others)
        while n > 1 and _framed([needs[i].broken for i in [*keys, *others[:n]]]) > width:
            n -= 1
        shown = [*keys, *others[:n]]
        yield dict(zip(shown, _spread([needs[i] for i in shown], width), strict=True))
        others = others[n:]
        if not others:
            return


def _spread(needs: Sequence[_Need], width: int) -> list[int]:
    """A width for each of the columns of a block, so that it is as wide as the terminal at most, if that can be.

    >>> _spread([_Need(4, 8, 10), _Need(5, 5, 9)], 100), _spread([_Need(4, 8, 10), _Need(5, 5, 9)], 17)
    ([10, 9], [5, 5])
    """
    widths = [need.broken for need in needs]
    while _framed(widths) > width and any(now > need.least for now, need in zip(widths, needs, strict=True)):
        widest = max(range(len(needs)), key=lambda i: (widths[i] > needs[i].least, widths[i]))
        widths[widest] -= 1
    if _framed([need.whole for need in needs]) <= width:
        return [need.whole for need in needs]
    while _framed(widths) < width:
        short = [i for i, need in enumerate(needs) if widths[i] < need.whole]
        if not short:
            break
        widths[min(short, key=lambda i: widths[i] / needs[i].whole)] += 1
    return widths


def _framed(widths: Sequence[int]) -> int:
    """The width of a block: each column with a space on both sides and a line on its left, and one line more."""
    return sum(widths) + 3 * len(widths) + 1
