"""What is kept of a second stage: the candidates of each query with their scores, from which everything follows.

A row is a gallery sample of a query: each of its candidates, by its place in the first stage, and then those of its
positives that are no candidates, without a score. So the file and the labels of the dataset give every number again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.metrics import QueryScores, score_queries
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import PositiveRanks
from rope.bench.score import OrderedLabels, Score, headline_of, pair_score
from rope.domain import DomainName, Pair, all_pairs, cross_domain_pairs, pair_of
from rope.errors import RopeError, UsageError
from rope.files import check_file, reading_file

__all__ = [
    "CANDIDATES_SCHEMA",
    "PairCandidates",
    "positives_of",
    "read_candidates",
    "reranked_pairs",
    "score_candidates",
    "table_of_pair",
]

CANDIDATES_SCHEMA: Final = pa.schema(
    [
        ("pair", pa.string()),
        ("query_id", pa.string()),
        ("sample_id", pa.string()),
        ("place", pa.int64()),
        ("score", pa.float64()),
    ]
)
"""The columns of a file of candidates; the score is null where the re-ranker gave none."""


@dataclass(frozen=True, slots=True, eq=False)
class PairCandidates:
    """The candidates of some queries of a pair; those of query i are the entries `offsets[i]:offsets[i + 1]`.

    Attributes:
        query_ids: the sample id of each query.
        offsets: int64 [n_queries + 1].
        sample_ids: of each candidate.
        places: int64, in the first stage, from 1.
        scores: float64; NaN where there is none.
    """

    query_ids: list[str]
    offsets: IntArray
    sample_ids: list[str]
    places: IntArray
    scores: FloatArray


def reranked_pairs(domains: Sequence[DomainName]) -> tuple[Pair, ...]:
    """The pairs that are re-ranked: the cross-domain ones, or that of a dataset of one domain."""
    return cross_domain_pairs(domains) or all_pairs(domains)


def table_of_pair(pair: Pair, kept: PairCandidates) -> pa.Table:
    """The rows of `CANDIDATES_SCHEMA`."""
    lengths = np.diff(kept.offsets)
    queries = pa.array(kept.query_ids, pa.string()).take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    scores = pa.array(kept.scores, mask=np.isnan(kept.scores))
    columns = [pa.repeat(pa.scalar(pair.name), len(queries)), queries, pa.array(kept.sample_ids, pa.string())]
    return pa.Table.from_arrays([*columns, pa.array(kept.places), scores], schema=CANDIDATES_SCHEMA)


def read_candidates(path: Path) -> dict[str, PairCandidates]:
    """Pair -> its candidates, from a file that `rope-bench rerank` wrote.

    Raises:
        UsageError: the file does not exist, or is something else.
    """
    check_file(path, "what rope-bench rerank --out writes")
    with reading_file(path, "Parquet"):
        table = pq.read_table(path)
    is_one = table.schema.remove_metadata() == CANDIDATES_SCHEMA
    is_whole = is_one and not any(table[name].null_count for name in CANDIDATES_SCHEMA.names[:4])
    if not is_whole or pc.any(pc.invert(pc.is_finite(table["score"]))).as_py():
        raise UsageError(f"{path}: not a file of candidates; make one with rope-bench rerank")
    names = pc.unique(table["pair"]).to_pylist()
    return {name: _of_rows(table.filter(pc.equal(table["pair"], name))) for name in names}


def _of_rows(rows: pa.Table) -> PairCandidates:
    codes = rows["query_id"].combine_chunks().dictionary_encode()
    changes = np.flatnonzero(np.diff(codes.indices.to_numpy())) + 1
    starts = np.concatenate([[0], changes]) if len(rows) else changes
    return PairCandidates(
        [rows["query_id"][int(start)].as_py() for start in starts],
        np.append(starts, len(rows)),
        rows["sample_id"].to_pylist(),
        rows["place"].to_numpy(),
        pc.fill_null(rows["score"], float("nan")).to_numpy(),
    )


def score_candidates(
    kept: Mapping[str, PairCandidates], labels: Mapping[DomainName, OrderedLabels], depth: int
) -> Score:
    """Score the order that re-ranked candidates are in.

    Candidates with a score come first, by it, and ties count against the re-ranker; then come those without one and
    all other samples, in the order of the first stage. So R@k for k from the depth on is that of the first stage.

    Args:
        kept: every pair of `reranked_pairs`, with every query that has a positive.
        labels: of every domain.
        depth: candidates of a query.

    Raises:
        RopeError: the candidates are not those of these samples at this depth; names the pair and the query.
    """
    wanted = [pair.name for pair in reranked_pairs([*labels])]
    if sorted(kept) != sorted(wanted):
        raise RopeError(f"candidates of the pairs {', '.join(sorted(kept)) or 'none'}, expected {', '.join(wanted)}")
    pairs = {
        name: pair_score(pair_of(name), _queries_of(pair_of(name), kept[name], labels, depth), labels)
        for name in wanted
    }
    return Score(headline_of(pairs), pairs, {}, Draws(seed=0))


def _queries_of(
    pair: Pair, kept: PairCandidates, labels: Mapping[DomainName, OrderedLabels], depth: int
) -> QueryScores:
    asked = labels[pair.query]
    expected = _Expected.of(pair, asked, labels[pair.gallery], depth)
    if kept.query_ids != [asked.sample_ids[row] for row in expected.queries]:
        raise RopeError(
            f"{pair.name}: candidates of {len(kept.query_ids):,} queries, expected those of each of the "
            f"{len(expected.queries):,} that have a positive, in order; run rope-bench rerank again"
        )
    parts = [slice(*kept.offsets[i : i + 2].tolist()) for i in range(len(kept.query_ids))]
    found = [
        _above(kept.places[part], kept.scores[part], expected.positives(i, kept.sample_ids[part], kept.places[part]))
        for i, part in enumerate(parts)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(above) for above, _ in found], dtype=np.int64)])
    above, above_optimistic = (np.concatenate([np.zeros(0, np.int64), *some]) for some in zip(*found, strict=True))
    scores = score_queries(PositiveRanks(offsets, above, above_optimistic, 0))
    return replace(scores, queries=expected.queries)


def _above(places: IntArray, scores: FloatArray, is_positive: BoolArray) -> tuple[IntArray, IntArray]:
    """For each positive, best first, the negatives before it, with ties against the re-ranker and for it.

    >>> places, scores = np.array([1, 2, 3, 4, 9]), np.array([0.1, 0.7, 0.7, np.nan, np.nan])
    >>> _above(places, scores, np.array([False, False, True, False, True]))
    (array([1, 7]), array([0, 7]))
    """
    is_scored = ~np.isnan(scores)
    own = -np.sort(-scores[is_scored & is_positive])
    others = np.sort(scores[is_scored & ~is_positive])
    behind = places[~is_scored & is_positive]
    # A sample without a score stands behind those scored ones that came after it, and else where it was.
    position = behind + len(places[is_scored]) - np.searchsorted(places[is_scored], behind)
    rest = position - 1 - len(own) - np.arange(len(behind))
    of_scored = [len(others) - np.searchsorted(others, own, side) for side in ("left", "right")]
    against, in_favour = (np.concatenate([counts, rest]).astype(np.int64) for counts in of_scored)
    return against, in_favour


@dataclass(frozen=True, slots=True, eq=False)
class _Expected:
    """What the candidates of a pair have to be.

    Attributes:
        pair: the pair.
        asked: labels of the domain of queries.
        gallery: labels of the other.
        rows: sample id -> its row in the gallery.
        groups: of the gallery's samples.
        sizes: group -> samples of the gallery.
        queries: int64, rows of the queries that have a positive.
        n_positives: int64, of each of these.
        depth: candidates of a query.
    """

    pair: Pair
    asked: OrderedLabels
    gallery: OrderedLabels
    rows: Mapping[str, int]
    groups: list[str | None]
    sizes: Mapping[str | None, int]
    queries: IntArray
    n_positives: IntArray
    depth: int

    @classmethod
    def of(cls, pair: Pair, asked: OrderedLabels, gallery: OrderedLabels, depth: int) -> "_Expected":
        n_positives = positives_of(pair, asked, gallery)
        queries = np.flatnonzero(n_positives)
        rows = {sample_id: row for row, sample_id in enumerate(gallery.sample_ids)}
        groups = gallery.groups
        return cls(pair, asked, gallery, rows, groups, Counter(groups), queries, n_positives[queries], depth)

    def positives(self, i: int, ids: Sequence[str], places: IntArray) -> BoolArray:
        """Which of the kept samples of the i-th query are of its product.

        Raises:
            RopeError: they are not its first candidates and the positives behind them.
        """
        query = int(self.queries[i])
        group, itself = self._group_of(query), self.pair.query == self.pair.gallery
        rows = np.array([self.rows.get(one, -1) for one in ids], np.int64)
        n_candidates = min(self.depth, self.sizes[group] - itself)
        is_positive: BoolArray = self.gallery.products[rows] == self.asked.products[query]
        is_own_group = [row >= 0 and self.groups[row] == group for row in rows]
        is_there_once = len(np.unique(rows)) == len(rows) and not (itself and query in rows)
        is_in_order = np.array_equal(places[:n_candidates], np.arange(1, n_candidates + 1)) and (
            np.all(np.diff(places) > 0) and places[-1] <= self.sizes[group] - itself
        )
        is_whole = is_positive.sum() == self.n_positives[i] and bool(is_positive[n_candidates:].all())
        if not (all(is_own_group) and is_there_once and is_in_order and is_whole):
            raise RopeError(
                f"{self.pair.name}: query {self.asked.sample_ids[query]!r}: not its first {n_candidates} candidates "
                "and the positives behind them, each once; run rope-bench rerank again"
            )
        return is_positive

    def _group_of(self, query: int) -> str | None:
        return None if self.asked.galleries is None else self.asked.galleries[query]


def positives_of(pair: Pair, asked: OrderedLabels, gallery: OrderedLabels) -> IntArray:
    """How many positives each query has in its gallery: int64 [n_queries]."""
    there = Counter(zip(gallery.products.tolist(), gallery.groups, strict=True))
    itself = pair.query == pair.gallery
    own = zip(asked.products.tolist(), asked.groups, strict=True)
    return np.array([there[one] - itself for one in own], np.int64)
