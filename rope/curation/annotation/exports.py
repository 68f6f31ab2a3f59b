"""The files of a batch, and answers in any of their formats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rope.curation.annotation import label_studio
from rope.curation.annotation.answers import (
    AnnotatorAnswer,
    read_csv_answers,
    read_jsonl_answers,
    tasks_csv,
    tasks_jsonl,
)
from rope.curation.annotation.batches import TaskBatch
from rope.errors import UsageError
from rope.files import atomic_path

__all__ = ["read_any_answers", "write_exports"]

_BYTE_ORDER_MARK: Final = "\ufeff"
"""By which Excel tells UTF-8 from the encoding of the system."""

_READERS = {".json": label_studio.read_answers, ".csv": read_csv_answers, ".jsonl": read_jsonl_answers}


def write_exports(folder: Path, batch: TaskBatch, media_prefix: str, media_root: Path | str | None = None) -> None:
    """Write `label-studio.json`, `label-studio.xml`, `tasks.csv` and `tasks.jsonl` into the folder of a batch."""
    contents = {
        "label-studio.json": label_studio.tasks_json(batch, media_prefix, media_root),
        "label-studio.xml": label_studio.labelling_config(batch),
        "tasks.csv": _BYTE_ORDER_MARK + tasks_csv(batch, media_prefix, media_root),
        "tasks.jsonl": tasks_jsonl(batch, media_prefix, media_root),
    }
    for name, content in contents.items():
        with atomic_path(folder / batch.name / name) as temporary:
            temporary.write_text(content, "utf-8")


def read_any_answers(path: Path) -> Iterator[AnnotatorAnswer]:
    """Answers in a file, by the end of its name.

    Raises:
        UsageError: the file does not exist, or its name ends otherwise.
        ReleaseError: it is of another form.
    """
    if not path.is_file() or path.suffix not in _READERS:
        raise UsageError(
            f"{path}: expected a file with answers: .json of Label Studio, or a filled-in .csv or .jsonl of a batch"
        )
    return _READERS[path.suffix](path)
