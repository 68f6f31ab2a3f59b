"""The answer to a question about results or embeddings, for programs, terminals, notebooks and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rope.bench.report import write_json
from rope.bench.shown import as_html, as_text, json_text
from rope.extras import needed_by
from rope.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Answer"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Answer(Generic[T]):
    """The answer to a question: its value, its tables and its JSON.

    Attributes:
        value: the records.
        shown: what a terminal shows of them.
        plain: what `--json` writes of them.
        rows: what `--csv` writes of them; each names what it belongs to.
    """

    value: T
    shown: Sequence[str | Table]
    plain: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes: fractions in full precision, null where a number is not defined."""
        return dict(self.plain)

    def to_json(self) -> str:
        """The text of `to_dict`."""
        return json_text(self.plain)

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows that `--csv` writes: fractions in full precision, None where a number is not defined."""
        return [dict(row) for row in self.rows]

    def to_pandas(self) -> "DataFrame":
        """The same as a data frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        with needed_by("to_pandas"):
            from pandas import DataFrame
        return DataFrame(self.to_rows())

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as JSON, the very file that `--json` writes."""
        write_json(Path(path), self.plain)

    def __str__(self) -> str:
        return as_text(self.shown)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return as_html(self.shown)
