"""Agreement beyond chance, the quality of each annotator, and one label for each task."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray

__all__ = ["DawidSkene", "GoldScore", "adjudicate", "dawid_skene", "krippendorff_alpha", "score_on_gold"]


Vote = tuple[str, str, str]
"""Task, annotator, value."""

_MAX_ROUNDS: Final = 200
_CONVERGED: Final = 1e-9


def krippendorff_alpha(votes: Iterable[Vote]) -> float:
    """Krippendorff's alpha for nominal values: 1 is full agreement, 0 what chance gives; below 0, worse than chance.

    Tasks with one vote say nothing and are left out. NaN where no task has two votes, or all votes are of one value.
    Krippendorff, Content Analysis, 4th edition (2018), chapter 12.

    >>> krippendorff_alpha([("t1", "a", "x"), ("t1", "b", "x"), ("t2", "a", "y"), ("t2", "b", "y")])
    1.0
    """
    by_task: dict[str, Counter[str]] = defaultdict(Counter)
    for task, _, value in votes:
        by_task[task][value] += 1
    paired = [counts for counts in by_task.values() if counts.total() > 1]
    totals = sum(paired, Counter[str]())
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if expected == 0:
        return nan
    observed = sum((c.total() ** 2 - sum(v * v for v in c.values())) / (c.total() - 1) for c in paired)
    return 1 - (n - 1) * observed / expected


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """What the model of Dawid and Skene says of some votes.

    Attributes:
        values: the C possible values, sorted.
        tasks: the T tasks, sorted.
        annotators: the A annotators, sorted.
        posterior: float64 [T, C]; how probable each value is for each task.
        confusion: float64 [A, C, C]; how often an annotator says the second where the first is true.
        prior: float64 [C]; how common each value is.
    """

    values: tuple[str, ...]
    tasks: tuple[str, ...]
    annotators: tuple[str, ...]
    posterior: FloatArray
    confusion: FloatArray
    prior: FloatArray

    def accuracy(self) -> dict[str, float]:
        """Annotator -> how probable a right answer is, over the values as common as they are."""
        right = np.einsum("acc,c->a", self.confusion, self.prior)
        return {name: float(share) for name, share in zip(self.annotators, right, strict=True)}


def dawid_skene(
    votes: Sequence[Vote], known: Mapping[str, str] | None = None, smoothing: float = 1.0, credit: float = 1.0
) -> DawidSkene:
    """Estimate true values and annotators' confusions together, by expectation maximisation.

    Dawid and Skene, Maximum likelihood estimation of observer error-rates using the EM algorithm, Applied Statistics
    28 (1979). A task is a value's in the first round as far as its votes say so. It ends where no probability moves by
    1e-9, or after 200 rounds.

    Args:
        votes: any number for a task, at most one of an annotator.
        known: task -> true value of tasks that test annotators; these stay certain.
        smoothing: wrong votes on each value that every annotator is charged with beforehand, so that one vote makes
            nobody perfect.
        credit: right votes on each value that every annotator is credited with beforehand. Where a value is rare,
            little else says how well people recognise it.

    Raises:
        ValueError: there are no votes.
    """
    if not votes:
        raise ValueError("no votes: there is nothing to estimate")
    known = known or {}
    tasks = tuple(sorted({task for task, _, _ in votes}))
    annotators = tuple(sorted({annotator for _, annotator, _ in votes}))
    values = tuple(sorted({value for _, _, value in votes} | {known[t] for t in tasks if t in known}))
    at = (_index(tasks, (t for t, _, _ in votes)), _index(annotators, (a for _, a, _ in votes)))
    said = _index(values, (v for _, _, v in votes))
    certain = {tasks.index(task): values.index(value) for task, value in known.items() if task in set(tasks)}
    posterior = np.zeros((len(tasks), len(values)))
    np.add.at(posterior, (at[0], said), 1.0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    _fix(posterior, certain)
    for _ in range(_MAX_ROUNDS):
        prior = (posterior.sum(axis=0) + 1) / (len(tasks) + len(values))
        confusion = _confusion(posterior, at, said, len(annotators), smoothing, credit)
        log = np.tile(np.log(prior), (len(tasks), 1))
        np.add.at(log, at[0], np.log(confusion[at[1], :, said]))
        updated = np.exp(log - log.max(axis=1, keepdims=True))
        updated /= updated.sum(axis=1, keepdims=True)
        _fix(updated, certain)
        moved = np.abs(updated - posterior).max()
        posterior = updated
        if moved < _CONVERGED:
            break
    return DawidSkene(values, tasks, annotators, posterior, confusion, prior)


def _index(names: Sequence[str], wanted: Iterable[str]) -> npt.NDArray[np.intp]:
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[name] for name in wanted], np.intp)


def _fix(posterior: FloatArray, certain: Mapping[int, int]) -> None:
    for task, value in certain.items():
        posterior[task] = 0
        posterior[task, value] = 1


def _confusion(
    posterior: FloatArray,
    at: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    said: npt.NDArray[np.intp],
    n_annotators: int,
    smoothing: float,
    credit: float,
) -> FloatArray:
    """[A, C, C]: smoothed shares of what each annotator says, given what is true."""
    n_values = posterior.shape[1]
    prior = np.full((n_values, n_values), smoothing / max(1, n_values - 1))
    np.fill_diagonal(prior, credit)
    counts = np.tile(prior, (n_annotators, 1, 1))
    np.add.at(counts.transpose(0, 2, 1), (at[1], said), posterior[at[0]])
    shares: FloatArray = counts / counts.sum(axis=2, keepdims=True)
    return shares


def adjudicate(estimate: DawidSkene, min_probability: float = 0.8) -> dict[str, str | None]:
    """Task -> its most probable value, or None where that is less probable than `min_probability`: ask once more."""
    best = estimate.posterior.argmax(axis=1)
    sure = estimate.posterior.max(axis=1) >= min_probability
    return {
        task: estimate.values[value] if is_sure else None
        for task, value, is_sure in zip(estimate.tasks, best, sure, strict=True)
    }


@dataclass(frozen=True, slots=True)
class GoldScore:
    """How an annotator did on known items."""

    n: int
    n_right: int


def score_on_gold(votes: Iterable[Vote], known: Mapping[str, str]) -> dict[str, GoldScore]:
    """Annotator -> score, for those who were shown a known item.

    >>> score_on_gold([("t1", "ann", "same"), ("t2", "ann", "same")], {"t1": "same", "t2": "different"})
    {'ann': GoldScore(n=2, n_right=1)}
    """
    seen: dict[str, list[bool]] = defaultdict(list)
    for task, annotator, value in votes:
        if task in known:
            seen[annotator].append(known[task] == value)
    return {annotator: GoldScore(len(hits), sum(hits)) for annotator, hits in sorted(seen.items())}
