"""Answers of annotators, and the CSV and JSON-lines files that hold them, filled in from our exports."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rope.curation.annotation.batches import TaskBatch
from rope.errors import ReleaseError

__all__ = ["AnnotatorAnswer", "read_csv_answers", "read_jsonl_answers", "tasks_csv", "tasks_jsonl"]

_NEEDED: Final = ("task_id", "answer", "annotator")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorAnswer:
    """One answer of one annotator to one task.

    Attributes:
        task_id: see `rope.curation.annotation.items.Item`.
        annotator: any name that is always the same for the same person.
        value: what was said; one of `CHOICES` where the question has them.
        answered_at: when, as the source says; empty where it does not.
        seconds: how long it took, 0 where the source does not say.
        media_digest: of the media that were shown; empty where the source does not say.
    """

    task_id: str
    annotator: str
    value: str
    answered_at: str = ""
    seconds: float = 0.0
    media_digest: str = ""


def tasks_csv(batch: TaskBatch, media_prefix: str) -> str:
    """A batch as a table to fill in, with empty columns `answer` and `annotator`."""
    file = io.StringIO()
    headings = list({h: None for task in batch.tasks for h in (*task.item.texts, *task.item.media)})
    columns = ["task_id", "item_id", "media_digest", *(f"{h} {part}" for h in headings for part in ("text", "media"))]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, "answer", "annotator"])
    for task in batch.tasks:
        item = task.item
        shown = [
            cell
            for h in headings
            for cell in (item.texts.get(h, ""), " ".join(media_prefix + path for path in item.media.get(h, ())))
        ]
        writer.writerow([item.task_id, item.item_id, item.digest, *shown, "", ""])
    return file.getvalue()


def tasks_jsonl(batch: TaskBatch, media_prefix: str) -> str:
    """A batch as JSON lines to fill in: `answer` and `annotator` are null."""
    lines = [
        {
            "task_id": task.item.task_id,
            "item_id": task.item.item_id,
            "media_digest": task.item.digest,
            "question": batch.question,
            "texts": dict(task.item.texts),
            "media": {h: [media_prefix + path for path in paths] for h, paths in task.item.media.items()},
            "answer": None,
            "annotator": None,
        }
        for task in batch.tasks
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def read_csv_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """The filled-in lines of a table; lines without an answer are ignored.

    Raises:
        ReleaseError: a column is missing, or an answer has no task or no annotator; names the line.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in _NEEDED if name not in (reader.fieldnames or ())]:
            raise ReleaseError(f"{path}:1: has no column {missing[0]}; expected those of the exported table")
        for row in reader:
            yield from _answer(row, f"{path}:{reader.line_num}")


def read_jsonl_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """The filled-in lines of a file of JSON lines; lines without an answer are ignored.

    Raises:
        ReleaseError: a line is not a JSON object, or an answer has no task or no annotator; names the line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ReleaseError(f"{path}:{number}: is not JSON ({error}); expected one object a line") from error
            if not isinstance(row, dict):
                raise ReleaseError(f"{path}:{number}: expected an object, got {type(row).__name__}")
            yield from _answer(row, f"{path}:{number}")


def _answer(row: Mapping[str, Any], where: str) -> Iterator[AnnotatorAnswer]:
    value = str(row.get("answer") or "").strip()
    if not value:
        return
    for name in ("task_id", "annotator"):
        if not row.get(name):
            raise ReleaseError(f"{where}: has an answer but no {name}; fill it in")
    try:
        seconds = float(row.get("seconds") or 0)
    except ValueError as error:
        raise ReleaseError(f"{where}: seconds {row['seconds']!r} is not a number") from error
    yield AnnotatorAnswer(
        task_id=str(row["task_id"]),
        annotator=str(row["annotator"]),
        value=value,
        answered_at=str(row.get("answered_at") or ""),
        seconds=seconds,
        media_digest=str(row.get("media_digest") or ""),
    )
