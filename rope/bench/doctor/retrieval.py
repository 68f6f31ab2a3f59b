"""Retrieval and what limits it: pairs, hubs, triangles, galleries, smaller vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from rope.arrays import IntArray
from rope.bench.doctor.frontier import (
    Accuracy,
    FrontierPoint,
    centre,
    measure_frontier,
    score_variant,
    share_at_1,
    truncations,
)
from rope.bench.doctor.geometry import Moments
from rope.bench.doctor.growth import Growth, average_growth, measure_growth
from rope.bench.doctor.hubs import LIST_LENGTH, Hubness, measure_hubness, nearest
from rope.bench.doctor.rows import UsableRows
from rope.bench.metrics import expected_at_random, mean, score_queries
from rope.bench.ranking.engine import ComputeSettings, Labelled, PositiveRanks, rank_pair
from rope.domain import DomainName, Pair, cross_domain_pairs, label_of

__all__ = ["PairDiagnosis", "Retrieval", "Triangle", "count_rankings", "diagnose_retrieval", "follow"]

_COLLAPSED: Final = 0.5
"""Share of queries lost to ties above which smaller variants of the same vectors are not worth their time."""


@dataclass(frozen=True, slots=True)
class PairDiagnosis:
    """The diagnosis of one ordered pair of domains.

    Attributes:
        n_queries: queries with a positive.
        n_gallery: gallery samples.
        r_at_1: share of the queries with a positive at rank 1, ties against the model.
        r_at_1_by_chance: the same of an order drawn at random.
        r_at_1_optimistic: with ties for the model.
        hubs: of the gallery.
    """

    n_queries: int
    n_gallery: int
    r_at_1: float
    r_at_1_by_chance: float
    r_at_1_optimistic: float
    hubs: Hubness


@dataclass(frozen=True, slots=True)
class Triangle:
    """Three hops from nearest neighbour to nearest neighbour, ending in the domain where they started.

    Attributes:
        n_starts: samples to start from: those whose product is in all three domains of the triangle.
        returns: share of the starts whose last hop ends at a sample of their product; None without a start.
        stays: share of the starts whose every hop does.
    """

    n_starts: int
    returns: float | None
    stays: float | None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The diagnosis of the cross-domain pairs, all of it from usable rows.

    Attributes:
        n_products: products of the usable rows.
        full: what the vectors score as they are.
        by_chance: the headline of an order drawn at random.
        tied: the headline with ties for the model, less the headline.
        centred: what they score less the centroid of their domain.
        pairs: `P2V` and so on.
        asymmetry: `P-V` and so on -> R@1 of P2V less that of V2P.
        by_domain: mean R@1 of the pairs that a domain is part of.
        bottleneck: the domain whose mean is the lowest; None where two share it.
        triangles: `P→V→L→P` and `P→L→V→P`, and so on for any three domains.
        sizes: numbers of negatives in the smaller galleries of `growth`.
        growth: of each pair; empty where some query has no negative.
        mean_growth: the mean of the pairs; None in the same case.
        frontier: the vectors and their smaller variants; None where they are collapsed.
    """

    n_products: int
    full: Accuracy
    by_chance: float
    tied: float
    centred: Accuracy
    pairs: dict[str, PairDiagnosis]
    asymmetry: dict[str, float]
    by_domain: dict[DomainName, float]
    bottleneck: DomainName | None
    triangles: dict[str, Triangle]
    sizes: tuple[int, ...]
    growth: dict[str, Growth]
    mean_growth: Growth | None
    frontier: tuple[FrontierPoint, ...] | None


