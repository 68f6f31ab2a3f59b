"""The long tail: what a model loses from frequent categories and products to rare ones.

Where `rope.bench.stats.slices` tells about every part on its own, this compares three: the head, torso and tail of a
distribution, and the gap between the first and the last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from scipy.special import stdtrit

from rope.arrays import IntArray
from rope.bench.metrics import mean
from rope.bench.stats.by_chance import candidates_of, chance_of
from rope.bench.stats.intervals import TAIL, Interval, MetricEstimate, average, micro_estimate, share_interval
from rope.bench.stats.query_ranks import QueryRanks, cutoff_of, query_values
from rope.bench.stats.slices import FEW_PRODUCTS, THIRDS, product_thirds
from rope.dataset.directory import read_labels, read_products
from rope.dataset.manifest import read_manifest
from rope.domain import Split
from rope.errors import UsageError
from rope.files import AnyPath
from rope.table import Table

__all__ = ["Counting", "Third", "gap_interval", "tail_json", "tail_of", "tail_table"]

Counting = Literal["category by products", "category by samples", "product by samples"]
"""What is put in order, and by how many of what it has."""

GAP: Final = "head - tail"


@dataclass(frozen=True, slots=True)
class Third:
    """The queries of the head, torso or tail in one pair, or the gap between head and tail.

    Attributes:
        counting: how categories or products are ordered.
        name: `head`, `torso`, `tail`, or `head - tail`.
        pair: `P2V` and so on, or `mean` of the cross-domain pairs.
        n_groups: categories or products that it has queries of.
        n_queries: queries in it; for `mean`, of all pairs together; for the gap, of head and tail.
        score: the metric, or the difference, with its 95 % interval by product.
        by_chance: the same of an order drawn at random; None for a metric that is not R@k.
    """

    counting: Counting
    name: str
    pair: str
    n_groups: int
    n_queries: int
    score: Interval
    by_chance: float | None = None


def tail_of(ranks: QueryRanks, directory: AnyPath, metric: str = "R@1", counted_in: Split | None = None) -> list[Third]:
    """Compare head, torso and tail in every cross-domain pair, and in their mean where all pairs have such queries.

    Categories (or products) are put in order of how many products (or samples of all domains) they have, largest
    first and equal ones by name. The head is what holds the first third of these, the torso the second, the tail the
    third; a category is where its first product falls. Products without a category are left out there. The two sides of
    a gap are different products, so that their errors add up; its interval is Student's.

    Args:
        ranks: of one model, on a split of the dataset.
        directory: the dataset directory that was scored.
        metric: one of `rope.bench.stats.query_ranks.METRICS`.
        counted_in: the split whose products and samples are counted; None for the one that was scored. Categories that
            it lacks are in the tail. Products are of one split only, so they are always counted in the scored one.

    Raises:
        UsageError: the ranks are of another dataset, or the metric is unknown.
        DatasetError: the dataset cannot be read, or has no such split.
    """
    fingerprint = read_manifest(directory).fingerprint
    if fingerprint != ranks.origin.fingerprint:
        raise UsageError(
            f"the ranks of {ranks.origin.model} are of the dataset {ranks.origin.fingerprint[:12]}, but {directory} "
            f"is {fingerprint[:12]}; give the dataset that was scored"
        )
    scored, candidates = ranks.origin.split, candidates_of(ranks, directory)
    groups = {one: _groups(directory, scored, one, counted_in or scored) for one in get_args(Counting)}
    return [third for one, of_one in groups.items() for third in _thirds(ranks, one, of_one, metric, candidates)]


def tail_json(thirds: Sequence[Third], metric: str) -> list[dict[str, Any]]:
    """The thirds as JSON objects: fractions in full precision, `[low, high]` for an interval, null for none."""
    return [
        {
            "counting": one.counting,
            "part": one.name,
            "pair": one.pair,
            "n_groups": one.n_groups,
            "n_queries": one.n_queries,
            "n_products": one.score.n_products,
            "few_products": one.score.n_products < FEW_PRODUCTS,
            metric: one.score.value,
            "by_chance": one.by_chance,
            "ci95": None if one.score.low is None else [one.score.low, one.score.high],
        }
        for one in thirds
    ]


def tail_table(thirds: Sequence[Third], pair: str, metric: str) -> Table:
    """The thirds of one pair, or of `mean`, in percent, for a terminal."""
    table = Table(f"Head, torso and tail of {pair}, {metric} in %", n_keys=2)
    table.caption = f"few: fewer than {FEW_PRODUCTS} products, too few for the interval to be relied on"
    table.add_column("counting")
    table.add_column("part")
    table.add_columns(metric, "by chance", "95 %", "groups", "products", "queries")
    table.add_column()
    for one in (one for one in thirds if one.pair == pair):
        low, high = one.score.low, one.score.high
        table.add_row(
            one.counting,
            one.name,
            f"{100 * one.score.value:.2f}",
            "-" if one.by_chance is None else f"{100 * one.by_chance:.2f}",
            "-" if low is None or high is None else f"{100 * low:.2f} - {100 * high:.2f}",
            f"{one.n_groups:,}",
            f"{one.score.n_products:,}",
            f"{one.n_queries:,}",
            "few" if one.score.n_products < FEW_PRODUCTS else "",
            end_section=one.name == GAP,
        )
    return table


def _groups(directory: AnyPath, scored: Split, counting: Counting, counted_in: Split) -> dict[str, tuple[str, str]]:
    """Product of the scored split -> its category, or itself, and the third that this is in."""
    if counting == "product by samples":
        thirds = product_thirds(_samples(directory, scored))
        return {product: (product, third) for product, third in thirds.items()}
    weights = _samples(directory, counted_in) if counting == "category by samples" else None
    sizes: dict[str, int] = {}
    for product, category in read_products(directory, counted_in).items():
        if category is not None:
            sizes[category] = sizes.get(category, 0) + (1 if weights is None else weights.get(product, 0))
    thirds = product_thirds(sizes) if sum(sizes.values()) else {}
    return {
        product: (category, thirds.get(category, THIRDS[-1]))
        for product, category in read_products(directory, scored).items()
        if category is not None
    }


def _samples(directory: AnyPath, split: Split) -> dict[str, int]:
    """Samples of each product over all domains."""
    sizes: dict[str, int] = {}
    for labels in read_labels(directory, split).values():
        for product in labels.product_ids:
            sizes[product] = sizes.get(product, 0) + 1
    return sizes


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The queries of one third: what they scored, what chance would, how many, and the categories or products."""

    estimate: MetricEstimate
    by_chance: float | None
    n_queries: int
    groups: frozenset[str]


