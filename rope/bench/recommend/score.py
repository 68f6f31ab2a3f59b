"""From ranks to numbers: each user's metrics, and their means with intervals, over all users and by slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.floors import item_neighbours, rank_by_neighbours, rank_by_popularity
from rope.bench.recommend.interactions import LeaveOneOut
from rope.bench.recommend.target_ranks import TargetRanks, hidden_items, rank_by_vectors
from rope.bench.stats.intervals import Interval, micro_estimate, share_interval

__all__ = ["KS", "METRICS", "RecommendMetrics", "RecommendScore", "figures_of", "score", "slices_of", "user_values"]

KS: Final = (10, 50)
"""The cut-offs of Recall@k and NDCG@k."""

METRICS: Final = (*(f"Recall@{k}" for k in KS), *(f"NDCG@{k}" for k in KS), "MRR", "AUC")
"""What is reported, in this order."""

_THIRDS: Final = ("head", "torso", "tail")


@dataclass(frozen=True, slots=True)
class RecommendMetrics:
    """Means of the metrics over some users.

    Attributes:
        n_users: how many.
        metrics: metric -> mean and 95 % interval over users.
        optimistic: metric -> mean if ties counted for the model.
    """

    n_users: int
    metrics: dict[str, Interval]
    optimistic: dict[str, float]


@dataclass(frozen=True, slots=True)
class RecommendScore:
    """Method -> slice -> figures. The slice `all` comes first; a slice that has no user is left out."""

    methods: dict[str, dict[str, RecommendMetrics]]


def score(
    items: Vectors,
    users: npt.NDArray[np.float32],
    split: LeaveOneOut,
    compute: ComputeSettings,
    *,
    name: str,
    neighbours: int,
    exclude_history: bool,
) -> RecommendScore:
    """Score vectors of users and items beside the floors.

    Args:
        items: the gallery; `split` speaks of its rows.
        users: float32 [n, dim], one for each user that is asked.
        split: what is asked.
        compute: how to spend the machine.
        name: what to call the vectors among the methods.
        neighbours: neighbours of an item that item-kNN keeps.
        exclude_history: leave what a user took before out of the user's gallery.
    """
    hidden, n_items = hidden_items(split, exclude_history=exclude_history), len(items)
    near = item_neighbours(n_items, split.training, neighbours)
    ranks = {
        name: rank_by_vectors(items, users, split.targets, hidden, compute),
        "popularity": rank_by_popularity(n_items, split, hidden),
        "item-kNN": rank_by_neighbours(near, split, hidden),
    }
    slices = slices_of(split, n_items)
    return RecommendScore({method: figures_of(ranked, slices) for method, ranked in ranks.items()})


def user_values(ranks: TargetRanks, *, optimistic: bool = False) -> dict[str, FloatArray]:
    """What each user scores, metric -> float64 [n] between 0 and 1.

    With `above` items before the target: Recall@k is 1 where above < k, NDCG@k is then 1 / log2(above + 2), the
    reciprocal rank 1 / (above + 1), and AUC the share of the other items that are not before it. One item is asked of
    each user, so Recall@k is also the hit rate, and the best possible DCG is 1.

    >>> values = user_values(TargetRanks(np.array([0, 2, 99]), np.array([0, 2, 99]), np.full(3, 100)))
    >>> {metric: value.round(3).tolist() for metric, value in values.items() if "50" not in metric}
    {'Recall@10': [1.0, 1.0, 0.0], 'NDCG@10': [1.0, 0.5, 0.0], 'MRR': [1.0, 0.333, 0.01], 'AUC': [1.0, 0.98, 0.01]}
    """
    above = ranks.above_optimistic if optimistic else ranks.above
    found = {k: above < k for k in KS}
    return {
        **{f"Recall@{k}": found[k].astype(np.float64) for k in KS},
        **{f"NDCG@{k}": found[k] / np.log2(above + 2) for k in KS},
        "MRR": 1 / (above + 1),
        "AUC": 1 - above / np.maximum(ranks.n_negatives, 1),
    }


def figures_of(ranks: TargetRanks, slices: Mapping[str, BoolArray]) -> dict[str, RecommendMetrics]:
    """The figures of each slice that has a user; users are independent of each other, so each is a cluster."""
    values, optimistic = user_values(ranks), user_values(ranks, optimistic=True)
    return {
        name: RecommendMetrics(
            n_users=int(chosen.sum()),
            metrics={metric: _interval(values[metric][chosen]) for metric in METRICS},
            optimistic={metric: float(np.mean(optimistic[metric][chosen])) for metric in METRICS},
        )
        for name, chosen in slices.items()
        if chosen.any()
    }


def slices_of(split: LeaveOneOut, n_items: int) -> dict[str, BoolArray]:
    """Slice -> which of the users that are asked are in it, bool [n].

    `cold items`: users whose item is in no training interaction. The others by the item: head, torso and tail are the
    items that hold the first, second and last third of the training interactions, the most popular first. All by the
    user: head, torso and tail hold a third of the training interactions of those who are asked, the most active first.
    """
    counts = np.bincount(split.training.items, minlength=n_items)
    is_cold = counts[split.targets] == 0
    by_item, by_user = thirds(counts)[split.targets], thirds(split.training_counts)
    return {
        "all": np.ones(len(split.users), np.bool_),
        "cold items": is_cold,
        **{f"{third} items": (by_item == i) & ~is_cold for i, third in enumerate(_THIRDS)},
        **{f"{third} users": by_user == i for i, third in enumerate(_THIRDS)},
    }


def thirds(sizes: IntArray) -> IntArray:
    """0, 1 or 2 for what holds the first, second or last third of a total, the largest first: int64 [n].

    Something is in the third in which its first unit falls. Equal ones come in the order given.

    >>> thirds(np.array([2, 4, 2, 2, 2]))
    array([1, 0, 1, 2, 2])
    """
    order = np.argsort(-sizes, kind="stable")
    before = np.cumsum(sizes[order]) - sizes[order]
    third = np.empty(len(sizes), np.int64)
    third[order] = np.minimum(3 * before // max(int(sizes.sum()), 1), 2)
    return third


def _interval(values: FloatArray) -> Interval:
    return share_interval(micro_estimate(values, np.arange(len(values)), len(values)))


def _bounds(interval: Interval) -> list[float] | None:
    return None if interval.low is None or interval.high is None else [interval.low, interval.high]


def figures_json(figures: RecommendMetrics) -> dict[str, Any]:
    """Figures as a JSON object: fractions, `[low, high]` or null for an interval."""
    return {
        "n_users": figures.n_users,
        **{metric: interval.value for metric, interval in figures.metrics.items()},
        "ci95": {metric: _bounds(interval) for metric, interval in figures.metrics.items()},
        "optimistic": figures.optimistic,
    }
