"""Batches for Label Studio, and its exports as answers (https://labelstud.io/guide/task_format)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from rope.curation.annotation.addresses import address_of
from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import CHOICES, Question
from rope.curation.annotation.tables import decode_text
from rope.errors import ReleaseError

__all__ = ["labelling_config", "read_answers", "tasks_json"]

_NO_PICTURE: Final = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""One transparent pixel. At an empty list of pictures the page of Label Studio breaks: the task cannot be opened."""

_TITLE: dict[Question, str] = {
    "same_product": "Is it the same product?",
    "merge": "Is it the same product?",
    "precision": "Is it the same product?",
    "product_name": "Name the product: brand, kind, and what tells it from its variants",
}


def labelling_config(batch: TaskBatch) -> str:
    """The labelling interface of a batch as XML: the question, and below it the rows of an item side by side.

    What an item shows is in its task, headings too, so that one project takes the whole batch. Videos come before
    pictures, where some items of the batch have the one and some the other: a picture takes the place of none.
    """
    places = _places(batch)
    lines = ["<View>", f"  <Header value={quoteattr(_TITLE[batch.question])}/>"]
    if choices := CHOICES.get(batch.question):
        lines.append('  <Choices name="answer" toName="text_0" choice="single" required="true" showInLine="true">')
        lines += [
            f'    <Choice value={quoteattr(choice)} hotkey="{number}"/>' for number, choice in enumerate(choices, 1)
        ]
        lines.append("  </Choices>")
    else:
        lines.append('  <TextArea name="answer" toName="text_0" maxSubmissions="1" required="true"/>')
    lines.append('  <View style="display:flex;gap:2em;flex-wrap:wrap">')
    for i, place in enumerate(places):
        lines += [
            '    <View style="flex:1;min-width:20em">',
            f'      <Header value="$heading_{i}"/>',
            f'      <Text name="text_{i}" value="$text_{i}"/>',
            *([f'      <Video name="video_{i}" value="$video_{i}"/>'] if place.has_videos else []),
            *([f'      <Image name="media_{i}" valueList="$media_{i}"/>'] if place.has_images else []),
            "    </View>",
        ]
    return "\n".join([*lines, "  </View>", "</View>"]) + "\n"


def tasks_json(batch: TaskBatch, media_prefix: str, media_root: Path | str | None = None) -> str:
    """The tasks of a batch as JSON to import.

    `annotators` says how many people are to answer a task and `assigned` who, for the filters of Label Studio.

    Args:
        batch: the tasks.
        media_prefix: what the addresses of media begin with, before the path in the pool.
        media_root: see `rope.curation.annotation.addresses.address_of`.
    """
    places = _places(batch)
    tasks = [{"data": _data(task, places, media_prefix, media_root)} for task in batch.tasks]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class _Place:
    """A row of an item, in the order of display: whether some task of the batch has pictures of it, or a video."""

    has_images: bool
    has_videos: bool


def _places(batch: TaskBatch) -> list[_Place]:
    items = [task.item for task in batch.tasks]
    columns = zip_longest(*(item.headings for item in items))
    return [
        _Place(
            any(item.media.get(heading) for item, heading in zip(items, column, strict=True)),
            any(heading in item.videos for item, heading in zip(items, column, strict=True)),
        )
        for column in columns
    ]


def _data(task: AnnotationTask, places: Sequence[_Place], prefix: str, root: Path | str | None) -> dict[str, Any]:
    item = task.item
    data: dict[str, Any] = {
        "task_id": item.task_id,
        "item_id": item.item_id,
        "media_digest": item.digest,
        "annotators": task.annotators,
        "assigned": ", ".join(task.assigned),
    }
    headings = [*item.headings, *[""] * (len(places) - len(item.headings))]
    for i, (place, heading) in enumerate(zip(places, headings, strict=True)):
        data |= {f"heading_{i}": heading, f"text_{i}": item.texts.get(heading, "")}
        if place.has_images:
            shown = [address_of(path, prefix, root) for path in item.media.get(heading, ())]
            data[f"media_{i}"] = shown or [_NO_PICTURE]
        if place.has_videos:
            data[f"video_{i}"] = address_of(item.videos[heading], prefix, root) if heading in item.videos else ""
    return data


def read_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """The answers in an export of Label Studio (format JSON); skipped and empty ones, and relations, are ignored.

    An annotator is the e-mail address where the export has it, or else the number of the user.

    Raises:
        FileError: the encoding is unknown.
        ReleaseError: the file is not an export of this kind, or an answer has no annotator; names the task.
    """
    try:
        tasks = json.loads(decode_text(path))
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path}: is not JSON ({error}); export from Label Studio in the format JSON") from error
    if not isinstance(tasks, list):
        raise ReleaseError(f"{path}: expected a list of tasks; export from Label Studio in the format JSON")
    for number, task in enumerate(tasks, 1):
        where = f"{path}: task {number} of {len(tasks)}"
        try:
            yield from _answers_of(task, where)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise ReleaseError(
                f"{where} is not as Label Studio writes it ({error!r}); export in the format JSON, not JSON-MIN"
            ) from error


def _answers_of(task: dict[str, Any], where: str) -> Iterator[AnnotatorAnswer]:
    for annotation in task["annotations"]:
        values = [_value(one) for one in annotation["result"] if one.get("from_name") == "answer"]
        if annotation.get("was_cancelled") or not values or not values[-1]:
            continue
        yield AnnotatorAnswer(
            task_id=str(task["data"]["task_id"]),
            annotator=_annotator(annotation.get("completed_by"), where),
            value=values[-1],
            answered_at=str(annotation.get("created_at") or ""),
            seconds=float(annotation.get("lead_time") or 0),
            media_digest=str(task["data"].get("media_digest") or ""),
        )


def _annotator(by: object, where: str) -> str:
    named = (by.get("email") or by.get("id")) if isinstance(by, dict) else by
    if named is None or named == "":
        raise ReleaseError(
            f"{where}: an answer has no annotator (completed_by is {by!r}), and without one it counts for nobody; put "
            "the user's e-mail address or number there"
        )
    return str(named)


def _value(result: dict[str, Any]) -> str:
    value = result["value"]
    found = value["choices"] if "choices" in value else value["text"]
    if isinstance(found, list):
        found = found[0] if found else ""
    return str(found).strip()
