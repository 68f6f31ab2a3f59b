"""Cutting items into batches that people can take on, with some items given to two of them and some known ones."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from rope.config import Count, NumberRange, Seed, check_record
from rope.curation.annotation.items import SCHEMA_VERSION, Item, Question
from rope.errors import DatasetError, UsageError
from rope.files import atomic_path

__all__ = [
    "AnnotationTask",
    "BatchOptions",
    "NearCut",
    "TaskBatch",
    "assigned_to",
    "plan_batches",
    "read_batches",
    "write_batch",
]

_MANIFEST: Final = "batch.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How items become batches.

    Attributes:
        tasks: in a batch, known items included; labelling tools become slow above a few thousand.
        overlap: share of the items that two annotators see.
        gold: share of a batch that is known items, as far as there are any.
        seed: draws the overlap and the known items, and deals tasks out to people.
        people: the annotators; nobody in particular without names.

    Raises:
        UsageError: a number is out of range.
    """

    tasks: Count = 2000
    overlap: Annotated[float, NumberRange(0, 1)] = 0.1
    gold: Annotated[float, NumberRange(0, 0.5)] = 0.03
    seed: Seed = 0
    people: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_record(self)
        if len(set(self.people)) < len(self.people):
            raise UsageError(f"people: {', '.join(self.people)}: somebody is named twice")


@dataclass(frozen=True, slots=True)
class NearCut:
    """Items chosen by their score: all near a cut, and a share of the others.

    Which of the others are drawn follows from their ids alone, so that a second cut or a larger share adds items to
    those of the first.

    Attributes:
        cut: the score in the middle.
        width: all items as near as this are asked.
        far: share of the other items, above 0, so that what they say can be weighted.
    """

    cut: float
    width: Annotated[float, NumberRange(0)] = 0.05
    far: Annotated[float, NumberRange(above=0, most=1)] = 0.1

    def __post_init__(self) -> None:
        check_record(self)

    def rate(self, item: Item) -> float:
        """The probability that an item is asked."""
        return 1.0 if item.score is not None and abs(item.score - self.cut) <= self.width else self.far

    def takes(self, item: Item) -> bool:
        """Whether an item is asked."""
        return _share(0, "draw", item.task_id) < self.rate(item)


@dataclass(frozen=True, slots=True)
class AnnotationTask:
    """One item of a batch, and how many annotators see it.

    Attributes:
        item: what is asked.
        annotators: how many different people are to answer in all: 1, or 2 where answers are compared.
        assigned: who these are, of those who have not answered before; none where nobody was named.
        answered: how many had answered when the task was exported.
    """

    item: Item
    annotators: int
    assigned: tuple[str, ...] = ()
    answered: int = 0

    @property
    def places(self) -> list[tuple[int, str]]:
        """The number of each answer that is waited for, from 1, and who is to give it, or an empty text."""
        numbers = range(self.answered + 1, self.annotators + 1)
        return [(n, self.assigned[i] if i < len(self.assigned) else "") for i, n in enumerate(numbers)]


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """Tasks that are exported together. `name` follows from them, so that a second export is the same batch.

    Attributes:
        name: of its folder.
        question: of all its tasks.
        tasks: in the order of display.
        is_again: whether all were asked before; see `rope.curation.annotation.again.plan_again`.
        near: how its items were chosen; None where all were asked.
        population: what an audit was drawn from, see `rope.curation.annotation.precision.digest_of`; empty for others.
        n_population: of how many items an audit was drawn.
    """

    name: str
    question: Question
    tasks: tuple[AnnotationTask, ...]
    is_again: bool = False
    near: NearCut | None = None
    population: str = ""
    n_population: int = 0


def assigned_to(item: Item, n: int, answered: Sequence[str], options: BatchOptions) -> tuple[str, ...]:
    """Who is to answer an item: different people, none of whom has; nobody where no names are given.

    >>> cup = Item(item_id="p1", question="product_name", texts={"page": "a cup"})
    >>> assigned_to(cup, 2, ["ann"], BatchOptions(people=("ann", "bob", "cat")))
    ('cat', 'bob')

    Raises:
        UsageError: there are too few people.
    """
    if not options.people:
        return ()
    free = [name for name in options.people if name not in answered]
    if len(free) < n:
        raise UsageError(
            f"item {item.item_id} needs {n} more people, and of {', '.join(options.people)} only {len(free)} have not "
            "answered it; name somebody else"
        )
    return tuple(sorted(free, key=lambda name: _share(options.seed, f"who {name}", item.task_id))[:n])