def diagnose_retrieval(
    sides: Mapping[DomainName, UsableRows], of: Mapping[DomainName, Moments], compute: ComputeSettings
) -> Retrieval:
    """Rank the cross-domain pairs, as they are and changed, and look at the neighbours.

    Args:
        sides: two domains or more, in order and of one dimension; every two have a product in common.
        of: their moments.
        compute: how to spend the machine; its `advance` is called with `count_rankings` times the similarities of
            every two domains in all.
    """
    labelled = {domain: side.labelled for domain, side in sides.items()}
    cross = cross_domain_pairs(sides)
    ranks = _rank_all(labelled, compute)
    lists = {
        pair.name: nearest(
            labelled[pair.query].vectors,
            labelled[pair.gallery].vectors,
            min(LIST_LENGTH, len(labelled[pair.gallery])),
            compute,
        )
        for pair in cross
    }
    pairs = {
        pair.name: _diagnose_pair(ranks[pair.name], lists[pair.name], sides[pair.gallery].sample_ids) for pair in cross
    }
    r_at_1 = {name: of_pair.r_at_1 for name, of_pair in pairs.items()}
    full = Accuracy.of(r_at_1, r_at_1, n_lost=0)
    tied = mean([of_pair.r_at_1_optimistic for of_pair in pairs.values()]) - full.headline
    by_domain: dict[DomainName, float] = {
        domain: mean([r_at_1[pair.name] for pair in cross if domain in (pair.query, pair.gallery)]) for domain in sides
    }
    sizes, growth = measure_growth(ranks, {name: of_pair.n_gallery for name, of_pair in pairs.items()})
    return Retrieval(
        n_products=len(np.unique(np.concatenate([side.products for side in labelled.values()]))),
        full=full,
        by_chance=mean([of_pair.r_at_1_by_chance for of_pair in pairs.values()]),
        tied=tied,
        centred=score_variant(labelled, centre(labelled, of), full, compute),
        pairs=pairs,
        asymmetry={pair.name.replace("2", "-"): r_at_1[pair.name] - r_at_1[pair.reverse.name] for pair in cross[::2]},
        by_domain=by_domain,
        bottleneck=_lowest(by_domain),
        triangles=_triangles(lists, labelled),
        sizes=sizes,
        growth=growth,
        mean_growth=average_growth([*growth.values()]) if growth else None,
        frontier=None if tied > _COLLAPSED else measure_frontier(labelled, of, full, compute),
    )


def _rank_all(sides: Mapping[DomainName, Labelled], compute: ComputeSettings) -> dict[str, PositiveRanks]:
    """Rank the cross-domain pairs, each beside its reverse."""
    ranks: dict[str, PositiveRanks] = {}
    for pair in cross_domain_pairs(sides)[::2]:
        ranks[pair.name], ranks[pair.reverse.name] = rank_pair(sides[pair.query], sides[pair.gallery], compute)
    return ranks


def _lowest(by_domain: Mapping[DomainName, float]) -> DomainName | None:
    lowest = [domain for domain, value in by_domain.items() if value == min(by_domain.values())]
    return lowest[0] if len(lowest) == 1 else None


def count_rankings(dim: int) -> int:
    """How often `diagnose_retrieval` goes through all similarities of every two domains.

    As they are, centred, int8, binary, the truncations, and the neighbours in two directions.

    >>> count_rankings(128)
    9
    """
    return 4 + len(truncations(dim)) + 2


def follow(hops: list[IntArray], products: list[IntArray]) -> Triangle:
    """Follow the nearest neighbours around.

    Args:
        hops: three arrays of int64: for each sample of a domain, the row of its nearest neighbour in the next.
        products: of the samples of the first, second and third domain.

    >>> hops = [np.array([0, 1]), np.array([0, 1]), np.array([0, 0])]
    >>> follow(hops, [np.array([7, 8])] * 3)
    Triangle(n_starts=2, returns=0.5, stays=0.5)
    """
    start, second, third = products
    in_second, in_third = hops[0], hops[1][hops[0]]
    at_end = hops[2][in_third]
    eligible = np.isin(start, second) & np.isin(start, third)
    n_starts = int(np.count_nonzero(eligible))
    if not n_starts:
        return Triangle(0, None, None)
    returned = start[at_end] == start
    stayed = returned & (second[in_second] == start) & (third[in_third] == start)
    return Triangle(n_starts, float(returned[eligible].mean()), float(stayed[eligible].mean()))


def _triangles(lists: Mapping[str, IntArray], sides: Mapping[DomainName, Labelled]) -> dict[str, Triangle]:
    """Every three domains, both ways around; `lists` has the nearest neighbours of each pair by its name."""
    found: dict[str, Triangle] = {}
    for first, second, third in combinations(sides, 3):
        for route in ((first, second, third), (first, third, second)):
            hops = [Pair(a, b).name for a, b in zip(route, (*route[1:], first), strict=True)]
            name = "→".join(label_of(domain) for domain in (*route, first))
            found[name] = follow([lists[hop][:, 0] for hop in hops], [sides[domain].products for domain in route])
    return found


def _diagnose_pair(ranks: PositiveRanks, lists: IntArray, gallery_ids: list[str]) -> PairDiagnosis:
    queries = score_queries(ranks)
    n_queries = len(queries.queries)
    return PairDiagnosis(
        n_queries=n_queries,
        n_gallery=len(gallery_ids),
        r_at_1=share_at_1(ranks, n_queries),
        r_at_1_by_chance=expected_at_random(
            queries.n_positives, np.full_like(queries.n_positives, len(gallery_ids)), 1
        ),
        r_at_1_optimistic=int(np.count_nonzero(queries.rank_optimistic == 1)) / n_queries,
        hubs=measure_hubness(lists, gallery_ids),
    )
