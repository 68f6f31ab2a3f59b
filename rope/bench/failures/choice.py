"""Which queries are looked at: worst products, near misses, victims of hubs, a sample, or what another model finds."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from rope.arrays import BoolArray, IntArray
from rope.bench.doctor.hubs import LIST_LENGTH, measure_hubness, nearest
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.score import ScoredDomain
from rope.bench.stats.query_ranks import PairRanks
from rope.domain import DomainName, pair_of

__all__ = ["CHOICES", "Choice", "ChosenQuery", "choose", "hub_victims"]

Choice = Literal["worst", "near", "hubs", "random", "lost"]

CHOICES: Final[Mapping[Choice, str]] = {
    "worst": "of the products with the lowest mean reciprocal rank, the query that ranks its own last",
    "near": "near misses: the best positive is second, third and so on",
    "hubs": "misses with a hub among the nearest, a sample that far too many queries find",
    "random": "a sample of all queries, drawn by the seed",
    "lost": "misses that the other model finds first",
}
"""What each choice takes."""


@dataclass(frozen=True, slots=True)
class ChosenQuery:
    """A query of a pair, and why it was chosen.

    Attributes:
        row: its place in `PairRanks`.
        why: a sentence; empty where the choice says all.
        hub: the id of the gallery sample that stands in the way; None except for victims of hubs.
    """

    row: int
    why: str = ""
    hub: str | None = None


def choose(
    choice: Choice, ranks: PairRanks, wanted: BoolArray, n: int, *, seed: int = 0, other: PairRanks | None = None
) -> list[ChosenQuery]:
    """The queries of a choice that ranks alone decide, the first first; fewer than `n` where there are fewer.

    All but a sample have one query for each product, so that no product fills the page.

    Args:
        choice: any but `hubs`.
        ranks: of the model.
        wanted: bool [n_queries], the queries to choose from.
        n: how many.
        seed: of the sample.
        other: of the model to compare with, for `lost`.
    """
    rows = np.flatnonzero(wanted)
    if choice == "random":
        drawn = sorted(rows.tolist(), key=lambda row: _drawn(seed, ranks.query_ids[row]))
        return [ChosenQuery(row) for row in drawn[:n]]
    if choice == "worst":
        return _worst(ranks, rows, n)
    if choice == "near":
        missed = [row for row in rows.tolist() if ranks.rank[row] > 1]
        order = sorted(missed, key=lambda row: (int(ranks.rank[row]), ranks.query_ids[row]))
        return [ChosenQuery(row) for row in _one_a_product(order, ranks, n)]
    assert choice == "lost", "hubs have their own function"
    assert other is not None, "what is lost is lost to another model"
    lost = [row for row in rows.tolist() if ranks.rank[row] > 1 and other.rank[row] == 1]
    order = sorted(lost, key=lambda row: (-int(ranks.rank[row]), ranks.query_ids[row]))
    return [ChosenQuery(row, "the other model has the best positive first") for row in _one_a_product(order, ranks, n)]


def hub_victims(
    name: str,
    ranks: PairRanks,
    sides: Mapping[DomainName, ScoredDomain],
    wanted: BoolArray,
    n: int,
    compute: ComputeSettings,
) -> list[ChosenQuery]:
    """Missed queries of a cross-domain pair that have one of its worst hubs among their nearest.

    The hubs and their numbers are those of `rope-bench doctor`. Queries in which a hub stands first come first.
    """
    pair = pair_of(name)
    asked, gallery = sides[pair.query], sides[pair.gallery]
    k = min(LIST_LENGTH, len(gallery.sample_ids))
    lists = nearest(asked.asked.vectors, gallery.labelled.vectors, k, compute)
    hubness = measure_hubness(lists, gallery.sample_ids)
    place = {sample_id: row for row, sample_id in enumerate(asked.sample_ids)}
    hubs = {hub.sample_id: hub.n_lists for hub in hubness.worst if hub.n_lists > hubness.expected}
    found = []
    for row in np.flatnonzero(wanted & (ranks.rank > 1)).tolist():
        ids = [gallery.sample_ids[i] for i in lists[place[ranks.query_ids[row]]]]
        for position, sample_id in enumerate(ids):
            if sample_id in hubs:
                found.append((position, -hubs[sample_id], ranks.query_ids[row], row, sample_id))
                break
    told = {row: (position, hub) for position, _, _, row, hub in found}
    return [
        ChosenQuery(row, _of_hub(told[row][1], hubs[told[row][1]], told[row][0], hubness.expected), told[row][1])
        for row in _one_a_product([row for *_, row, _ in sorted(found)], ranks, n)
    ]


def _of_hub(hub: str, n_lists: int, position: int, expected: float) -> str:
    return (
        f"the hub {hub} is result {position + 1}; it is among the nearest {LIST_LENGTH} of {n_lists:,} queries, "
        f"expected {expected:.0f}"
    )


def _worst(ranks: PairRanks, rows: IntArray, n: int) -> list[ChosenQuery]:
    sums: dict[int, list[float]] = {}
    for row in rows.tolist():
        sums.setdefault(int(ranks.products[row]), []).append(1 / int(ranks.rank[row]))
    mean = {product: float(np.mean(values)) for product, values in sums.items()}
    order = sorted(
        rows.tolist(),
        key=lambda row: (mean[int(ranks.products[row])], -int(ranks.rank[row]), ranks.query_ids[row]),
    )
    return [
        ChosenQuery(row, f"mean reciprocal rank of the product's queries: {mean[int(ranks.products[row])]:.3f}")
        for row in _one_a_product(order, ranks, n)
    ]


def _one_a_product(rows: Iterable[int], ranks: PairRanks, n: int) -> Sequence[int]:
    """The first row of each product, at most `n`."""
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(ranks.products[row]), row)
    return list(first.values())[:n]


def _drawn(seed: int, query_id: str) -> bytes:
    return hashlib.sha256(f"{seed}:{query_id}".encode()).digest()