def plan_batches(items: Iterable[Item], asked: frozenset[str], options: BatchOptions) -> list[TaskBatch]:
    """Cut the items that have not been asked yet into batches, by question.

    Which items are seen twice, and their order, follow from their ids and the seed alone: an item that is added later
    changes nothing about the others. Known items are dealt out again in every batch.

    Args:
        items: of any questions; known ones have `gold`.
        asked: ids of tasks that are in a batch already; these are left out, except for known ones.
        options: sizes and shares.

    Raises:
        UsageError: two items have the same id and question.
    """
    by_question: dict[Question, dict[str, Item]] = {}
    for item in items:
        found = by_question.setdefault(item.question, {})
        if item.task_id in found:
            raise UsageError(f"item {item.item_id}: given twice for the question {item.question}")
        found[item.task_id] = item
    return [
        batch
        for question in sorted(by_question)
        for batch in _batches_of(question, list(by_question[question].values()), asked, options)
    ]


def _batches_of(question: Question, items: list[Item], asked: frozenset[str], options: BatchOptions) -> list[TaskBatch]:
    known = [item for item in items if item.gold is not None]
    new = sorted((i for i in items if i.gold is None and i.task_id not in asked), key=lambda i: i.task_id)
    n_known = min(len(known), round(options.tasks * options.gold), options.tasks - 1)
    step = options.tasks - n_known
    batches = []
    for start in range(0, len(new), step):
        part = new[start : start + step]
        name = hashlib.blake2b("".join(item.task_id for item in part).encode(), digest_size=6).hexdigest()
        test = sorted(known, key=lambda item: _share(options.seed, name, item.task_id))[:n_known]
        tasks = [
            _task(item, 2 if _share(options.seed, "overlap", item.task_id) < options.overlap else 1, options)
            for item in part
        ]
        tasks += [_task(item, 1, options) for item in test]
        ordered = sorted(tasks, key=lambda task: _share(options.seed, "order", task.item.task_id))
        batches.append(TaskBatch(f"{question}-{name}", question, tuple(ordered)))
    return batches


def _task(item: Item, annotators: int, options: BatchOptions) -> AnnotationTask:
    return AnnotationTask(item, annotators, assigned_to(item, annotators, (), options))


def _share(seed: int, purpose: str, key: str) -> float:
    """A number in [0, 1) that follows from its arguments."""
    digest = hashlib.blake2b(f"{seed}|{purpose}|{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def write_batch(folder: Path, batch: TaskBatch, options: BatchOptions) -> None:
    """Write what a batch asks to `FOLDER/NAME/batch.json`: what answers are later checked against.

    A batch that is there already is left as it is.
    """
    path = folder / batch.name / _MANIFEST
    if path.exists():
        return
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "question": batch.question,
        "seed": options.seed,
        "tasks": [
            {
                "task_id": task.item.task_id,
                "annotators": task.annotators,
                "assigned": task.assigned,
                "answered": task.answered,
                **_without_question(task.item),
            }
            for task in batch.tasks
        ],
        "is_again": batch.is_again,
        "near": None if batch.near is None else asdict(batch.near),
        "population": batch.population,
        "n_population": batch.n_population,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _without_question(item: Item) -> dict[str, Any]:
    return {name: value for name, value in asdict(item).items() if name != "question"}


def read_batches(folder: Path) -> list[TaskBatch]:
    """The batches written to a folder, by name; none if the folder does not exist.

    Raises:
        DatasetError: a batch is damaged, or of another version of the questions.
    """
    return [_read_batch(path) for path in sorted(folder.glob(f"*/{_MANIFEST}"))]


def _read_batch(path: Path) -> TaskBatch:
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise DatasetError(f"{path}: questions of version {content['schema_version']}, expected {SCHEMA_VERSION}")
        question: Question = content["question"]
        tasks = tuple(_read_task(question, task) for task in content["tasks"])
        near = None if content.get("near") is None else NearCut(**content["near"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is damaged ({error}); restore it, since answers are checked against it") from error
    return TaskBatch(
        path.parent.name,
        question,
        tasks,
        content.get("is_again", False),
        near,
        content.get("population", ""),
        content.get("n_population", 0),
    )


def _read_task(question: Question, task: dict[str, Any]) -> AnnotationTask:
    item = _item(question, task)
    return AnnotationTask(item, task["annotators"], tuple(task.get("assigned", ())), task.get("answered", 0))


def _item(question: Question, task: dict[str, Any]) -> Item:
    names: Sequence[str] = ("item_id", "texts", "digest", "stratum", "weight", "gold")
    media = {heading: tuple(paths) for heading, paths in task["media"].items()}
    later = {name: task[name] for name in ("videos", "score") if name in task}
    return Item(question=question, media=media, **{name: task[name] for name in names}, **later)
