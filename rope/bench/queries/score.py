"""Queries, labels and vectors in; what each query of each task scored out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.metrics import KS, QueryScores, score_queries
from rope.bench.queries.tasks import QueryTask, clusters_of, plan_tasks
from rope.bench.ragged import offsets_of
from rope.bench.ranking.engine import ComputeSettings, PositiveRanks
from rope.bench.ranking.judged import JudgedGallery, JudgedQuery, JudgedRanks, rank_judged
from rope.bench.ranking.similarity import Vectors
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName, in_order
from rope.query import QUERY_DOMAIN, SampleKey, SearchQuery

__all__ = ["TaskScore", "ndcg", "ndcg_at_random", "score_tasks"]


@dataclass(frozen=True, slots=True, eq=False)
class TaskScore:
    """What the queries of one task scored that have a positive in its gallery: arrays of one length, by query id.

    Attributes:
        task: which.
        n_no_positive: queries without a positive in the gallery, which are left out of everything.
        n_gallery: samples of the gallery, those that some queries leave out among them.
        query_ids: of each query.
        clusters: what each counts as for intervals, see `clusters_of`.
        groups: of each query.
        scores: ranks, average precision and hits, as of the pairs.
        ndcg: float64 [n, len(KS)], NDCG at each k.
        ndcg_chance: float64 [n, len(KS)], what an order drawn at random comes to.
        n_grades: int64 [n], different grades among the positives.
        n_candidates: int64 [n], samples of the gallery that each is searched among.
        n_negatives: int64 [n], hard negatives among these.
        outranked: bool [n], whether one of them is at least as similar as every positive.
        parts: the domains of the gallery.
        answers: float64 [n, len(ANSWERS_AT), n_parts], the shares of the first answers; None for one domain.
        candidate_shares: float64 [n, n_parts], of what each query is searched among.
        positive_shares: float64 [n, n_parts], of its positives.
    """

    task: QueryTask
    n_no_positive: int
    n_gallery: int
    query_ids: list[str]
    clusters: list[str]
    groups: list[str | None]
    scores: QueryScores
    ndcg: FloatArray
    ndcg_chance: FloatArray
    n_grades: IntArray
    n_candidates: IntArray
    n_negatives: IntArray
    outranked: BoolArray
    parts: tuple[DomainName, ...]
    answers: FloatArray | None
    candidate_shares: FloatArray
    positive_shares: FloatArray


def score_tasks(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    queries: Sequence[SearchQuery],
    compute: ComputeSettings,
) -> list[TaskScore]:
    """Score each query in each task that it is part of.

    Args:
        embeddings: of each domain in the order of its labels, and of the queries, under `query`, in theirs.
        labels: of the samples.
        queries: by id, checked against the labels.
        compute: how to spend the machine; `advance` is called with each similarity once.
    """
    domains = in_order(labels)
    gallery = JudgedGallery([_vectors(embeddings[domain]) for domain in domains])
    judged = _judged(queries, labels, domains)
    found = rank_judged(_vectors(embeddings[QUERY_DOMAIN]), gallery, judged, compute)
    clusters, starts = clusters_of(queries, labels), gallery.starts
    scored = []
    for task in plan_tasks(queries, domains):
        scope = len(domains) if task.domain is None else domains.index(task.domain)
        ranks = {i: one for i in task.queries if (one := found[i][scope]) is not None}
        if ranks:
            scored.append(_task_score(task, queries, judged, clusters, ranks, starts, domains))
    return scored


def _vectors(rows: DomainEmbeddings) -> Vectors:
    return Vectors.of(rows.vectors, rows.offsets)


def _judged(
    queries: Sequence[SearchQuery], labels: Mapping[DomainName, SampleLabels], domains: Sequence[DomainName]
) -> list[JudgedQuery]:
    """Samples as columns of the gallery, the domains one after the other."""
    keys = [(domain, sample_id) for domain in domains for sample_id in labels[domain].sample_ids]
    column = {key: i for i, key in enumerate(keys)}
    galleries = np.array(
        [one for domain in domains for one in labels[domain].galleries or [None] * len(labels[domain].sample_ids)],
        object,
    )

    def columns(samples: Sequence[SampleKey]) -> IntArray:
        return np.array([column[key] for key in samples], np.int64)

    def candidates(query: SearchQuery) -> IntArray | None:
        if query.gallery is not None:
            return np.flatnonzero(galleries == query.gallery)
        return columns(query.candidates) if query.candidates else None

    return [
        JudgedQuery(
            columns([positive.key for positive in query.positives]),
            np.array([positive.grade for positive in query.positives], np.int64),
            columns(query.negatives),
            columns(query.excluded),
            candidates(query),
        )
        for query in queries
    ]


def _task_score(
    task: QueryTask,
    queries: Sequence[SearchQuery],
    judged: Sequence[JudgedQuery],
    clusters: Sequence[str],
    ranks: Mapping[int, JudgedRanks],
    starts: IntArray,
    domains: tuple[DomainName, ...],
) -> TaskScore:
    numbers, found = list(ranks), list(ranks.values())
    is_mixed = task.domain is None
    shares = np.stack([_shares(judged[i], starts) for i in numbers])
    parts = domains if task.domain is None else (task.domain,)
    own = slice(None) if is_mixed else slice(domains.index(parts[0]), domains.index(parts[0]) + 1)
    sizes = np.diff(starts)[own]
    return TaskScore(
        task=task,
        n_no_positive=len(task.queries) - len(ranks),
        n_gallery=int(sizes.sum()),
        query_ids=[queries[i].query_id for i in numbers],
        clusters=[clusters[i] for i in numbers],
        groups=[queries[i].group for i in numbers],
        scores=_scores(found),
        ndcg=np.array([ndcg(one.grades, one.positions) for one in found]),
        ndcg_chance=np.array([ndcg_at_random(one.grades, one.n_candidates) for one in found]),
        n_grades=np.array([len(np.unique(one.grades)) for one in found], np.int64),
        n_candidates=np.array([one.n_candidates for one in found], np.int64),
        n_negatives=np.array([one.n_negatives for one in found], np.int64),
        outranked=np.array([one.is_outranked for one in found], np.bool_),
        parts=parts,
        answers=np.stack([one.answers for one in found]) if is_mixed else None,
        candidate_shares=_to_shares(shares[:, 0, own]),
        positive_shares=_to_shares(shares[:, 1, own]),
    )


def _shares(judged: JudgedQuery, starts: IntArray) -> IntArray:
    """int64 [2, n_parts]: the candidates and the positives of one query in each part."""
    n_columns = int(starts[-1])
    candidates = np.arange(n_columns) if judged.candidates is None else judged.candidates
    candidates = np.setdiff1d(candidates, judged.excluded)
    return np.stack([np.histogram(columns, starts)[0] for columns in (candidates, judged.positives)])


def _to_shares(counts: IntArray) -> FloatArray:
    shares: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _scores(found: Sequence[JudgedRanks]) -> QueryScores:
    ranks = PositiveRanks(
        offsets_of(np.array([len(one.above) for one in found], np.int64)),
        np.concatenate([one.above for one in found]),
        np.concatenate([one.above_optimistic for one in found]),
        sum(one.n_rechecked for one in found),
    )
    return score_queries(ranks)


_DISCOUNTS: Final = 1 / np.log2(np.arange(2, KS[-1] + 2))
"""Of the first places; Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002), base 2."""


def ndcg(grades: IntArray, positions: IntArray) -> FloatArray:
    """NDCG at each of `KS`: the sum of grade / log2(1 + position) over the first k, divided by the largest possible.

    Args:
        grades: int64 [P], at least 1.
        positions: int64 [P], from 1.

    Returns:
        float64 [len(KS)] between 0 and 1.

    >>> ndcg(np.array([1, 3]), np.array([1, 2])).round(3)
    array([0.333, 0.797, 0.797, 0.797, 0.797])
    """
    ideal = np.sort(grades)[::-1]
    return np.array([_gain(grades, positions, k) / _gain(ideal, np.arange(1, len(ideal) + 1), k) for k in KS])


def _gain(grades: IntArray, positions: IntArray, k: int) -> float:
    first = positions <= k
    order = np.argsort(positions[first], kind="stable")  # one order of adding, whatever that of the positives
    return float((grades[first] * _DISCOUNTS[positions[first] - 1])[order].sum())


def ndcg_at_random(grades: IntArray, n_candidates: int) -> FloatArray:
    """What NDCG at each of `KS` is in the mean over all orders of the candidates: float64 [len(KS)].

    Each place holds a gain of `sum(grades) / n_candidates` in the mean.

    >>> float(ndcg_at_random(np.array([1]), 4)[0])
    0.25
    """
    ideal, gain = np.sort(grades)[::-1], grades.sum() / n_candidates
    places = np.arange(1, len(ideal) + 1)
    return np.array([gain * _DISCOUNTS[: min(k, n_candidates)].sum() / _gain(ideal, places, k) for k in KS])
