"""Is one model better than another? Paired differences with intervals, tests, and ranks that tied models share.

A model is one result, or several of the same recipe trained with other seeds; then both the products and the seeds are
a sample. docs/statistics.md defines every number and says how often the test is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from scipy.special import stdtr, stdtrit

from rope.bench.metrics import mean
from rope.bench.stats.intervals import (
    TAIL,
    Interval,
    MetricEstimate,
    crossed_degrees,
    mean_of_pairs,
    micro_estimate,
    over_runs,
    share_interval,
)
from rope.bench.stats.query_ranks import QueryRanks, cutoff_of, query_values
from rope.bench.stats.seed_groups import Group, SeedRun, check_comparable
from rope.errors import UsageError

__all__ = [
    "MEAN",
    "SIGNIFICANT",
    "Comparison",
    "Difference",
    "RunNote",
    "Standing",
    "columns_of",
    "compare",
    "comparison_json",
    "comparison_rows",
    "holm",
    "leads",
    "p_value",
    "shared_ranks",
    "subtract",
]

MEAN: Final = "mean"
"""The column of the mean over the cross-domain pairs; for R@1, the headline."""

SIGNIFICANT: Final = 0.05
"""A difference counts where its corrected p-value is below this."""

_POWER_TAIL: Final = 0.2
"""One minus the power of the detectable difference."""

_ROUNDING: Final = 1e-12
"""What is nearer to zero comes from rounding: one query of a million moves a mean by a million times as much."""


@dataclass(frozen=True, slots=True)
class RunNote:
    """One training run of a model in the table.

    Attributes:
        file: the result it was read from; None where it was not read.
        model: its name there.
        training_seed: None where the result does not say.
        embeddings: domain -> SHA-256 of its ids and vectors.
        values: each of `columns_of` -> the metric of this run.
    """

    file: str | None
    model: str
    training_seed: int | None
    embeddings: Mapping[str, str]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Standing:
    """One model in the comparison table: value, interval and rank.

    Attributes:
        rank: 1 for the best and all that cannot be told from it; see `shared_ranks`.
        model: its name.
        intervals: each of `columns_of` -> the metric, the mean over the runs, with its 95 % interval: over products
            and seeds, or over products alone where there is one run.
        runs: what the numbers are of.
    """

    rank: int
    model: str
    intervals: dict[str, Interval]
    runs: tuple[RunNote, ...]

    def spread(self, column: str) -> tuple[float, float]:
        """The lowest and the highest of the runs."""
        values = [run.values[column] for run in self.runs]
        return min(values), max(values)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far model `a` is ahead of model `b` in one column; negative where it is behind.

    Attributes:
        a: name of the first model, the better one in the mean.
        b: name of the second.
        column: one of `columns_of`.
        value: the difference, a fraction.
        low: lower end of its 95 % interval, which is not corrected for the number of comparisons.
        high: upper end.
        p: p-value of the paired test, clustered by product; below 0.05 exactly where the interval leaves out zero (but
            for fewer than six products that all show the same difference).
        p_holm: the same, corrected for all comparisons made together.
        wins: products in which `a` is ahead.
        ties: products without a difference.
        losses: products in which `b` is ahead.
        detectable: the true difference that the uncorrected test would find with a probability of 80 %.
        degrees: degrees of freedom of the test and the interval.
        runs: the number of runs of each of the two.
        is_paired_by_seed: whether runs of the same seed were compared with each other.
    """

    a: str
    b: str
    column: str
    value: float
    low: float
    high: float
    p: float
    p_holm: float
    wins: int
    ties: int
    losses: int
    detectable: float
    degrees: float
    runs: tuple[int, int]
    is_paired_by_seed: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """All models, best first, and every two of them compared in every column.

    Attributes:
        metric: what is compared, one of `rope.bench.stats.query_ranks.METRICS`, as a mean over queries.
        dataset: name of the dataset.
        fingerprint: of the dataset.
        split: the split that was scored.
        protocol: version of the protocol.
        n_products: products with a query.
        standings: by the mean of the pairs; equal ones by name.
        differences: for each two models in the order of the standings, each of `columns_of`.
        by_chance: each of `columns_of` -> the metric of an order drawn at random; None for a metric that is not R@k,
            or where no result says it.
    """

    metric: str
    dataset: str
    fingerprint: str
    split: str
    protocol: str
    n_products: int
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]
    by_chance: Mapping[str, float] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in which models are compared, see `columns_of`."""
        return tuple(self.standings[0].intervals)

    @property
    def has_groups(self) -> bool:
        """Whether a model has several runs."""
        return any(len(standing.runs) > 1 for standing in self.standings)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence each on what the intervals and tests are over."""
        runs = {len(standing.runs) for standing in self.standings}
        told = [] if len(self.columns) > 1 else ["The dataset has one domain: the mean is of its pair with itself."]
        if runs == {1}:
            told.append(
                "One run of each model: intervals and tests are over products alone. Another training seed would move "
                "the numbers too; --group takes several runs of a model."
            )
            return tuple(told)
        told += ["Several seeds: intervals and tests are over products and training seeds, both random and crossed."]
        if 1 in runs:
            told.append(
                "One seed: the interval is over products alone, and a comparison with it is of that one run; another "
                "run of the same recipe may give another result."
            )
        if 2 in runs:
            told.append("Two seeds: one degree of freedom; where seeds matter most, 95 % intervals cover about 90 %.")
        if any(one.is_paired_by_seed for one in self.differences):
            told.append("Models of several seeds are compared seed by seed.")
        return tuple(told)


