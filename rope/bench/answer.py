"""The answer to a question about results or embeddings, for programs, terminals, notebooks and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

from rope.bench.report import write_json
from rope.bench.shown import as_html, as_text, json_text
from rope.table import Table

__all__ = ["Answer"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Answer(Generic[T]):
    """The answer to a question: its value, its tables and its JSON.

    Attributes:
        value: the records.
        shown: what a terminal shows of them.
        plain: what `--json` writes of them.
    """

    value: T
    shown: Sequence[str | Table]
    plain: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes: fractions in full precision, null where a number is not defined."""
        return dict(self.plain)

    def to_json(self) -> str:
        """The text of `to_dict`."""
        return json_text(self.plain)

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as JSON, the very file that `--json` writes."""
        write_json(Path(path), self.plain)

    def __str__(self) -> str:
        return as_text(self.shown)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return as_html(self.shown)
