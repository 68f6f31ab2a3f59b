"""Is one model better than another? Paired differences with intervals, tests, and ranks that tied models share.

docs/statistics.md defines every number and says how often the test is wrong.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from scipy.special import stdtr, stdtrit

from rope.bench.intervals import TAIL, Estimate, Interval, mean_of_pairs, micro_estimate, share_interval
from rope.bench.ranks import Ranks, query_values
from rope.errors import UsageError

__all__ = [
    "MEAN",
    "SIGNIFICANT",
    "Comparison",
    "Difference",
    "Standing",
    "columns_of",
    "compare",
    "comparison_json",
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
class Standing:
    """One model in the table.

    Attributes:
        rank: 1 for the best and all that cannot be told from it; see `shared_ranks`.
        model: its name.
        intervals: each of `columns_of` -> the metric with its 95 % interval.
    """

    rank: int
    model: str
    intervals: dict[str, Interval]


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


@dataclass(frozen=True, slots=True)
class Comparison:
    """All models, best first, and every two of them compared in every column.

    Attributes:
        metric: what is compared, one of `rope.bench.ranks.METRICS`, as a mean over queries.
        dataset: name of the dataset.
        fingerprint: of the dataset.
        split: the split that was scored.
        protocol: version of the protocol.
        n_products: products with a query.
        standings: by the mean of the pairs; equal ones by name.
        differences: for each two models in the order of the standings, each of `columns_of`.
    """

    metric: str
    dataset: str
    fingerprint: str
    split: str
    protocol: str
    n_products: int
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What the models are compared on, see `columns_of`."""
        return tuple(self.standings[0].intervals)


def columns_of(ranks: Ranks) -> tuple[str, ...]:
    """What models are compared on: the cross-domain pairs of the dataset, and `MEAN`."""
    return (*ranks.cross_pairs, MEAN)


def compare(models: Sequence[Ranks], metric: str) -> Comparison:
    """Compare two or more models in one metric.

    Args:
        models: their ranks, in any order, with a name each.
        metric: one of `rope.bench.ranks.METRICS`.

    Raises:
        UsageError: there are fewer than two models or two of one name, no such metric, fewer than two products, or the
            models were scored on different datasets, splits, protocol versions or queries.
    """
    _check_comparable(models)
    columns = columns_of(models[0])
    estimates = {ranks.origin.model: _columns(ranks, metric) for ranks in models}
    names = sorted(estimates, key=lambda name: (-estimates[name][MEAN].value, name))
    tests = [
        (a, b, column, subtract(estimates[a][column], estimates[b][column]))
        for a, b in combinations(names, 2)
        for column in columns
    ]
    corrected = holm([p_value(difference) for *_, difference in tests])
    differences = tuple(
        _difference(a, b, column, difference, p_holm)
        for (a, b, column, difference), p_holm in zip(tests, corrected, strict=True)
    )
    separate = {(one.a, one.b) for one in differences if one.column == MEAN and one.p_holm < SIGNIFICANT}
    standings = tuple(
        Standing(rank, name, {column: share_interval(one) for column, one in estimates[name].items()})
        for name, rank in zip(names, shared_ranks(names, separate), strict=True)
    )
    origin = models[0].origin
    return Comparison(
        metric=metric,
        dataset=origin.dataset,
        fingerprint=origin.fingerprint,
        split=origin.split,
        protocol=origin.protocol,
        n_products=len(models[0].product_ids),
        standings=standings,
        differences=differences,
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as a JSON object, fractions in full precision."""
    return asdict(comparison)


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


def subtract(a: Estimate, b: Estimate) -> Estimate:
    """The difference of two numbers over the same products, which are left out of both at once."""
    return Estimate(a.value - b.value, a.shifts - b.shifts, a.parts - b.parts, a.weights)


def p_value(difference: Estimate) -> float:
    """The two-sided p-value of a difference over at least two products, from Student's t.

    Where all products show the same difference there is no error to divide by, and the sign test is used.
    """
    error = difference.standard_error
    if error > _ROUNDING:
        return 2 * float(stdtr(difference.n_products - 1, -abs(difference.value) / error))
    return 1.0 if abs(difference.value) <= _ROUNDING else 2.0 ** (1 - difference.n_products)


def _columns(ranks: Ranks, metric: str) -> dict[str, Estimate]:
    columns = {}
    for name in ranks.cross_pairs:
        pair = ranks.pairs[name]
        columns[name] = micro_estimate(query_values(pair, metric), pair.products, len(ranks.product_ids))
    return {**columns, MEAN: mean_of_pairs(ranks, metric)}


def _difference(a: str, b: str, column: str, difference: Estimate, p_holm: float) -> Difference:
    degrees, error = difference.n_products - 1, difference.standard_error
    reach = float(stdtrit(degrees, 1 - TAIL)) * error
    wins = int(np.count_nonzero(difference.parts > _ROUNDING))
    losses = int(np.count_nonzero(difference.parts < -_ROUNDING))
    return Difference(
        a=a,
        b=b,
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
    )


def _check_comparable(models: Sequence[Ranks]) -> None:
    lacking = [ranks for ranks in models if not ranks.cross_pairs]
    if lacking:
        origin = lacking[0].origin
        raise UsageError(
            f"{origin.model} was scored on {origin.dataset}, which has no two domains; results are compared on the "
            "pairs of different domains"
        )
    if len(models) < 2:
        raise UsageError(f"a comparison needs at least two models, got {len(models)}")
    names = [ranks.origin.model for ranks in models]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"two models are called {twice!r}; score one of them again with another --name")
    for other in models[1:]:
        _check_same_task(models[0], other)
    for name in models[0].cross_pairs:
        if len(np.unique(models[0].pairs[name].products)) < 2:
            raise UsageError(f"{name} has queries of one product only, and a comparison needs at least two products")


def _check_same_task(first: Ranks, other: Ranks) -> None:
    a, b = first.origin, other.origin
    for what, wanted, found in (
        ("datasets (fingerprints)", a.fingerprint, b.fingerprint),
        ("splits", a.split, b.split),
        ("versions of the protocol", a.protocol, b.protocol),
    ):
        if wanted != found:
            raise UsageError(
                f"{a.model} and {b.model} cannot be compared: they were scored on different {what}, {wanted} and "
                f"{found}; score both on the same"
            )
    if first.cross_pairs != other.cross_pairs:
        raise UsageError(
            f"{a.model} and {b.model} cannot be compared: the first has the pairs {', '.join(first.cross_pairs)}, the "
            f"second {', '.join(other.cross_pairs)}; score both with the same rope-bench"
        )
    for name in first.cross_pairs:
        ours, theirs = first.pairs[name], other.pairs[name]
        same = ours.query_ids == theirs.query_ids and np.array_equal(ours.n_positives, theirs.n_positives)
        if not same or first.product_ids != other.product_ids or not np.array_equal(ours.products, theirs.products):
            raise UsageError(
                f"{a.model} and {b.model} cannot be compared: {name} has {len(ours.query_ids):,} and "
                f"{len(theirs.query_ids):,} queries that are not the same; score both with the same rope-bench"
            )
