"""Items that answers leave open, asked again of somebody else."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, BatchOptions, TaskBatch, assigned_to
from rope.curation.annotation.items import Item, Question, task_id_of
from rope.curation.annotation.labels import label_table
from rope.curation.annotation.ledger import current_answers

__all__ = ["exhausted", "plan_again"]

_MOST_ANSWERS: Final = 5
"""Of one item; more people than that do not settle what five could not."""

_CALIBRATING: Final = 20
"""Settled items that somebody has to have answered to be judged by: who has seen only what others dispute is as
likely right as wrong, and settles nothing."""


@dataclass(frozen=True, slots=True)
class _Survey:
    """What was asked and said.

    Attributes:
        asked: task -> its item and a batch that it is in.
        said: task -> who has answered.
        labels: task -> label, or None where it is open.
        due: open tasks that all have answered whom they wait for, at most four people.
    """

    asked: Mapping[str, tuple[Item, TaskBatch]]
    said: Mapping[str, Sequence[str]]
    labels: Mapping[str, str | None]
    due: Sequence[str]


def _survey(batches: Sequence[TaskBatch], answers: Sequence[AnnotatorAnswer], min_probability: float) -> _Survey:
    asked = {task.item.task_id: (task.item, batch) for batch in batches for task in batch.tasks}
    awaited = Counter[str]()
    for batch in batches:
        for task in batch.tasks:
            awaited[task.item.task_id] = max(awaited[task.item.task_id], task.annotators)
    said: dict[str, list[str]] = {}
    for task_id, who in current_answers(answers):
        said.setdefault(task_id, []).append(who)
    labels = {
        task_id_of(row["item_id"], row["question"]): row["label"]
        for row in label_table(batches, answers, min_probability).to_pylist()
    }
    due = [one for one, label in labels.items() if label is None and awaited[one] <= len(said[one]) < _MOST_ANSWERS]
    return _Survey(asked, said, labels, sorted(due))


def exhausted(
    batches: Sequence[TaskBatch],
    answers: Sequence[AnnotatorAnswer],
    question: Question,
    people: Sequence[str],
    min_probability: float = 0.8,
) -> list[str]:
    """Open items of a question that all of some people have answered: `plan_again` asks none of them."""
    survey = _survey(batches, answers, min_probability)
    due = [one for one in survey.due if survey.asked[one][1].question == question]
    return [survey.asked[one][0].item_id for one in due if people and set(people) <= set(survey.said[one])]


def plan_again(
    batches: Sequence[TaskBatch],
    answers: Sequence[AnnotatorAnswer],
    options: BatchOptions,
    min_probability: float = 0.8,
) -> list[TaskBatch]:
    """A batch for each question with open items, each for one person more; none where nothing is open.

    An item waits until all have answered whom earlier batches wait for, and is given up after five answers, or where
    nobody is named who has not answered it. Known items are not asked again. Somebody who is named and has answered few
    settled items gets some of those too, of each label.

    Args:
        batches: all that were ever exported.
        answers: of the ledger.
        options: who is asked, and the seed.
        min_probability: below it a label is open.
    """
    survey = _survey(batches, answers, min_probability)
    found: dict[tuple[str, str], list[AnnotationTask]] = {}
    for task_id in survey.due:
        item, batch = survey.asked[task_id]
        if options.people and set(options.people) <= set(survey.said[task_id]):
            continue
        again = _once_more(survey, task_id, assigned_to(item, 1, survey.said[task_id], options))
        found.setdefault((batch.question, batch.population), []).append(again)
    for key, tasks in found.items():
        people = sorted({name for task in tasks for name in task.assigned})
        tasks += [_once_more(survey, one, who) for one, who in _calibrating(survey, key, people).items()]
    return [_batch(tasks, survey.asked[tasks[0].item.task_id][1]) for tasks in found.values()]


def _once_more(survey: _Survey, task_id: str, who: tuple[str, ...]) -> AnnotationTask:
    n = len(survey.said[task_id])
    return AnnotationTask(survey.asked[task_id][0], n + max(len(who), 1), who, n)


def _calibrating(survey: _Survey, key: tuple[str, str], people: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Settled tasks -> those who have answered few of them; the labels take turns, so that a rare one is there."""
    settled = [
        one
        for one, label in sorted(survey.labels.items())
        if label is not None and (survey.asked[one][1].question, survey.asked[one][1].population) == key
    ]
    found: dict[str, tuple[str, ...]] = {}
    for who in people:
        turns = Counter[str | None]()
        fresh = []
        for one in settled:
            if who not in survey.said[one]:
                turns[survey.labels[one]] += 1
                fresh.append((turns[survey.labels[one]], one))
        n_judged = len(settled) - len(fresh)
        for _, one in sorted(fresh)[: max(0, _CALIBRATING - n_judged)]:
            found[one] = (*found.get(one, ()), who)
    return found


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
