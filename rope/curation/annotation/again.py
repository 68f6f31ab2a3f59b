"""Items that answers leave open, asked again of somebody else."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, BatchOptions, TaskBatch, assigned_to
from rope.curation.annotation.items import Item, task_id_of
from rope.curation.annotation.labels import label_table
from rope.curation.annotation.ledger import current_answers

__all__ = ["plan_again"]

_MOST_ANSWERS: Final = 5
"""Of one item; more people than that do not settle what five could not."""

_CALIBRATING: Final = 20
"""Settled items that somebody has to have answered to be judged by: who has seen nothing but what others dispute is as
likely right as wrong, and settles nothing."""


def plan_again(
    batches: Sequence[TaskBatch],
    answers: Sequence[AnnotatorAnswer],
    options: BatchOptions,
    min_probability: float = 0.8,
) -> list[TaskBatch]:
    """A batch for each question with open items, each for one person more; none where nothing is open.

    An item waits until all have answered whom earlier batches wait for, and is given up after five answers. Known items
    are not asked again. Somebody who is named and has answered few settled items gets some of those too, of each label.

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
    labels = {
        task_id_of(row["item_id"], row["question"]): row["label"]
        for row in label_table(batches, answers, min_probability).to_pylist()
    }
    due = [one for one, label in labels.items() if label is None and awaited[one] <= len(said[one]) < _MOST_ANSWERS]
    found: dict[tuple[str, str], list[AnnotationTask]] = {}
    for task_id in sorted(due):
        item, batch = asked[task_id]
        again = _once_more(item, said[task_id], assigned_to(item, 1, said[task_id], options))
        found.setdefault((batch.question, batch.population), []).append(again)
    for key, tasks in found.items():
        settled = {
            one: label
            for one, label in labels.items()
            if label is not None and (asked[one][1].question, asked[one][1].population) == key
        }
        for who in sorted({name for task in tasks for name in task.assigned}):
            chosen = _calibrating(who, settled, said)
            tasks += [_once_more(asked[one][0], said[one], (who,)) for one in chosen]
    return [_batch(tasks, asked[tasks[0].item.task_id][1]) for tasks in found.values()]


def _once_more(item: Item, said: Sequence[str], who: tuple[str, ...]) -> AnnotationTask:
    return AnnotationTask(item, len(said) + 1, who, len(said))


def _calibrating(who: str, settled: Mapping[str, str], said: Mapping[str, Sequence[str]]) -> list[str]:
    """Settled tasks for somebody who has answered few of them: the labels take turns, so that a rare one is there."""
    n_missing = max(0, _CALIBRATING - sum(who in said[task_id] for task_id in settled))
    turns = Counter[str]()
    ordered = []
    for task_id in sorted(one for one in settled if who not in said[one]):
        turns[settled[task_id]] += 1
        ordered.append((turns[settled[task_id]], task_id))
    return [task_id for _, task_id in sorted(ordered)[:n_missing]]


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
