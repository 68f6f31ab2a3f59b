"""Items that answers leave open, asked again of somebody else."""

import hashlib
from collections.abc import Sequence
from typing import Final

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, BatchOptions, TaskBatch, assigned_to
from rope.curation.annotation.items import task_id_of
from rope.curation.annotation.labels import label_table
from rope.curation.annotation.ledger import current_answers

__all__ = ["plan_again"]

_MOST_ANSWERS: Final = 5
"""Of one item; more people than that do not settle what five could not."""


def plan_again(
    batches: Sequence[TaskBatch],
    answers: Sequence[AnnotatorAnswer],
    options: BatchOptions,
    min_probability: float = 0.8,
) -> list[TaskBatch]:
    """A batch for each question with open items, each for one person more; none where nothing is open.

    An item waits until all have answered whom earlier batches wait for, and is given up after five answers. Known items
    are not asked again.

    Args:
        batches: all that were ever exported.
        answers: of the ledger.
        options: who is asked, and the seed.
        min_probability: below it a label is open.

    Raises:
        UsageError: people are named, and all of them have answered an item.
    """
    asked = {task.item.task_id: (task.item, batch) for batch in batches for task in batch.tasks}
    awaited: dict[str, int] = {}
    for batch in batches:
        for task in batch.tasks:
            awaited[task.item.task_id] = max(awaited.get(task.item.task_id, 0), task.annotators)
    said: dict[str, list[str]] = {}
    for task_id, who in current_answers(answers):
        said.setdefault(task_id, []).append(who)
    open_ = [
        task_id_of(row["item_id"], row["question"])
        for row in label_table(batches, answers, min_probability).to_pylist()
        if row["label"] is None
    ]
    due = [one for one in open_ if awaited[one] <= len(said[one]) < _MOST_ANSWERS]
    found: dict[tuple[str, str], list[AnnotationTask]] = {}
    for task_id in sorted(due):
        item, batch = asked[task_id]
        n = len(said[task_id])
        again = AnnotationTask(item, n + 1, assigned_to(item, 1, said[task_id], options), n)
        found.setdefault((batch.question, batch.population), []).append(again)
    return [_batch(tasks, asked[tasks[0].item.task_id][1]) for tasks in found.values()]


def _batch(tasks: Sequence[AnnotationTask], first: TaskBatch) -> TaskBatch:
    told = "".join(f"{task.item.task_id}{task.annotators}" for task in tasks)
    name = f"{first.question}-again-{hashlib.blake2b(told.encode(), digest_size=6).hexdigest()}"
    return TaskBatch(
        name,
        first.question,
        tuple(tasks),
        is_again=True,
        population=first.population,
        n_population=first.n_population,
    )
