"""Rows to boards: one for each dataset, best first, with intervals and shared ranks in every view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from leaderboard.checked_board import CheckedBoard
from leaderboard.entry import LeaderboardEntry
from leaderboard.known import KnownDataset
from leaderboard.significance import separate_pairs
from rope.bench.metrics import KS, mean
from rope.bench.stats.compare import MEAN, shared_ranks
from rope.bench.stats.intervals import MetricEstimate, average, micro_estimate, over_runs, share_interval
from rope.bench.stats.query_ranks import PairRanks, QueryRanks, chance_in_galleries, load_ranks, query_values
from rope.domain import DomainName

__all__ = [
    "HEADLINE",
    "METRICS",
    "Board",
    "BoardCell",
    "BoardRow",
    "ProductHits",
    "View",
    "load_boards",
    "product_hits",
    "product_sums",
]

METRICS: Final = (*(f"R@{k}" for k in KS), "MRR", "mAP")
"""What a board can show."""

View = tuple[str, str]
"""A metric and a column: a pair, or the mean of the cross-domain pairs."""

HEADLINE: Final[View] = ("R@1", MEAN)


@dataclass(frozen=True, slots=True)
class BoardCell:
    """One number of a board, a fraction.

    Attributes:
        value: the number.
        low: lower end of its 95 % interval; None where no ranks are known.
        high: upper end.
        rank: among the recomputed rows; models that cannot be told apart share one. None for any other row.
        spread: the lowest and the highest of the training runs, where the number is their mean.
    """

    value: float
    low: float | None = None
    high: float | None = None
    rank: int | None = None
    spread: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ProductHits:
    """Hits at 1 by product, what a comparison of two models is computed from.

    Attributes:
        product_ids: in code-point order.
        n_queries: column -> queries of each product.
        hits: column -> how many of them found a positive first.
    """

    product_ids: tuple[str, ...]
    n_queries: Mapping[str, tuple[int, ...]]
    hits: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class BoardRow:
    """An entry and its numbers: a view that is not known is not there, and hits by product are of recomputed rows.

    Attributes:
        entry: of the model, or of its first run.
        cells: view -> number.
        by_product: None for a mean over runs, too.
        runs: the training runs that the numbers are means over, by seed, each with its own numbers and no rank; none
            where there is one run.
        is_run_of: the id of the row whose numbers hold this run too; None for a row of the board.
    """

    entry: LeaderboardEntry
    cells: Mapping[View, BoardCell]
    by_product: ProductHits | None
    runs: tuple["BoardRow", ...] = ()
    is_run_of: str | None = None

    @property
    def id(self) -> str:
        """The address of its page: that of the card, or what its runs have in common."""
        run = self.entry.card.run
        return run.of if self.runs and run is not None else self.entry.card.id

    @property
    def name(self) -> str:
        """The name that the board shows."""
        return self.id if self.runs else self.entry.card.name

    @property
    def follows(self) -> str | None:
        """Id of the version before it, as its card says."""
        return self.entry.card.follows

    @property
    def n_seeds(self) -> int:
        """Training runs that its numbers are of."""
        return max(1, len(self.runs))


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one dataset.

    Attributes:
        key: name of the dataset and the beginning of its fingerprint, fit for an address.
        dataset: name of the dataset.
        fingerprint: None where all rows are reported.
        rows: by the headline, best first; those without one last.
        is_synthetic: whether the dataset was drawn by a program, so that the board ranks nothing.
        by_chance: view -> what an order drawn at random comes to, a fraction; R@k alone, and nothing where no ranks
            are known.
    """

    key: str
    dataset: str
    fingerprint: str | None
    rows: tuple[BoardRow, ...]
    is_synthetic: bool = False
    by_chance: Mapping[View, float] = field(default_factory=dict)

    @property
    def domains(self) -> tuple[DomainName, ...]:
        """The domains of the dataset, in order."""
        return self.rows[0].entry.domains

    @property
    def pairs(self) -> tuple[str, ...]:
        """The cross-domain pairs of the dataset, in order."""
        return self.rows[0].entry.pairs

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in which rows are compared: the pairs, and their mean."""
        return self.rows[0].entry.columns

    @property
    def has_groups(self) -> bool:
        """Whether a row is the mean over several training runs."""
        return any(row.runs for row in self.rows)

    @property
    def single_rows(self) -> tuple[BoardRow, ...]:
        """The rows with those of several runs replaced by their runs."""
        return tuple(one for row in self.rows for one in row.runs or (row,))


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """An entry, or the mean over several runs, with the estimates of every view."""

    entry: LeaderboardEntry
    estimates: Mapping[View, MetricEstimate]
    by_product: ProductHits | None
    runs: tuple["_Measured", ...] = ()

    def row(self, ranks: Mapping[View, Mapping[str, int]]) -> BoardRow:
        """The row of the board; its own ranks are looked up by id."""
        of = None if self.entry.card.run is None else self.entry.card.run.of
        runs = tuple(replace(run.row({}), is_run_of=of) for run in self.runs)
        empty = BoardRow(self.entry, {}, self.by_product, runs)
        spreads = {view: [run.cells[view].value for run in runs] for view in self.estimates} if runs else {}
        cells = {
            view: _cell(estimate, ranks.get(view, {}).get(empty.id), spreads.get(view))
            for view, estimate in self.estimates.items()
        }
        return replace(empty, cells=cells)


def load_boards(checked: CheckedBoard, advance: Callable[[int], None] = lambda _: None) -> list[Board]:
    """Rank the rows that passed the checks, one board per dataset.

    Args:
        checked: the rows.
        advance: called after each row that was read.

    Returns:
        The boards by the name of their dataset; `rope` first.
    """
    of_key: dict[str, list[_Measured | LeaderboardEntry]] = {}
    datasets = {row.dataset.key: row.dataset for row in checked.rows}
    for row in checked.rows:
        entry = row.entry
        found = entry if entry.score is None else _measure(entry, load_ranks(entry.part("score")))
        of_key.setdefault(row.dataset.key, []).append(found)
        advance(1)
    ordered = sorted(datasets.values(), key=lambda one: (one.name != "rope", not one.is_registered, one.name, one.key))
    return [_board(dataset, of_key[dataset.key]) for dataset in ordered]


def product_hits(ranks: QueryRanks) -> ProductHits:
    """Count queries and hits at 1 of each product, in each cross-domain pair."""
    n_products, counts, hits = len(ranks.product_ids), {}, {}
    for column in ranks.cross_pairs:
        pair = ranks.pairs[column]
        found = np.bincount(pair.products[pair.rank <= 1], minlength=n_products)
        counts[column] = tuple(np.bincount(pair.products, minlength=n_products).tolist())
        hits[column] = tuple(found.tolist())
    return ProductHits(tuple(ranks.product_ids), counts, hits)


def product_sums(ranks: QueryRanks, metric: str) -> dict[str, list[float]]:
    """Column -> what the queries of each product add up to in a metric; whole numbers for R@k."""
    n_products = len(ranks.product_ids)
    sums = {}
    for column in ranks.cross_pairs:
        pair = ranks.pairs[column]
        found = np.bincount(pair.products, query_values(pair, metric), n_products)
        sums[column] = [int(one) if one.is_integer() else round(one, 9) for one in found.tolist()]
    return sums


def _measure(entry: LeaderboardEntry, ranks: QueryRanks) -> _Measured:
    n_products = len(ranks.product_ids)
    estimates: dict[View, MetricEstimate] = {}
    for metric in METRICS:
        of_pairs = {name: _estimate(ranks.pairs[name], metric, n_products) for name in ranks.cross_pairs}
        estimates |= {(metric, name): one for name, one in of_pairs.items()}
        estimates[metric, MEAN] = average([*of_pairs.values()])
    return _Measured(entry, estimates, product_hits(ranks))


def _by_chance(entry: LeaderboardEntry) -> dict[View, float]:
    """What an order drawn at random comes to, which is the same for all models of a dataset.

    From the ranks and the sizes of the galleries, which were checked; not from what a submission says it is.
    """
    if entry.score is None:
        return {}
    ranks = load_ranks(entry.part("score"))
    told = chance_in_galleries(ranks, {name: int(pair["n_gallery"]) for name, pair in entry.score["pairs"].items()})
    found: dict[View, float] = {(f"R@{k}", name): told[name][k] for name in ranks.cross_pairs for k in KS}
    found |= {(f"R@{k}", MEAN): mean(told[name][k] for name in ranks.cross_pairs) for k in KS}
    return found


def _estimate(pair: PairRanks, metric: str, n_products: int) -> MetricEstimate:
    return micro_estimate(query_values(pair, metric), pair.products, n_products)


def _board(dataset: KnownDataset, found: Sequence[_Measured | LeaderboardEntry]) -> Board:
    """Only rows with vectors are ranked, and only they take part in the correction for many comparisons."""
    measured = [one for one in found if isinstance(one, _Measured)]
    ranked = _over_runs([one for one in measured if one.entry.status == "recomputed"])
    ranks = {view: of_view for metric in METRICS for view, of_view in _ranks(ranked, metric).items()}
    shown = [replace(one, by_product=None) for one in measured if one.entry.status != "recomputed"]
    rows = [*(one.row(ranks) for one in ranked), *(one.row({}) for one in shown)]
    rows += [BoardRow(one, _reported_cells(one), None) for one in found if isinstance(one, LeaderboardEntry)]
    rows.sort(key=lambda row: (-row.cells[HEADLINE].value if HEADLINE in row.cells else 1.0, row.id))
    by_chance = next((_by_chance(one.entry) for one in measured), {})
    return Board(dataset.key, dataset.name, dataset.fingerprint, tuple(rows), dataset.is_synthetic, by_chance)


def _ranks(measured: Sequence[_Measured], metric: str) -> dict[View, dict[str, int]]:
    """View -> id of the model -> its shared rank."""
    names = [one.row({}).id for one in measured]
    if not names:
        return {}
    columns = measured[0].entry.columns
    of_columns = {column: [one.estimates[metric, column] for one in measured] for column in columns}
    separate = separate_pairs(names, of_columns)
    ranks = {}
    for column in columns:
        by_value = sorted(zip((-one.value for one in of_columns[column]), names, strict=True))
        ordered = [name for _, name in by_value]
        ranks[metric, column] = dict(zip(ordered, shared_ranks(ordered, separate[column]), strict=True))
    return ranks


def _over_runs(measured: Sequence[_Measured]) -> list[_Measured]:
    """The runs of one recipe as one; a single run, of which no other is on the board, stays what it is."""
    groups: dict[str, list[_Measured]] = {}
    alone = []
    for one in measured:
        if one.entry.card.run is None:
            alone.append(one)
        else:
            groups.setdefault(one.entry.card.run.of, []).append(one)
    for runs in groups.values():
        alone.append(runs[0] if len(runs) == 1 else _mean(sorted(runs, key=_seed)))
    return alone


def _mean(runs: Sequence[_Measured]) -> _Measured:
    views = runs[0].estimates
    estimates = {view: over_runs([run.estimates[view] for run in runs]) for view in views}
    return _Measured(runs[0].entry, estimates, None, tuple(runs))


def _seed(one: _Measured) -> int:
    return -1 if one.entry.card.run is None else one.entry.card.run.seed


def _cell(estimate: MetricEstimate, rank: int | None, runs: Sequence[float] | None = None) -> BoardCell:
    interval = share_interval(estimate)
    spread = None if runs is None else (min(runs), max(runs))
    return BoardCell(interval.value, interval.low, interval.high, rank, spread)


def _reported_cells(entry: LeaderboardEntry) -> dict[View, BoardCell]:
    views = ((metric, column) for metric in METRICS for column in entry.columns)
    values: dict[View, Any] = {(metric, column): entry.value(column, metric) for metric, column in views}
    return {view: BoardCell(value) for view, value in values.items() if value is not None}
