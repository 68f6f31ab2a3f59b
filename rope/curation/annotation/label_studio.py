"""Batches for Label Studio, and its exports as answers (https://labelstud.io/guide/task_format)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import TaskBatch
from rope.curation.annotation.items import CHOICES, Item, Question
from rope.errors import ReleaseError

__all__ = ["labelling_config", "read_answers", "tasks_json"]

_TITLE: dict[Question, str] = {
    "same_product": "Is it the same product?",
    "merge": "Is it the same product?",
    "precision": "Is it the same product?",
    "product_name": "Name the product: brand, kind, and what tells it from its variants",
}


def labelling_config(batch: TaskBatch) -> str:
    """The labelling interface of a batch as XML: its media and texts under their headings, and the question.

    Every heading that some task has is there, so that one project takes the whole batch.
    """
    headings = {h: None for task in batch.tasks for h in (*task.item.media, *task.item.texts)}
    lines = ["<View>", '  <View style="display:flex;gap:2em;flex-wrap:wrap">']
    for i, heading in enumerate(headings):
        lines += [
            '    <View style="flex:1;min-width:20em">',
            f"      <Header value={quoteattr(heading)}/>",
            f'      <Text name="text_{i}" value="$text_{i}"/>',
            f'      <Image name="media_{i}" valueList="$media_{i}"/>',
            "    </View>",
        ]
    lines += ["  </View>", f"  <Header value={quoteattr(_TITLE[batch.question])}/>"]
    if choices := CHOICES.get(batch.question):
        lines.append('  <Choices name="answer" toName="text_0" choice="single" required="true" showInLine="true">')
        lines += [
            f'    <Choice value={quoteattr(choice)} hotkey="{number}"/>' for number, choice in enumerate(choices, 1)
        ]
        lines.append("  </Choices>")
    else:
        lines.append('  <TextArea name="answer" toName="text_0" maxSubmissions="1" required="true"/>')
    return "\n".join([*lines, "</View>"]) + "\n"


def tasks_json(batch: TaskBatch, media_prefix: str) -> str:
    """The tasks of a batch as JSON to import.

    Args:
        batch: the tasks.
        media_prefix: what the addresses of media begin with, before the path in the pool.
    """
    headings = {h: None for task in batch.tasks for h in (*task.item.media, *task.item.texts)}
    tasks = [{"data": _data(task.item, list(headings), media_prefix)} for task in batch.tasks]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _data(item: Item, headings: list[str], media_prefix: str) -> dict[str, Any]:
    data: dict[str, Any] = {"task_id": item.task_id, "item_id": item.item_id, "media_digest": item.digest}
    for i, heading in enumerate(headings):
        data[f"text_{i}"] = item.texts.get(heading, "")
        data[f"media_{i}"] = [media_prefix + path for path in item.media.get(heading, ())]
    return data


def read_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """The answers in an export of Label Studio (format JSON); skipped and empty ones are ignored.

    An annotator is the e-mail address where the export has it, or else the number of the user.

    Raises:
        ReleaseError: the file is not an export of this kind; names the task.
    """
    try:
        tasks = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ReleaseError(f"{path}: is not JSON ({error}); export from Label Studio in the format JSON") from error
    if not isinstance(tasks, list):
        raise ReleaseError(f"{path}: expected a list of tasks; export from Label Studio in the format JSON")
    for number, task in enumerate(tasks, 1):
        try:
            yield from _answers_of(task)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ReleaseError(
                f"{path}: task {number} of {len(tasks)} is not as Label Studio writes it ({error!r}); export in the "
                "format JSON, not JSON-MIN"
            ) from error


def _answers_of(task: dict[str, Any]) -> Iterator[AnnotatorAnswer]:
    for annotation in task["annotations"]:
        values = [_value(result) for result in annotation["result"] if result["from_name"] == "answer"]
        if annotation.get("was_cancelled") or not values:
            continue
        by = annotation.get("completed_by")
        yield AnnotatorAnswer(
            task_id=str(task["data"]["task_id"]),
            annotator=str(by.get("email") or by["id"]) if isinstance(by, dict) else str(by),
            value=values[-1],
            answered_at=str(annotation.get("created_at") or ""),
            seconds=float(annotation.get("lead_time") or 0),
            media_digest=str(task["data"].get("media_digest") or ""),
        )


def _value(result: dict[str, Any]) -> str:
    value = result["value"]
    found = value["choices"][0] if "choices" in value else value["text"]
    return str(found[0] if isinstance(found, list) else found).strip()