def _thirds(
    ranks: QueryRanks,
    counting: Counting,
    groups: Mapping[str, tuple[str, str]],
    metric: str,
    candidates: Mapping[str, IntArray],
) -> list[Third]:
    """The three parts and the gap, in the mean of the cross-domain pairs and in each."""
    by_pair = {name: _parts(ranks, name, groups, metric, candidates) for name in ranks.compared_pairs}
    everywhere = [name for name in THIRDS if by_pair and all(name in parts for parts in by_pair.values())]
    together = {name: _together([parts[name] for parts in by_pair.values()]) for name in everywhere}
    return [row for pair, parts in {"mean": together, **by_pair}.items() for row in _rows(counting, pair, parts)]


def _parts(
    ranks: QueryRanks,
    pair: str,
    groups: Mapping[str, tuple[str, str]],
    metric: str,
    candidates: Mapping[str, IntArray],
) -> dict[str, _Part]:
    """The thirds that have queries in a pair."""
    found = [groups.get(product, ("", "")) for product in ranks.product_ids]
    products, values = ranks.pairs[pair].products, query_values(ranks.pairs[pair], metric)
    third_of = np.array([third for _, third in found])[products]
    k = cutoff_of(metric)
    return {
        name: _Part(
            micro_estimate(values[third_of == name], products[third_of == name], len(found)),
            None if k is None else chance_of(ranks, candidates, pair, third_of == name, k),
            int(np.count_nonzero(third_of == name)),
            frozenset(found[product][0] for product in np.unique(products[third_of == name])),
        )
        for name in THIRDS
        if (third_of == name).any()
    }


def _together(parts: Sequence[_Part]) -> _Part:
    return _Part(
        average([part.estimate for part in parts]),
        _mean([part.by_chance for part in parts]),
        sum(part.n_queries for part in parts),
        frozenset[str]().union(*(part.groups for part in parts)),
    )


def _rows(counting: Counting, pair: str, parts: Mapping[str, _Part]) -> list[Third]:
    rows = [
        Third(counting, name, pair, len(part.groups), part.n_queries, share_interval(part.estimate), part.by_chance)
        for name, part in parts.items()
    ]
    head, tail = parts.get(THIRDS[0]), parts.get(THIRDS[-1])
    if head is not None and tail is not None:
        n_groups, n_queries = len(head.groups) + len(tail.groups), head.n_queries + tail.n_queries
        both = None if head.by_chance is None or tail.by_chance is None else head.by_chance - tail.by_chance
        rows.append(Third(counting, GAP, pair, n_groups, n_queries, gap_interval(head.estimate, tail.estimate), both))
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def gap_interval(head: MetricEstimate, tail: MetricEstimate) -> Interval:
    """The difference of two numbers over different products: ± Student's t times the root of the squared shifts.

    The degrees of freedom are Welch's: few where the smaller side decides. No interval where a side has one product.

    >>> from rope.bench.stats.intervals import estimate
    >>> head = estimate(np.array([1.0, 0.0, 1.0, 0, 0]), np.array([1.0, 1.0, 1.0, 0, 0]))
    >>> tail = estimate(np.array([0, 0, 0, 1.0, 0.0]), np.array([0, 0, 0, 1.0, 1.0]))
    >>> gap_interval(head, tail)
    Interval(value=0.16666666666666663, low=-1.0, high=1.0, n_products=5)
    """
    value, n_products = head.value - tail.value, head.n_products + tail.n_products
    if min(head.n_products, tail.n_products) < 2:
        return Interval(value, None, None, n_products)
    a, b = head.standard_error**2, tail.standard_error**2
    if a + b == 0:
        return Interval(value, None, None, n_products)
    degrees = (a + b) ** 2 / (a**2 / (head.n_products - 1) + b**2 / (tail.n_products - 1))
    reach = float(stdtrit(degrees, 1 - TAIL)) * (a + b) ** 0.5
    return Interval(value, max(-1.0, value - reach), min(1.0, value + reach), n_products)
