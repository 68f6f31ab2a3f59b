"""Rows to boards: one for each dataset, best first, with intervals and shared ranks in every view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from leaderboard.entry import Entry, entry_paths, read_entry
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
        rank: among the rows with ranks; models that cannot be told apart share one. None where no ranks are known.
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
    """An entry and its numbers; a view that is not known is not there."""

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


def load_boards(root: Path, advance: Callable[[int], None] = lambda _: None) -> list[Board]:
    """Read a folder of results and rank it.

    Reported rows stand on the board of every dataset of their name, split and size, and on one of their own where
    there is none.

    Args:
        root: a folder of results.
        advance: told of each row that was read.

    Returns:
        The boards by the name of their dataset; `rope` first.

    Raises:
        RopeError: a row cannot be read; `leaderboard verify` tells of all.
    """
    entries: list[Entry] = []
    measured: dict[Path, _Measured] = {}
    for path in entry_paths(root):
        entry = read_entry(path, check_score=False)
        entries.append(entry)
        if entry.score is not None:
            measured[path] = _measure(entry, load_ranks(entry.part("score")))
        advance(1)
    groups = _groups(entries)
    return [
        _board(name, fingerprint, [measured.get(entry.path, entry) for entry in of_board])
        for (name, fingerprint), of_board in sorted(
            groups.items(), key=lambda item: (item[0][0] != "rope", str(item[0]))
        )
    ]


def product_hits(ranks: Ranks) -> ProductHits:
    """Count queries and hits at 1 of each product, in each cross-domain pair."""
    n_products, counts, hits = len(ranks.product_ids), {}, {}
    for column in ranks.cross_pairs:
        pair = ranks.pairs[column]
        found = np.bincount(pair.products[pair.rank <= 1], minlength=n_products)
        counts[column] = tuple(np.bincount(pair.products, minlength=n_products).tolist())
        hits[column] = tuple(found.tolist())
    return ProductHits(tuple(ranks.product_ids), counts, hits)


def _groups(entries: Sequence[Entry]) -> dict[tuple[str, str | None], list[Entry]]:
    groups: dict[tuple[str, str | None], list[Entry]] = {}
    for entry in (entry for entry in entries if entry.score is not None):
        groups.setdefault((entry.dataset, entry.fingerprint), []).append(entry)
    scored = {key: of_group[0] for key, of_group in groups.items()}
    for entry in (entry for entry in entries if entry.score is None):
        same = [key for key, one in scored.items() if _is_same_task(one, entry)]
        for key in same or [(entry.dataset, None)]:
            groups.setdefault(key, []).append(entry)
    return groups


def _is_same_task(one: Entry, other: Entry) -> bool:
    return (one.dataset, one.split, one.samples) == (other.dataset, other.split, other.samples)


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


def _board(name: str, fingerprint: str | None, found: Sequence[_Measured | Entry]) -> Board:
    measured = [one for one in found if isinstance(one, _Measured)]
    ranks = {view: of_view for metric in METRICS for view, of_view in _ranks(measured, metric).items()}
    rows = [
        Row(
            one.entry,
            {view: _cell(estimate, ranks[view][one.entry.card.id]) for view, estimate in one.estimates.items()},
            one.by_product,
        )
        for one in measured
    ]
    rows += [Row(one, _reported_cells(one), None) for one in found if isinstance(one, Entry)]
    rows.sort(key=lambda row: (-row.cells[HEADLINE].value if HEADLINE in row.cells else 1.0, row.entry.card.id))
    return Board(_key(name, fingerprint), name, fingerprint, tuple(rows))


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


def _cell(estimate: Estimate, rank: int) -> Cell:
    interval = share_interval(estimate)
    return Cell(interval.value, interval.low, interval.high, rank)


def _reported_cells(entry: Entry) -> dict[View, Cell]:
    views = ((metric, column) for metric in METRICS for column in entry.columns)
    values: dict[View, Any] = {(metric, column): entry.value(column, metric) for metric, column in views}
    return {view: Cell(value) for view, value in values.items() if value is not None}


def _key(name: str, fingerprint: str | None) -> str:
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()).strip("-")
    return f"{plain or 'dataset'}-{fingerprint[:12]}" if fingerprint else plain or "dataset"
