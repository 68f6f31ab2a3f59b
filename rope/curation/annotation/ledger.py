"""The ledger of answers: files are added, none is ever changed, and the same import twice adds nothing."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import CHOICES
from rope.errors import DatasetError
from rope.files import atomic_path

__all__ = ["LEDGER_SCHEMA", "BatchState", "ImportReport", "add_answers", "current_answers", "read_ledger", "state_of"]

LEDGER_SCHEMA: Final = pa.schema(
    [
        ("task_id", pa.string()),
        ("annotator", pa.string()),
        ("value", pa.string()),
        ("answered_at", pa.string()),
        ("seconds", pa.float64()),
        ("media_digest", pa.string()),
    ]
)
"""One row an answer, in the order of arrival."""

BatchState = Literal["exported", "partially imported", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did; each list names tasks.

    Attributes:
        n_added: answers that were new.
        n_known: answers that the ledger had already.
        revised: somebody answered again and differently than before; the later answer counts.
        unknown: tasks of no batch; left out.
        changed_media: what was shown is not what the batch was made of; left out.
        not_allowed: answers that the question does not allow; left out.
    """

    n_added: int
    n_known: int
    revised: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    changed_media: tuple[str, ...] = ()
    not_allowed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sorting:
    """Answers by how they are used."""

    added: list[AnnotatorAnswer] = field(default_factory=list)
    n_known: int = 0
    named: dict[str, list[str]] = field(default_factory=dict)

    def name(self, kind: str, task_id: str) -> None:
        found = self.named.setdefault(kind, [])
        if task_id not in found:
            found.append(task_id)


def add_answers(
    folder: Path,
    answers: Iterable[AnnotatorAnswer],
    batches: Sequence[TaskBatch],
    known: Sequence[AnnotatorAnswer] | None = None,
) -> ImportReport:
    """Check answers against the batches that were exported, and add the new ones to the ledger.

    Several processes may add to one ledger.

    Args:
        folder: of the ledger; made when it does not exist.
        answers: in the order of the source.
        batches: all that were ever exported.
        known: what the ledger holds, for who has just read it; None reads it.

    Raises:
        DatasetError: the ledger is damaged.
    """
    sorted_ = _sort(answers, read_ledger(folder) if known is None else known, batches)
    if sorted_.added:
        _append(folder, sorted_.added)
    named = {kind: tuple(found) for kind, found in sorted_.named.items()}
    return ImportReport(n_added=len(sorted_.added), n_known=sorted_.n_known, **named)


def _sort(
    answers: Iterable[AnnotatorAnswer], known: Sequence[AnnotatorAnswer], batches: Sequence[TaskBatch]
) -> _Sorting:
    asked = {task.item.task_id: task for batch in batches for task in batch.tasks}
    seen = set(known)
    current = current_answers(known)
    result = _Sorting()
    for answer in answers:
        if answer in seen:
            result.n_known += 1
        elif (fault := _fault(answer, asked)) is not None:
            result.name(fault, answer.task_id)
        else:
            key = (answer.task_id, answer.annotator)
            if key in current and current[key].value != answer.value:
                result.name("revised", answer.task_id)
            seen.add(answer)
            current[key] = answer
            result.added.append(answer)
    return result


def _fault(
    answer: AnnotatorAnswer, asked: Mapping[str, AnnotationTask]
) -> Literal["unknown", "changed_media", "not_allowed"] | None:
    if answer.task_id not in asked:
        return "unknown"
    item = asked[answer.task_id].item
    if answer.media_digest and answer.media_digest != item.digest:
        return "changed_media"
    allowed = CHOICES.get(item.question)
    return "not_allowed" if allowed and answer.value not in allowed else None


def _append(folder: Path, answers: Sequence[AnnotatorAnswer]) -> None:
    table = pa.Table.from_pylist([asdict(answer) for answer in answers], LEDGER_SCHEMA)
    digest = hashlib.blake2b(repr([astuple(answer) for answer in answers]).encode(), digest_size=6).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        number = len(list(folder.glob("*.parquet"))) + 1
        with atomic_path(folder / f"{number:06d}-{digest}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")


def read_ledger(folder: Path) -> list[AnnotatorAnswer]:
    """All answers, in the order of arrival; none if the folder does not exist.

    Raises:
        DatasetError: a file is damaged, or one is missing.
    """
    answers: list[AnnotatorAnswer] = []
    for number, path in enumerate(sorted(folder.glob("*.parquet")), 1):
        if not path.name.startswith(f"{number:06d}-"):
            raise DatasetError(f"{folder}: file {number:06d} of the ledger is missing; restore it from a copy")
        try:
            table = pq.read_table(path, schema=LEDGER_SCHEMA)
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{path}: is damaged ({error}); restore it from a copy") from error
        answers += [AnnotatorAnswer(**row) for row in table.to_pylist()]
    return answers


def current_answers(answers: Iterable[AnnotatorAnswer]) -> dict[tuple[str, str], AnnotatorAnswer]:
    """(task, annotator) -> the last thing that this annotator said of it."""
    return {(answer.task_id, answer.annotator): answer for answer in answers}


def state_of(batch: TaskBatch, answers: Iterable[AnnotatorAnswer]) -> BatchState:
    """Whether all, some or none of the annotators that a batch waits for have answered.

    >>> from rope.curation.annotation.items import Item
    >>> item = Item(item_id="p1", question="product_name", texts={"page": "a cup"})
    >>> batch = TaskBatch("product_name-1", "product_name", (AnnotationTask(item, 2),))
    >>> answer = AnnotatorAnswer(task_id=item.task_id, annotator="ann", value="cup")
    >>> state_of(batch, []), state_of(batch, [answer])
    ('exported', 'partially imported')
    """
    counts = Counter(task_id for task_id, _ in current_answers(answers))
    missing = sum(max(0, task.annotators - counts[task.item.task_id]) for task in batch.tasks)
    if missing == 0:
        return "closed"
    return "partially imported" if any(counts[task.item.task_id] for task in batch.tasks) else "exported"
