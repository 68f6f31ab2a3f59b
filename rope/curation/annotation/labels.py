"""The answers of a ledger as labels: one for each task, and how far they can be trusted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.curation.annotation.agreement import (
    DawidSkene,
    GoldScore,
    Vote,
    adjudicate,
    dawid_skene,
    krippendorff_alpha,
    score_on_gold,
)
from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import TaskBatch
from rope.curation.annotation.items import CHOICES, Item, Question
from rope.curation.annotation.ledger import BatchState, current_answers, state_of
from rope.files import atomic_path

__all__ = ["LABEL_SCHEMA", "QuestionSummary", "label_table", "summarize", "write_labels"]

LABEL_SCHEMA: Final = pa.schema(
    [
        ("item_id", pa.string()),
        ("question", pa.string()),
        ("label", pa.string()),
        ("probability", pa.float64()),
        ("n_answers", pa.int64()),
        ("answers", pa.string()),
        ("stratum", pa.string()),
        ("weight", pa.float64()),
    ]
)
"""A row for each answered item that is not a known one; `label` is null where the answers leave it open, and
`probability` where nothing is there to judge the answers by. `answers` says who said what: `ann: same, bob: same`."""


_FEW: Final = 10
"""Items of a question below which answers say next to nothing about people. They are then taken to be right in four of
five cases: at even odds, nothing that two people agree on would be a label, and a merge has few open pairs. With more
items that would be too kind to people who take what is different for the same."""

_CREDIT: Final = 4.0
"""Right votes for that, against one wrong one."""


@dataclass(frozen=True, slots=True)
class QuestionSummary:
    """What is known of the answers to one question.

    Attributes:
        batches: name -> state.
        n_answers: that count.
        alpha: Krippendorff's; None where it is undefined: no item has two answers, or all answers are equal.
        accuracy: annotator -> estimated share of right answers; empty for free text, and where nothing is there to
            judge them by.
        gold: annotator -> score on known items.
    """

    batches: dict[str, BatchState]
    n_answers: int
    alpha: float | None
    accuracy: dict[str, float]
    gold: dict[str, GoldScore]


def summarize(batches: Sequence[TaskBatch], answers: Sequence[AnnotatorAnswer]) -> dict[Question, QuestionSummary]:
    """Question -> how its batches and annotators are doing."""
    found: dict[Question, QuestionSummary] = {}
    for question in sorted({batch.question for batch in batches}):
        own = [batch for batch in batches if batch.question == question]
        votes, known = _votes(own, answers), _known(own)
        is_judged = question in CHOICES and _can_judge(votes, known)
        accuracy = _estimate(votes, known).accuracy() if is_judged else {}
        alpha = krippendorff_alpha(votes)
        found[question] = QuestionSummary(
            {batch.name: state_of(batch, answers) for batch in own},
            len(votes),
            None if isnan(alpha) else alpha,
            accuracy,
            score_on_gold(votes, known),
        )
    return found


def label_table(
    batches: Sequence[TaskBatch], answers: Sequence[AnnotatorAnswer], min_probability: float = 0.8
) -> pa.Table:
    """Labels by item and question, in `LABEL_SCHEMA`.

    Where a question has choices, Dawid and Skene's estimate decides. Where no item was known and none answered twice,
    it has nothing to go by (a rare answer of the only annotator would look like a slip), and answers are labels as they
    are. Free text is a label where all answers are equal.
    """
    rows = []
    for question in sorted({batch.question for batch in batches}):
        own = [batch for batch in batches if batch.question == question]
        votes, known = _votes(own, answers), _known(own)
        if not votes:
            continue
        decided = _decide(question, votes, known, min_probability)
        said: dict[str, list[str]] = {}
        for task, who, value in sorted(votes):
            said.setdefault(task, []).append(f"{who}: {value}")
        items = {task.item.task_id: task.item for batch in own for task in batch.tasks}
        rows += [
            _row(items[task], *decided[task], said[task]) | {"weight": items[task].weight / _rate(items[task], own)}
            for task in sorted(said)
            if items[task].gold is None
        ]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (row["question"], row["item_id"])), LABEL_SCHEMA)


def write_labels(table: pa.Table, path: Path) -> None:
    """Write labels as the stage `answers` reads them."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def _row(item: Item, label: str | None, probability: float | None, answers: Sequence[str]) -> dict[str, object]:
    return {
        "item_id": item.item_id,
        "question": item.question,
        "label": label,
        "probability": probability,
        "n_answers": len(answers),
        "answers": ", ".join(answers),
        "stratum": item.stratum,
    }


def _rate(item: Item, batches: Sequence[TaskBatch]) -> float:
    """The probability that an item is asked in one batch or another: the draws near several cuts contain each other."""
    rates = [1.0 if one.near is None else one.near.rate(item) for one in batches if not one.is_again]
    return max(rates, default=1.0)


def _decide(
    question: Question, votes: Sequence[Vote], known: dict[str, str], min_probability: float
) -> dict[str, tuple[str | None, float | None]]:
    """Task -> label and its probability."""
    if question in CHOICES and not _can_judge(votes, known):
        return {task: (value, None) for task, _, value in votes}
    if question in CHOICES:
        estimate = _estimate(votes, known)
        best = dict(zip(estimate.tasks, estimate.posterior.max(axis=1).tolist(), strict=True))
        return {task: (label, best[task]) for task, label in adjudicate(estimate, min_probability).items()}
    said: dict[str, Counter[str]] = {}
    for task, _, value in votes:
        said.setdefault(task, Counter())[value] += 1
    most = {task: counts.most_common(1)[0] for task, counts in said.items()}
    return {
        task: (value if n == said[task].total() else None, n / said[task].total()) for task, (value, n) in most.items()
    }


def _estimate(votes: Sequence[Vote], known: dict[str, str]) -> DawidSkene:
    is_little = len({task for task, _, _ in votes}) < _FEW
    return dawid_skene(votes, known, credit=_CREDIT if is_little else 1.0)


def _can_judge(votes: Sequence[Vote], known: dict[str, str]) -> bool:
    """Whether some item is known, or was answered twice."""
    counts = Counter(task for task, _, _ in votes)
    return any(task in known or n > 1 for task, n in counts.items())


def _votes(batches: Sequence[TaskBatch], answers: Sequence[AnnotatorAnswer]) -> list[Vote]:
    asked = {task.item.task_id for batch in batches for task in batch.tasks}
    return [(task, who, answer.value) for (task, who), answer in current_answers(answers).items() if task in asked]


def _known(batches: Sequence[TaskBatch]) -> dict[str, str]:
    return {t.item.task_id: t.item.gold for batch in batches for t in batch.tasks if t.item.gold is not None}
