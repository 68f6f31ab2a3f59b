"""Rows to boards: one for each dataset, best first, with intervals and shared ranks in every view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from leaderboard.checked_board import CheckedBoard
from leaderboard.entry import Entry
from leaderboard.known import KnownDataset
from leaderboard.significance import separate_pairs
from rope.bench.compare import MEAN, shared_ranks
from rope.bench.intervals import Estimate, average, micro_estimate, share_interval
from rope.bench.metrics import KS
from rope.bench.ranks import PairRanks, Ranks, load_ranks, query_values
from rope.domain import DomainName

__all__ = ["HEADLINE", "METRICS", "Board", "Cell", "ProductHits", "Row", "View", "load_boards", "product_hits"]

METRICS: Final = (*(f"R@{k}" for k in KS), "MRR", "mAP")
"""What a board can show."""

View = tuple[str, str]
"""A metric and a column: a pair, or the mean of the cross-domain pairs."""

HEADLINE: Final[View] = ("R@1", MEAN)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a board, a fraction.

    Attributes:
        value: the number.
        low: lower end of its 95 % interval; None where no ranks are known.
        high: upper end.
        rank: among the recomputed rows; models that cannot be told apart share one. None for any other row.
    """

    value: float
    low: float | None = None
    high: float | None = None
    rank: int | None = None


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
class Row:
    """An entry and its numbers: a view that is not known is not there, and hits by product are of recomputed rows."""

    entry: Entry
    cells: Mapping[View, Cell]
    by_product: ProductHits | None


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one dataset.

    Attributes:
        key: name of the dataset and the beginning of its fingerprint, fit for an address.
        dataset: name of the dataset.
        fingerprint: None where all rows are reported.
        rows: by the headline, best first; those without one last.
    """

    key: str
    dataset: str
    fingerprint: str | None
    rows: tuple[Row, ...]

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
        """What the rows are compared on: the pairs, and their mean."""
        return self.rows[0].entry.columns


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """An entry with the estimates of every view."""

    entry: Entry
    estimates: Mapping[View, Estimate]
    by_product: ProductHits


def load_boards(checked: CheckedBoard, advance: Callable[[int], None] = lambda _: None) -> list[Board]:
    """Rank the rows that passed.

    Args:
        checked: the rows.
        advance: told of each row that was read.

    Returns:
        The boards by the name of their dataset; `rope` first.
    """
    of_key: dict[str, list[_Measured | Entry]] = {}
    datasets = {row.dataset.key: row.dataset for row in checked.rows}
    for row in checked.rows:
        entry = row.entry
        found = entry if entry.score is None else _measure(entry, load_ranks(entry.part("score")))
        of_key.setdefault(row.dataset.key, []).append(found)
        advance(1)
    ordered = sorted(datasets.values(), key=lambda one: (one.name != "rope", not one.is_registered, one.name, one.key))
    return [_board(dataset, of_key[dataset.key]) for dataset in ordered]


def product_hits(ranks: Ranks) -> ProductHits:
    """Count queries and hits at 1 of each product, in each cross-domain pair."""
    n_products, counts, hits = len(ranks.product_ids), {}, {}
    for column in ranks.cross_pairs:
        pair = ranks.pairs[column]
        found = np.bincount(pair.products[pair.rank <= 1], minlength=n_products)
        counts[column] = tuple(np.bincount(pair.products, minlength=n_products).tolist())
        hits[column] = tuple(found.tolist())
    return ProductHits(tuple(ranks.product_ids), counts, hits)


def _measure(entry: Entry, ranks: Ranks) -> _Measured:
    n_products = len(ranks.product_ids)
    estimates: dict[View, Estimate] = {}
    for metric in METRICS:
        of_pairs = {name: _estimate(ranks.pairs[name], metric, n_products) for name in ranks.cross_pairs}
        estimates |= {(metric, name): one for name, one in of_pairs.items()}
        estimates[metric, MEAN] = average([*of_pairs.values()])
    return _Measured(entry, estimates, product_hits(ranks))


def _estimate(pair: PairRanks, metric: str, n_products: int) -> Estimate:
    return micro_estimate(query_values(pair, metric), pair.products, n_products)


def _board(dataset: KnownDataset, found: Sequence[_Measured | Entry]) -> Board:
    """Only rows with vectors are ranked, and only they take part in the correction for many comparisons."""
    measured = [one for one in found if isinstance(one, _Measured)]
    ranked = [one for one in measured if one.entry.status == "recomputed"]
    ranks = {view: of_view for metric in METRICS for view, of_view in _ranks(ranked, metric).items()}
    rows = [
        Row(
            one.entry,
            {
                view: _cell(estimate, ranks.get(view, {}).get(one.entry.card.id))
                for view, estimate in one.estimates.items()
            },
            one.by_product if one in ranked else None,
        )
        for one in measured
    ]
    rows += [Row(one, _reported_cells(one), None) for one in found if isinstance(one, Entry)]
    rows.sort(key=lambda row: (-row.cells[HEADLINE].value if HEADLINE in row.cells else 1.0, row.entry.card.id))
    return Board(dataset.key, dataset.name, dataset.fingerprint, tuple(rows))


def _ranks(measured: Sequence[_Measured], metric: str) -> dict[View, dict[str, int]]:
    """View -> id of the model -> its shared rank."""
    names = [one.entry.card.id for one in measured]
    if not names:
        return {}
    columns = measured[0].entry.columns
    values = {column: np.array([one.estimates[metric, column].value for one in measured]) for column in columns}
    shifts = {
        column: np.stack([_shifts_of_queried(one.estimates[metric, column]) for one in measured]) for column in columns
    }
    separate = separate_pairs(names, values, shifts)
    ranks = {}
    for column in columns:
        by_value = sorted(zip(-values[column], names, strict=True))
        ordered = [name for _, name in by_value]
        ranks[metric, column] = dict(zip(ordered, shared_ranks(ordered, separate[column]), strict=True))
    return ranks


def _shifts_of_queried(one: Estimate) -> npt.NDArray[np.float64]:
    return one.shifts[one.weights > 0]


def _cell(estimate: Estimate, rank: int | None) -> Cell:
    interval = share_interval(estimate)
    return Cell(interval.value, interval.low, interval.high, rank)


def _reported_cells(entry: Entry) -> dict[View, Cell]:
    views = ((metric, column) for metric in METRICS for column in entry.columns)
    values: dict[View, Any] = {(metric, column): entry.value(column, metric) for metric, column in views}
    return {view: Cell(value) for view, value in values.items() if value is not None}