def columns_of(ranks: QueryRanks) -> tuple[str, ...]:
    """What models are compared on: the cross-domain pairs of the dataset, and `MEAN`.

    With one domain it is `MEAN` alone, which is that of its one pair: a column that said the same again would be one
    more comparison to correct for.
    """
    return (*ranks.cross_pairs, MEAN)


def compare(models: Sequence[QueryRanks | Group], metric: str, *, pair_seeds: bool = False) -> Comparison:
    """Compare two or more models in one metric.

    Args:
        models: their ranks, in any order, with a name each; a group has the ranks of several training runs.
        metric: one of `rope.bench.stats.query_ranks.METRICS`.
        pair_seeds: compare runs of the same seed with each other, for recipes that share what the seed draws. Without
            it the runs of two models have nothing in common.

    Raises:
        UsageError: there are fewer than two models or two of one name, no such metric, fewer than two products, the
            models were scored on different datasets, splits, protocol versions or queries, a run or a seed is given
            twice, or `pair_seeds` and two groups have not the same seeds.
    """
    groups = [Group(one.origin.model, (SeedRun(one),)) if isinstance(one, QueryRanks) else one for one in models]
    check_comparable(groups)
    if pair_seeds and sum(len(group.runs) > 1 for group in groups) < 2:
        raise UsageError("--pair-seeds: needs two models of several runs; give their results with --group")
    ranks = groups[0].runs[0].ranks
    measured = {group.name: _Measured(group, metric) for group in groups}
    names = sorted(measured, key=lambda name: (-measured[name].mean[MEAN].value, name))
    tests = [
        (a, b, column, _subtract_models(measured[a], measured[b], column, pair_seeds))
        for a, b in combinations(names, 2)
        for column in columns_of(ranks)
    ]
    corrected = holm([p_value(difference) for *_, difference in tests])
    differences = tuple(
        _difference(measured[a], measured[b], column, difference, p_holm, pair_seeds)
        for (a, b, column, difference), p_holm in zip(tests, corrected, strict=True)
    )
    separate = {(one.a, one.b) for one in differences if one.column == MEAN and one.p_holm < SIGNIFICANT}
    standings = tuple(
        measured[name].standing(rank) for name, rank in zip(names, shared_ranks(names, separate), strict=True)
    )
    origin = ranks.origin
    return Comparison(
        metric=metric,
        dataset=origin.dataset,
        fingerprint=origin.fingerprint,
        split=origin.split,
        protocol=origin.protocol,
        n_products=len(ranks.product_ids),
        standings=standings,
        differences=differences,
        by_chance=_by_chance([run.ranks for group in groups for run in group.runs], cutoff_of(metric)),
    )


