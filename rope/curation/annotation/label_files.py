"""Labels in a file: of annotators, as `rope curate annotate labels` writes them, or a table made by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from rope.curation.annotation.items import QUESTIONS, Question
from rope.curation.annotation.tables import read_table
from rope.errors import FileError, UsageError
from rope.files import reading_file

__all__ = ["Label", "read_labels"]

_NEEDED: Final = ("item_id", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What the answers to one item come to.

    Attributes:
        item_id: id of a row, or of a pair of rows as `LEFT|RIGHT`.
        question: what was asked.
        label: the answer that counts; None where the answers leave it open.
        probability: of the label, or of the most probable answer of an open item; None where nothing was there to judge
            the answers by.
        weight: how many rows of the pool the item stands for.
        answers: who said what, in words; empty for a table made by hand.
    """

    item_id: str
    question: Question = "same_product"
    label: str | None = None
    probability: float | None = None
    weight: float = 1.0
    answers: str = ""


def read_labels(path: Path) -> list[Label]:
    """Labels of a Parquet file, or of a CSV with `item_id` and `label`, and maybe `question` and `weight`.

    Raises:
        UsageError: the file does not exist.
        FileError: it is of another form, a column is missing, or a value makes no sense; names the row.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; expected the labels that `rope curate annotate labels --out` writes, or a CSV with "
            "the columns item_id and label"
        )
    if path.suffix == ".csv":
        names, numbered = read_table(path)
        rows = [(line, dict(row)) for line, row in numbered]
    else:
        with reading_file(path, "Parquet"):
            table = pq.read_table(path)
        names, rows = table.column_names, list(enumerate(table.to_pylist(), 1))
    if missing := [name for name in _NEEDED if name not in names]:
        raise FileError(f"{path}: no column {missing[0]!r}; expected item_id, label and, if there are any, weight")
    return [_label(row, f"{path}:{number}") for number, row in rows]


def _label(row: Mapping[str, Any], where: str) -> Label:
    question = row.get("question") or "same_product"
    if question not in QUESTIONS:
        raise FileError(f"{where}: the question {question!r} is not one of {', '.join(QUESTIONS)}")
    if not row["item_id"]:
        raise FileError(f"{where}: has no item_id")
    return Label(
        item_id=str(row["item_id"]),
        question=question,
        label=row["label"] or None,
        probability=_number(row, "probability", where),
        weight=_number(row, "weight", where) or 1.0,
        answers=row.get("answers") or "",
    )


def _number(row: Mapping[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise FileError(f"{where}: {name} is {value!r}; expected a number") from None
