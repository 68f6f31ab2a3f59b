"""The numbers of a task: means over its queries with intervals by cluster, beside what an order by chance comes to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.metrics import KS, expected_at_random, mean, summarise
from rope.bench.queries.score import TaskScore
from rope.bench.ranking.judged import ANSWERS_AT
from rope.bench.report import summary_json
from rope.bench.stats.intervals import bounds, macro_estimate, micro_estimate, pair_intervals, share_interval
from rope.bench.stats.query_ranks import PairRanks
from rope.domain import DomainName

__all__ = ["SPREAD_METRICS", "task_json"]

SPREAD_METRICS: Final = ("R@1", "R@10", "MRR", "NDCG@10")
"""The metrics whose spread over paraphrases is told."""


def task_json(score: TaskScore) -> dict[str, Any]:
    """Everything that is told of a task: fractions in full precision, null where a number is not defined."""
    numbers, clusters = _numbered(score.clusters)
    ranks = _pair_ranks(score, numbers)
    intervals = pair_intervals(ranks, len(clusters))
    gains = {f"NDCG@{k}": score.ndcg[:, i] for i, k in enumerate(KS)}
    macro = {metric: macro_estimate(values, numbers, len(clusters)) for metric, values in gains.items()}
    return {
        "n_queries": len(score.query_ids),
        "n_no_positive": score.n_no_positive,
        "n_gallery": score.n_gallery,
        "n_clusters": len(clusters),
        "n_graded": int(np.count_nonzero(score.n_grades > 1)),
        **summary_json(summarise(score.scores)),
        **{metric: mean(values) for metric, values in gains.items()},
        "macro": {
            **summary_json(summarise(score.scores, numbers)),
            **{metric: one.value for metric, one in macro.items()},
        },
        "ci95": {
            **{metric: bounds(one) for metric, one in intervals.micro.items()},
            **{metric: _interval(values, numbers) for metric, values in gains.items()},
            "macro": {
                **{metric: bounds(one) for metric, one in intervals.macro.items()},
                **{metric: bounds(share_interval(one)) for metric, one in macro.items()},
            },
        },
        "by_chance": _by_chance(score),
        "hard_negatives": _hard_negatives(score, numbers),
        "paraphrases": _paraphrases(score, numbers),
        "answers_from": _answers_from(score, numbers),
    }


def _numbered(clusters: Sequence[str]) -> tuple[IntArray, list[str]]:
    ids = sorted(set(clusters))
    number = {one: i for i, one in enumerate(ids)}
    return np.array([number[one] for one in clusters], np.int64), ids


def _pair_ranks(score: TaskScore, numbers: IntArray) -> PairRanks:
    """The ranks as intervals want them: by cluster, and then by id."""
    order, scores = np.argsort(numbers, kind="stable"), score.scores
    return PairRanks(
        query_ids=[score.query_ids[i] for i in order],
        products=numbers[order],
        n_positives=scores.n_positives[order],
        rank=scores.rank[order],
        rank_optimistic=scores.rank_optimistic[order],
        average_precision=scores.average_precision[order],
        hits=scores.hits[order],
    )


def _interval(values: FloatArray, numbers: IntArray) -> list[float] | None:
    """The 95 % interval of a mean of some queries, by cluster."""
    return bounds(share_interval(micro_estimate(values, numbers, int(numbers.max()) + 1)))


def _by_chance(score: TaskScore) -> dict[str, float]:
    """What an order drawn at random comes to."""
    n_positives = score.scores.n_positives
    rates = {f"R@{k}": expected_at_random(n_positives, score.n_candidates, k) for k in KS}
    return rates | {f"NDCG@{k}": mean(score.ndcg_chance[:, i]) for i, k in enumerate(KS)}


def _hard_negatives(score: TaskScore, numbers: IntArray) -> dict[str, Any] | None:
    """How often one comes before every positive, of the queries that have some; None where none has."""
    asked = score.n_negatives > 0
    if not asked.any():
        return None
    outranked, n_negatives = score.outranked[asked].astype(np.float64), score.n_negatives[asked]
    chances = n_negatives / (n_negatives + score.scores.n_positives[asked])
    return {
        "n_queries": int(asked.sum()),
        "n_negatives": int(n_negatives.sum()),
        "outranked": mean(outranked),
        "ci95": _interval(outranked, numbers[asked]),
        "by_chance": mean(chances),
    }


def _paraphrases(score: TaskScore, numbers: IntArray) -> dict[str, Any] | None:
    """The mean, the best, the worst and their distance, over the queries of each group; None where there is no group.

    Each is the mean over the groups of at least two queries of this task.
    """
    members: dict[str, list[int]] = {}
    for i, group in enumerate(score.groups):
        if group is not None:
            members.setdefault(group, []).append(i)
    groups = [rows for rows in members.values() if len(rows) > 1]
    if not groups:
        return None
    owners = np.array([numbers[rows[0]] for rows in groups], np.int64)
    told: dict[str, Any] = {"n_groups": len(groups), "n_queries": sum(map(len, groups))}
    for metric, values in _spread_values(score).items():
        best, worst = (np.array([of(values[rows]) for rows in groups]) for of in (np.max, np.min))
        told[metric] = {
            "mean": mean([mean(values[rows]) for rows in groups]),
            "best": mean(best),
            "worst": mean(worst),
            "spread": mean(best - worst),
            "spread_ci95": _interval(best - worst, owners),
        }
    return told


def _spread_values(score: TaskScore) -> dict[str, FloatArray]:
    rank = score.scores.rank
    return {
        "R@1": (rank <= 1).astype(np.float64),
        "R@10": (rank <= 10).astype(np.float64),
        "MRR": 1 / rank,
        "NDCG@10": score.ndcg[:, KS.index(10)],
    }


def _answers_from(score: TaskScore, numbers: IntArray) -> dict[str, Any] | None:
    """Where the first answers are from, beside what the gallery and the positives are; None in one domain."""
    if score.answers is None:
        return None
    shares: Mapping[str, FloatArray] = {
        "gallery": score.candidate_shares,
        "positives": score.positive_shares,
        **{f"first_{k}": score.answers[:, i] for i, k in enumerate(ANSWERS_AT)},
    }
    return {
        **{name: _by_domain(score.parts, values) for name, values in shares.items()},
        "ci95": {
            f"first_{k}": {
                domain: _interval(score.answers[:, i, part], numbers) for part, domain in enumerate(score.parts)
            }
            for i, k in enumerate(ANSWERS_AT)
        },
    }


def _by_domain(parts: Sequence[DomainName], values: FloatArray) -> dict[DomainName, float]:
    return {domain: mean(values[:, part]) for part, domain in enumerate(parts)}