def _by_chance(runs: Sequence[QueryRanks], k: int | None) -> dict[str, float] | None:
    """As the first result tells it that does: the queries are the same in all."""
    told = (run.by_chance for run in runs if all(name in run.by_chance for name in run.compared_pairs))
    by_pair = next(told, None)
    if k is None or by_pair is None:
        return None
    pairs = runs[0].compared_pairs
    columns = {name: by_pair[name][k] for name in runs[0].cross_pairs}
    return {**columns, MEAN: mean(by_pair[name][k] for name in pairs)}


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as a JSON object, fractions in full precision, with the result files and seeds they are of."""
    return {**asdict(comparison), "notes": list(comparison.notes)}


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The comparison as rows: each model in each pair and the mean, and then each difference of two models."""
    of = {"dataset": comparison.dataset, "fingerprint": comparison.fingerprint, "split": comparison.split}
    rows: list[dict[str, Any]] = []
    for one in comparison.standings:
        for pair, interval in one.intervals.items():
            ends = {"value": interval.value, "low": interval.low, "high": interval.high}
            about = {"kind": "standing", "metric": comparison.metric, "pair": pair, "other": None}
            rows.append({"model": one.model, **of, **about, **ends, "rank": one.rank, "seeds": len(one.runs)})
    for difference in comparison.differences:
        about = {"kind": "difference", "metric": comparison.metric, "pair": difference.column, "other": difference.b}
        numbers = ("value", "low", "high", "p", "p_holm", "wins", "ties", "losses", "detectable")
        rows.append({"model": difference.a, **of, **about, **{name: getattr(difference, name) for name in numbers}})
    return rows


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the chance of one false find or more among all stays below the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = largest
    return corrected


def shared_ranks(names: Sequence[str], separate: set[tuple[str, str]]) -> list[int]:
    """Ranks of models given best first: a model not separate from the best of a group shares its rank.

    The first model that is separate from the best of the group above begins the next group. Its rank is one more than
    the number of models before it.

    Args:
        names: the models, best first.
        separate: pairs (better, worse) whose difference is significant.

    >>> shared_ranks(["a", "b", "c", "d"], {("a", "c"), ("a", "d"), ("b", "d")})
    [1, 1, 3, 3]
    """
    ranks: list[int] = []
    for place, name in enumerate(names):
        begins = not ranks or (names[ranks[-1] - 1], name) in separate
        ranks.append(place + 1 if begins else ranks[-1])
    return ranks


def leads(comparison: Comparison, column: str) -> str | None:
    """The model that is best in a column and significantly better than the next; None if there is none."""
    ordered = sorted(comparison.standings, key=lambda standing: -standing.intervals[column].value)
    best, following = ordered[0].model, ordered[1].model
    for one in comparison.differences:
        if one.column == column and {one.a, one.b} == {best, following} and one.p_holm < SIGNIFICANT:
            return best
    return None


def subtract(a: MetricEstimate, b: MetricEstimate) -> MetricEstimate:
    """The difference of two numbers over the same products, left out of both at once; they share no seeds."""
    return MetricEstimate(a.value - b.value, a.shifts - b.shifts, a.parts - b.parts, a.weights, a.seeds + b.seeds)


