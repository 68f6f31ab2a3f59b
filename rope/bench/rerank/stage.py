"""The second stage at work: candidates of some queries, scored batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from rope.arrays import FloatArray, IntArray
from rope.bench.ranking.engine import ComputeSettings, Labelled
from rope.bench.rerank.first_stage import FirstPlaces, first_places
from rope.bench.rerank.kept import PairCandidates, positives_of, read_candidates, reranked_pairs, table_of_pair
from rope.bench.rerank.reranker import TOLERANCE, Reranker, largest_difference, score_checked
from rope.bench.running.checks import rows_to_repeat
from rope.bench.score import ScoredDomain
from rope.bench.stats.query_ranks import QueryRanks
from rope.dataset.directory import read_labels
from rope.dataset.sample_table import SampleTable
from rope.domain import DomainName, Pair, Sample, Split
from rope.errors import EmbeddingError, UsageError
from rope.files import AnyPath, atomic_path

__all__ = ["QueryPart", "SecondStage", "candidates_of", "plan_parts"]

_QUERIES_A_PART: Final = 32
"""What a kill can cost, in queries; each part is a file and a row group of the result."""

_ALL_FRAMES: Final = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class QueryPart:
    """Some queries of a pair, by their rows, and the file for their candidates."""

    pair: Pair
    queries: IntArray
    path: Path


def plan_parts(sides: Mapping[DomainName, ScoredDomain], folder: Path) -> list[QueryPart]:
    """Cut the queries of every pair that have a positive into parts."""
    parts = []
    for pair in reranked_pairs([*sides]):
        queries = np.flatnonzero(positives_of(pair, sides[pair.query].labels, sides[pair.gallery].labels))
        for start in range(0, len(queries), _QUERIES_A_PART):
            path = folder / f"{pair.name}-{start // _QUERIES_A_PART:06d}.parquet"
            parts.append(QueryPart(pair, queries[start : start + _QUERIES_A_PART], path))
    return parts


def candidates_of(
    pair: Pair, queries: IntArray, sides: Mapping[DomainName, ScoredDomain], depth: int, compute: ComputeSettings
) -> Iterator[FirstPlaces]:
    """The first places of some queries of a pair; rows are those of the gallery's domain.

    Args:
        pair: query and gallery domain; may be the same.
        queries: int64, rows of queries that have a positive.
        sides: of the split, in the order of the engine.
        depth: candidates of a query.
        compute: how to spend the machine.
    """
    asked, gallery = sides[pair.query], sides[pair.gallery]
    of_queries = Labelled(asked.asked.vectors.take(queries), asked.labelled.products[queries])
    if pair.query != pair.gallery and gallery.galleries is None:
        yield from first_places(of_queries, gallery.labelled, gallery.sample_ids, depth, compute)
        return
    groups, own = np.array(gallery.labels.groups, object), asked.labels.groups
    for i, query in enumerate(queries.tolist()):
        is_other = groups == own[query]
        if pair.query == pair.gallery:
            is_other[query] = False
        rows = np.flatnonzero(is_other)
        some = Labelled(gallery.labelled.vectors.take(rows), gallery.labelled.products[rows])
        ids = [gallery.sample_ids[row] for row in rows]
        for found in first_places(of_queries.part(i, i + 1), some, ids, depth, compute):
            yield replace(found, rows=rows[found.rows])


class SecondStage:
    """A re-ranker at work."""

    def __init__(
        self,
        reranker: Reranker,
        ranks: QueryRanks,
        sides: Mapping[DomainName, ScoredDomain],
        directory: AnyPath,
        depth: int,
        batch_size: int,
        compute: ComputeSettings,
        check: bool,
    ) -> None:
        self._reranker, self._ranks, self._sides = reranker, ranks, sides
        self._depth, self._batch_size, self._compute = depth, batch_size, compute
        self._unchecked = {pair.name for pair in reranked_pairs([*sides])} if check else set()
        self._samples = _Samples(directory, ranks.origin.split, sides)

    def score_missing(self, parts: Sequence[QueryPart], advance: Callable[[int], None]) -> None:
        """Write the parts that are not there yet; the first of each pair is checked, kept or new."""
        for part in parts:
            if part.path.exists():
                if part.pair.name in self._unchecked:
                    self._check(part.pair, read_candidates(part.path)[part.pair.name], is_kept=True)
            else:
                kept = self._score(part)
                self._check(part.pair, kept, is_kept=False)
                with atomic_path(part.path) as temporary:
                    pq.write_table(table_of_pair(part.pair, kept), temporary)
            advance(len(part.queries))

    def _score(self, part: QueryPart) -> PairCandidates:
        asked, gallery = self._sides[part.pair.query], self._sides[part.pair.gallery]
        found = [*candidates_of(part.pair, part.queries, self._sides, self._depth, self._compute)]
        query_ids = [asked.sample_ids[row] for row in part.queries]
        self._check_recorded(part, query_ids, found)
        offsets = np.concatenate([[0], np.cumsum([len(one.rows) for one in found])]).astype(np.int64)
        ids = [gallery.sample_ids[row] for one in found for row in one.rows]
        places = np.concatenate([one.places for one in found])
        scores = np.full(len(ids), np.nan)
        owners = np.repeat(np.arange(len(found)), np.diff(offsets))
        wanted = np.flatnonzero(places <= self._depth)
        for start in range(0, len(wanted), self._batch_size):
            some = wanted[start : start + self._batch_size]
            scores[some] = self._ask(part.pair, [query_ids[owners[i]] for i in some], [ids[i] for i in some])
        return PairCandidates(query_ids, offsets, ids, places, scores)

    def _ask(self, pair: Pair, query_ids: Sequence[str], ids: Sequence[str]) -> FloatArray:
        queries, candidates = self._samples.of(pair.query, query_ids), self._samples.of(pair.gallery, ids)
        return score_checked(self._reranker, queries, candidates)

    def _check_recorded(self, part: QueryPart, query_ids: Sequence[str], found: Sequence[FirstPlaces]) -> None:
        """The best positive of each query stands where the result has it."""
        of_pair = self._ranks.pairs[part.pair.name]
        recorded = dict(zip(of_pair.query_ids, of_pair.rank.tolist(), strict=True))
        asked, gallery = self._sides[part.pair.query].labelled, self._sides[part.pair.gallery].labelled
        for row, query_id, one in zip(part.queries, query_ids, found, strict=True):
            best = int(one.places[gallery.products[one.rows] == asked.products[row]][0])
            if recorded.get(query_id) != best:
                raise UsageError(
                    f"{part.pair.name}: query {query_id!r} has the rank {recorded.get(query_id)} in the result and "
                    f"{best} by its vectors; score them again with rope-bench score"
                )

    def _check(self, pair: Pair, kept: PairCandidates, *, is_kept: bool) -> None:
        """Score a few pairs again, in another order and number.

        Raises:
            UsageError: the scores kept from an earlier run are not this model's.
            EmbeddingError: a score depends on the other pairs of its batch, or on nothing that is given.
        """
        if pair.name not in self._unchecked:
            return
        self._unchecked.discard(pair.name)
        owners = np.repeat(np.arange(len(kept.query_ids)), np.diff(kept.offsets))
        some = np.flatnonzero(kept.places <= self._depth)[: self._batch_size]
        samples = self._samples.of(pair.gallery, [kept.sample_ids[i] for i in some])
        again = some[rows_to_repeat(samples)] if len(some) > 1 else some
        found = self._ask(pair, [kept.query_ids[owners[i]] for i in again], [kept.sample_ids[i] for i in again])
        change = largest_difference(found, kept.scores[again], float(np.nanmax(np.abs(kept.scores[some]), initial=0.0)))
        if change <= TOLERANCE:
            return
        what = f"the scores of {len(again)} pairs of {pair.name} differ by up to {change:.2g} of the largest"
        if is_kept:
            raise UsageError(
                f"{self._reranker.name}: the scores kept from an earlier run are not this model's: {what}; weights or "
                "other files that it reads have changed; start over with --overwrite"
            )
        raise EmbeddingError(
            f"{self._reranker.name}: a score depends on the batch it is in, or is drawn at random: {what} when they "
            "are scored again; likely causes: the model is in training mode (call eval()), or padding enters the "
            "score; mend it, or go on all the same with --no-check"
        )


class _Samples:
    """Samples by their ids, read when they are asked for."""

    def __init__(self, directory: AnyPath, split: Split, domains: Iterable[DomainName]) -> None:
        labels, domains = read_labels(directory, split), [*domains]
        self._tables = {domain: SampleTable(directory, domain, split) for domain in domains}
        self._rows = {domain: {one: row for row, one in enumerate(labels[domain].sample_ids)} for domain in domains}

    def of(self, domain: DomainName, ids: Sequence[str]) -> list[Sample]:
        """The samples in the order of their ids; one that is asked for several times is read once."""
        table, rows = self._tables[domain], self._rows[domain]
        found = {one: table.sample(rows[one], _ALL_FRAMES) for one in dict.fromkeys(ids)}
        return [found[one] for one in ids]
