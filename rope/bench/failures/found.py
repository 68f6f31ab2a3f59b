"""What a model finds for a query: the first results in certified order, and the best positive with its rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.ranking.engine import ComputeSettings, Labelled, PositiveRanks, rank_one_way
from rope.bench.ranking.similarity import Vectors
from rope.bench.score import ScoredDomain
from rope.domain import DomainName, Pair

__all__ = ["TOP", "Failure", "FoundSample", "QueryResults", "results_of"]

TOP: Final = 5
"""Results that are shown of a query."""

_BLOCK: Final = 65_536
"""Gallery vectors that are held in float64 at a time."""


@dataclass(frozen=True, slots=True)
class FoundSample:
    """A gallery sample in the order of a query.

    Attributes:
        sample_id: its id.
        product_id: its product.
        rank: its place, from 1: that of the certified engine, in which a tie counts against the model.
        similarity: its cosine with the query.
        is_positive: whether it is of the query's product.
    """

    sample_id: str
    product_id: str
    rank: int
    similarity: float
    is_positive: bool


@dataclass(frozen=True, slots=True)
class QueryResults:
    """What was found for one query.

    Attributes:
        n_candidates: gallery samples that it is compared with.
        n_positives: those of its product.
        top: the first `TOP` of them.
        best: the first positive, which may be among these; its rank is the query's.
    """

    n_candidates: int
    n_positives: int
    top: tuple[FoundSample, ...]
    best: FoundSample


@dataclass(frozen=True, slots=True)
class Failure:
    """One query and what was found for it.

    Attributes:
        pair: `P2V` and so on.
        query_id: its sample.
        product_id: its product.
        category: of the product; None where it has none.
        rank: of the best positive, as in the score.
        other_rank: in the model that it was compared with; None without one.
        why: why it was chosen; may be empty.
        hub: the sample that stands in its way; None except for victims of hubs.
        results: what was found.
    """

    pair: str
    query_id: str
    product_id: str
    category: str | None
    rank: int
    other_rank: int | None
    why: str
    hub: str | None
    results: QueryResults


def results_of(
    pair: Pair, query_ids: Sequence[str], sides: Mapping[DomainName, ScoredDomain], compute: ComputeSettings
) -> list[QueryResults]:
    """The results of some queries of a pair, each of which has a positive.

    Where a positive stands is what the engine counts; negatives fill the places between, by their cosine in float64.

    Args:
        pair: query and gallery domain; may be the same.
        query_ids: sample ids.
        sides: of the split, in the order of the engine.
        compute: how to spend the machine.
    """
    asked, gallery = sides[pair.query], sides[pair.gallery]
    place = {sample_id: row for row, sample_id in enumerate(asked.sample_ids)}
    found = []
    for query_id in query_ids:
        row = place[query_id]
        candidates = _candidates(row, asked, gallery, is_within=pair.query == pair.gallery)
        one = np.array([row])
        query = Labelled(asked.asked.vectors.take(one), asked.labelled.products[one])
        of_gallery = gallery.labelled
        if len(candidates) < len(of_gallery):
            of_gallery = Labelled(of_gallery.vectors.take(candidates), of_gallery.products[candidates])
        ranks = rank_one_way(query, of_gallery, compute)
        found.append(_results(query, of_gallery, ranks, candidates, gallery))
    return found


def _candidates(row: int, asked: ScoredDomain, gallery: ScoredDomain, *, is_within: bool) -> IntArray:
    """Rows of the gallery that a query is compared with: of its group, and not itself."""
    rows = np.arange(len(gallery.sample_ids), dtype=np.int64)
    if asked.galleries is not None or gallery.galleries is not None:
        group = asked.galleries[row] if asked.galleries is not None else None
        groups = gallery.galleries or [None] * len(gallery.sample_ids)
        rows = np.array([i for i, one in enumerate(groups) if one == group], np.int64)
    return rows[rows != row] if is_within else rows


def _results(
    query: Labelled, candidates: Labelled, ranks: PositiveRanks, rows: IntArray, gallery: ScoredDomain
) -> QueryResults:
    cosines = _cosines(query.vectors, candidates.vectors)
    is_positive = candidates.products == query.products[0]
    by_cosine = np.argsort(-cosines, kind="stable")
    positives, negatives = by_cosine[is_positive[by_cosine]], by_cosine[~is_positive[by_cosine]]
    places = dict(zip((ranks.above + np.arange(1, len(positives) + 1)).tolist(), positives.tolist(), strict=True))
    rest = iter(negatives.tolist())

    def shown(rank: int, i: int) -> FoundSample:
        row = int(rows[i])
        return FoundSample(
            gallery.sample_ids[row], gallery.product_ids[row], rank, float(cosines[i]), bool(is_positive[i])
        )

    top = [shown(rank, places[rank] if rank in places else next(rest)) for rank in range(1, min(TOP, len(rows)) + 1)]
    first = min(places)
    return QueryResults(len(rows), len(positives), tuple(top), shown(first, places[first]))


def _cosines(query: Vectors, gallery: Vectors) -> FloatArray:
    """float64 [n]."""
    unit = query.raw[0].astype(np.float64) * query.inverse_norms[0]
    blocks = [
        gallery.raw[start : start + _BLOCK].astype(np.float64) @ unit * gallery.inverse_norms[start : start + _BLOCK]
        for start in range(0, len(gallery), _BLOCK)
    ]
    return np.concatenate(blocks)