def p_value(difference: MetricEstimate) -> float:
    """The two-sided p-value of a difference over at least two products, from Student's t.

    Where all products show the same difference, the standard error is zero, and the sign test is used.
    """
    error = difference.standard_error
    if error > _ROUNDING:
        return 2 * float(stdtr(_degrees(difference), -abs(difference.value) / error))
    return 1.0 if abs(difference.value) <= _ROUNDING else 2.0 ** (1 - difference.n_products)


def _degrees(difference: MetricEstimate) -> float:
    return crossed_degrees(difference, difference.n_products - 1)


class _Measured:
    """A model with the estimates of each run, and their mean, in every column."""

    def __init__(self, group: Group, metric: str) -> None:
        self.group = group
        self.runs = [_columns(run.ranks, metric) for run in group.runs]
        self.mean = {column: over_runs([run[column] for run in self.runs]) for column in self.runs[0]}

    def standing(self, rank: int) -> Standing:
        intervals = {column: share_interval(one) for column, one in self.mean.items()}
        notes = []
        for run, columns in zip(self.group.runs, self.runs, strict=True):
            origin, values = run.ranks.origin, {column: one.value for column, one in columns.items()}
            notes.append(RunNote(run.file, origin.model, origin.training_seed, dict(origin.embeddings), values))
        return Standing(rank, self.group.name, intervals, tuple(notes))

    def by_seed(self, column: str) -> dict[int, MetricEstimate]:
        found = {}
        for run, columns in zip(self.group.runs, self.runs, strict=True):
            if run.seed is None:
                raise UsageError(
                    f"--pair-seeds: {run.label} does not say its training seed; score it with --training-seed, or "
                    "compare without --pair-seeds"
                )
            found[run.seed] = columns[column]
        return found


def _columns(ranks: QueryRanks, metric: str) -> dict[str, MetricEstimate]:
    columns = {}
    for name in ranks.cross_pairs:
        pair = ranks.pairs[name]
        columns[name] = micro_estimate(query_values(pair, metric), pair.products, len(ranks.product_ids))
    return {**columns, MEAN: mean_of_pairs(ranks, metric)}


def _subtract_models(a: _Measured, b: _Measured, column: str, pair_seeds: bool) -> MetricEstimate:
    if not _is_paired(a, b, pair_seeds):
        return subtract(a.mean[column], b.mean[column])
    ours, theirs = a.by_seed(column), b.by_seed(column)
    if ours.keys() != theirs.keys():
        raise UsageError(
            f"--pair-seeds: {a.group.name} has the training seeds {_listed(ours)}, and {b.group.name} "
            f"{_listed(theirs)}; train both with the same, or compare without --pair-seeds"
        )
    return over_runs([subtract(ours[seed], theirs[seed]) for seed in ours])


def _is_paired(a: _Measured, b: _Measured, pair_seeds: bool) -> bool:
    return pair_seeds and len(a.runs) > 1 and len(b.runs) > 1


def _listed(seeds: Mapping[int, MetricEstimate]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _difference(
    a: _Measured, b: _Measured, column: str, difference: MetricEstimate, p_holm: float, pair_seeds: bool
) -> Difference:
    degrees, error = _degrees(difference), difference.standard_error
    reach = float(stdtrit(degrees, 1 - TAIL)) * error
    wins = int(np.count_nonzero(difference.parts > _ROUNDING))
    losses = int(np.count_nonzero(difference.parts < -_ROUNDING))
    return Difference(
        a=a.group.name,
        b=b.group.name,
        column=column,
        value=difference.value,
        low=max(-1.0, difference.value - reach),
        high=min(1.0, difference.value + reach),
        p=p_value(difference),
        p_holm=p_holm,
        wins=wins,
        ties=difference.n_products - wins - losses,
        losses=losses,
        detectable=min(1.0, reach + float(stdtrit(degrees, 1 - _POWER_TAIL)) * error),
        degrees=degrees,
        runs=(len(a.runs), len(b.runs)),
        is_paired_by_seed=_is_paired(a, b, pair_seeds),
    )
