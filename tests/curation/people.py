"""Scripted annotators who err: what they answer about items whose truth is known."""

from dataclasses import dataclass

import numpy as np

from rope.curation.annotation.answers import AnnotatorAnswer

__all__ = ["Person", "answers_of", "ask", "ask_again"]


@dataclass(frozen=True)
class Person:
    """Somebody who says `same` of so many that are, and `different` of so many that are."""

    name: str
    same: float
    different: float

    def say(self, rng, truth):
        is_right = rng.random() < (self.same if truth == "same" else self.different)
        return truth if is_right else {"same": "different", "different": "same"}[truth]


def answers_of(rng, item, truth, people):
    """An answer of each of some people."""
    return [AnnotatorAnswer(task_id=item.task_id, annotator=one.name, value=one.say(rng, truth)) for one in people]


def ask(rng, batch, truth, people):
    """A batch answered: each task by as many people as it waits for, taken in turns."""
    found = []
    for i, task in enumerate(batch.tasks):
        chosen = [people[(i + k) % len(people)] for k in range(task.annotators)]
        found += answers_of(rng, task.item, truth[task.item.item_id], chosen)
    return found


def ask_again(rng, batch, truth, people, answers, labels):
    """Answers of one more person each to the items whose label is open."""
    items = {task.item.item_id: task.item for task in batch.tasks}
    said = {(answer.task_id, answer.annotator) for answer in answers}
    found = []
    for row in labels:
        if row["label"] is None:
            item = items[row["item_id"]]
            fresh = [one for one in people if (item.task_id, one.name) not in said]
            found += answers_of(rng, item, truth[item.item_id], fresh[:1])
    return found


def truths(rng, sizes, precision, icc=0.0):
    """Clusters of rows: whether each is the same; rows of one cluster are alike as far as `icc` says."""
    strength = 1 / icc - 1 if icc else None
    rates = [rng.beta(precision * strength, (1 - precision) * strength) if strength else precision for _ in sizes]
    return [
        ["same" if rng.random() < rate else "different" for _ in range(n)] for n, rate in zip(sizes, rates, strict=True)
    ]


def draw_sizes(rng, n_rows, mean):
    """Sizes of clusters with so many rows together; geometric, at most 20."""
    sizes = np.minimum(rng.geometric(1 / mean, n_rows), 20)
    ends = np.cumsum(sizes)
    return np.diff(np.minimum(ends, n_rows), prepend=0)[: int(np.searchsorted(ends, n_rows)) + 1].tolist()
