"""Answers of annotators, and the CSV and JSON-lines files that hold them, filled in from our exports."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rope.curation.annotation.addresses import address_of
from rope.curation.annotation.batches import TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.tables import decode_text, read_table
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


def tasks_csv(batch: TaskBatch, media_prefix: str, media_root: Path | str | None = None) -> str:
    """A batch as a table to fill in: a line for each answer that is waited for, with empty columns to fill in.

    `place` is the number of the answer, of as many as `annotators`; `assigned` is who is to give it, if anybody.
    Addresses of media are quoted, so that those of one cell can be told apart by spaces.
    """
    file = io.StringIO()
    headings = list(dict.fromkeys(heading for task in batch.tasks for heading in task.item.headings))
    columns = ["task_id", "item_id", "media_digest", "place", "annotators", "assigned"]
    columns += [f"{h} {part}" for h in headings for part in ("text", "media")]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, "answer", "annotator"])
    for task in batch.tasks:
        item = task.item
        media = _media(item, media_prefix, media_root)
        shown = [cell for h in headings for cell in (item.texts.get(h, ""), " ".join(media.get(h, ())))]
        for number, who in task.places:
            named = [item.task_id, item.item_id, item.digest, number, task.annotators, who]
            writer.writerow([*named, *shown, "", ""])
    return file.getvalue()


def tasks_jsonl(batch: TaskBatch, media_prefix: str, media_root: Path | str | None = None) -> str:
    """A batch as JSON lines to fill in, as `tasks_csv`: `answer` and `annotator` are null."""
    lines = [
        {
            "task_id": task.item.task_id,
            "item_id": task.item.item_id,
            "media_digest": task.item.digest,
            "place": number,
            "annotators": task.annotators,
            "assigned": who or None,
            "question": batch.question,
            "texts": dict(task.item.texts),
            "media": _media(task.item, media_prefix, media_root),
            "answer": None,
            "annotator": None,
        }
        for task in batch.tasks
        for number, who in task.places
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _media(item: Item, prefix: str, root: Path | str | None) -> dict[str, list[str]]:
    """Heading -> addresses of its images, and then of its video."""
    return {
        heading: [
            address_of(path, prefix, root)
            for path in (*item.media.get(heading, ()), *([item.videos[heading]] if heading in item.videos else ()))
        ]
        for heading in item.headings
    }


def read_csv_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """The filled-in lines of a table; lines without an answer are ignored.

    UTF-8, or what a spreadsheet writes; see `rope.curation.annotation.tables.read_table`. Where nobody has filled in
    `annotator`, it is who was `assigned`.

    Raises:
        FileError: the encoding is unknown, or a line has too many values.
        ReleaseError: a column is missing, or an answer has no task or no annotator; names the line.
    """
    names, rows = read_table(path)
    if missing := [name for name in _NEEDED if name not in names]:
        raise ReleaseError(f"{path}:1: has no column {missing[0]}; expected those of the exported table")
    for line, row in rows:
        yield from _answer(row, f"{path}:{line}")


def read_jsonl_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """The filled-in lines of a file of JSON lines; lines without an answer are ignored.

    Raises:
        ReleaseError: a line is not a JSON object, or an answer has no task or no annotator; names the line.
    """
    with io.StringIO(decode_text(path)) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ReleaseError(f"{path}:{number}: is not JSON ({error}); expected one object a line") from error
            if not isinstance(row, dict):
                raise ReleaseError(f"{path}:{number}: expected an object, got {type(row).__name__}")
            yield from _answer(row, f"{path}:{number}")


def _answer(row: Mapping[str, Any], where: str) -> Iterator[AnnotatorAnswer]:
    if isinstance(row.get("answer"), list | dict | bool):
        raise ReleaseError(f"{where}: the answer is {row['answer']!r}; expected a text")
    value = str(row.get("answer") or "").strip()
    if not value:
        return
    annotator = str(row.get("annotator") or row.get("assigned") or "").strip()
    for name, given in (("task_id", row.get("task_id")), ("annotator", annotator)):
        if not given:
            raise ReleaseError(f"{where}: has an answer but no {name}; fill it in")
    try:
        seconds = float(row.get("seconds") or 0)
    except (TypeError, ValueError) as error:
        raise ReleaseError(f"{where}: seconds {row['seconds']!r} is not a number") from error
    yield AnnotatorAnswer(
        task_id=str(row["task_id"]).strip(),
        annotator=annotator,
        value=value,
        answered_at=str(row.get("answered_at") or ""),
        seconds=seconds,
        media_digest=str(row.get("media_digest") or "").strip(),
    )
