"""Where a model is good and where it is not: R@k by category, text length, positives, and size of the product."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from rope.arrays import BoolArray, IntArray
from rope.bench.metrics import KS, mean
from rope.bench.stats.by_chance import candidates_of, chance_of
from rope.bench.stats.intervals import Interval, MetricEstimate, average, micro_estimate, share_interval
from rope.bench.stats.query_ranks import PairRanks, QueryRanks, query_values
from rope.dataset.directory import open_shard, read_labels, read_products, shard_names
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Split, config_of, domains_of, pair_of
from rope.errors import UsageError
from rope.files import AnyPath
from rope.table import Table

__all__ = [
    "FEW_PRODUCTS",
    "LENGTH_BINS",
    "POSITIVE_BINS",
    "QuerySlice",
    "SliceKind",
    "bin_name",
    "left_out",
    "parts_of",
    "product_thirds",
    "read_text_lengths",
    "slice_ranks",
    "slice_table",
    "slices_json",
]

SliceKind = Literal["category", "text length", "positives", "product size"]

LENGTH_BINS: Final = (0, 10, 20, 40, 80)
"""Where each slice of text lengths begins, in characters."""

POSITIVE_BINS: Final = (1, 2, 5, 10, 20)
"""Where each slice of numbers of positives begins."""

FEW_PRODUCTS: Final = 50
"""A slice with fewer products is marked: that the intervals cover is measured from here on."""

NO_TEXT: Final = "no text"
NO_CATEGORY: Final = "no category"
THIRDS: Final = ("head", "torso", "tail")

Names = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class QuerySlice:
    """The queries of one kind in one pair, or in the mean of the cross-domain pairs.

    Attributes:
        kind: what the queries are grouped by.
        name: the part, such as `tail` or `20-39`.
        pair: `P2V` and so on, or `mean`.
        n_queries: queries in it; for `mean`, of these pairs together.
        n_products: products that have one of them.
        hit_rate: k -> R@k with its 95 % interval.
        by_chance: k -> R@k of an order drawn at random, for the same queries.
    """

    kind: SliceKind
    name: str
    pair: str
    n_queries: int
    n_products: int
    hit_rate: dict[int, Interval]
    by_chance: dict[int, float] = field(default_factory=dict)

    @property
    def has_few_products(self) -> bool:
        """Whether it has fewer than `FEW_PRODUCTS`."""
        return self.n_products < FEW_PRODUCTS


def slice_ranks(ranks: QueryRanks, directory: AnyPath) -> list[QuerySlice]:
    """R@k of every slice of every pair that has queries, and of the mean of the cross-domain pairs where all have.

    Args:
        ranks: of one model, on a split of the dataset.
        directory: the dataset directory that was scored.

    Returns:
        The slices by kind, part and pair; a slice without queries is left out.

    Raises:
        UsageError: the ranks are of another dataset.
        DatasetError: the dataset cannot be read.
    """
    parts, candidates = parts_of(ranks, directory), candidates_of(ranks, directory)
    return [
        one
        for kind in get_args(SliceKind)
        for name in _in_order(kind, parts[kind])
        for one in _slices(ranks, kind, name, {pair: of == name for pair, of in parts[kind].items()}, candidates)
    ]


def read_text_lengths(directory: AnyPath, domain: DomainName, split: Split) -> dict[str, int | None]:
    """The number of characters (code points) of each sample's text, by sample id; None without a text.

    Raises:
        DatasetError: the directory is not a dataset, or a shard cannot be read.
    """
    lengths: dict[str, int | None] = {}
    for name in shard_names(read_manifest(directory), config_of(domain), split):
        with open_shard(directory / name) as shard:
            table = shard.read(columns=["sample_id", "text"])
        counts = pc.utf8_length(table["text"]).to_pylist()
        lengths.update(zip(table["sample_id"].to_pylist(), counts, strict=True))
    return lengths


def bin_name(value: int, starts: Sequence[int]) -> str:
    """The slice that a number falls into, given where each begins.

    >>> [bin_name(n, (1, 2, 5)) for n in (1, 2, 4, 5, 60)]
    ['1', '2-4', '2-4', '5 or more', '5 or more']

    Raises:
        ValueError: the number is below the first.
    """
    if value < starts[0]:
        raise ValueError(f"{value} is below the first slice, which begins at {starts[0]}")
    return _bin_names(starts)[sum(start <= value for start in starts) - 1]


def product_thirds(sizes: Mapping[str, int]) -> dict[str, str]:
    """Head, torso and tail: the products that hold the first, second and last third of all samples.

    Products are put in order of size, largest first (equal ones by id). A product is in the third in which its first
    sample falls.

    >>> product_thirds({"a": 4, "b": 2, "c": 2, "d": 2, "e": 2})
    {'a': 'head', 'b': 'torso', 'c': 'torso', 'd': 'tail', 'e': 'tail'}
    """
    total, before = sum(sizes.values()), 0
    thirds = {}
    for product in sorted(sizes, key=lambda product: (-sizes[product], product)):
        thirds[product] = THIRDS[3 * before // total]
        before += sizes[product]
    return thirds


def slices_json(slices: Sequence[QuerySlice]) -> list[dict[str, Any]]:
    """The slices as JSON objects: fractions in full precision, `[low, high]` for an interval, null for none."""
    return [
        {
            "by": one.kind,
            "slice": one.name,
            "pair": one.pair,
            "n_queries": one.n_queries,
            "n_products": one.n_products,
            "few_products": one.has_few_products,
            **{f"R@{k}": interval.value for k, interval in one.hit_rate.items()},
            "ci95": {
                f"R@{k}": None if interval.low is None else [interval.low, interval.high]
                for k, interval in one.hit_rate.items()
            },
            "by_chance": {f"R@{k}": value for k, value in one.by_chance.items()},
        }
        for one in slices
    ]


def left_out(ranks: QueryRanks, directory: AnyPath, slices: Sequence[QuerySlice], pair: str) -> list[str]:
    """Which queries no slice of a pair, or of `mean`, holds and why: a sentence for each reason.

    Args:
        ranks: of one model.
        directory: the dataset directory that was scored.
        slices: of these ranks.
        pair: `P2V` and so on, or `mean`.
    """
    labels = read_labels(directory, ranks.origin.split)
    pairs = ranks.compared_pairs if pair == "mean" else (pair,)
    told = []
    n_all = {name: len(labels[pair_of(name).query].sample_ids) for name in pairs}
    without = {name: n_all[name] - (len(ranks.pairs[name].rank) if name in ranks.pairs else 0) for name in pairs}
    if sum(without.values()):
        listed = ", ".join(f"{n:,} of {n_all[name]:,} in {name}" for name, n in without.items() if n)
        told.append(f"in no slice, as they have no positive: {listed}")
    if pair == "mean":
        told += [sentence for kind in get_args(SliceKind) if (sentence := _without_mean(slices, kind, pairs))]
    return told


def _without_mean(slices: Sequence[QuerySlice], kind: SliceKind, pairs: Sequence[str]) -> str | None:
    """The parts of a kind that some pair has no query of."""
    with_mean = {one.name for one in slices if one.kind == kind and one.pair == "mean"}
    n_queries: dict[str, int] = {}
    for one in slices:
        if one.kind == kind and one.pair in pairs and one.name not in with_mean:
            n_queries[one.name] = n_queries.get(one.name, 0) + one.n_queries
    if not n_queries:
        return None
    listed = ", ".join(f"{name} ({n:,})" for name, n in n_queries.items())
    return f"{kind}: no mean where a pair has no such query; give --pair to see {listed}"


def slice_table(slices: Sequence[QuerySlice], pair: str) -> Table:
    """The slices of one pair, or of `mean`, in percent, for a terminal."""
    shown = [one for one in slices if one.pair == pair]
    table = Table(f"Slices of {pair}, in %, with the 95 % interval of R@1", n_keys=2)
    table.caption = f"few: fewer than {FEW_PRODUCTS} products, too few for the interval to be relied on"
    table.add_column("by")
    table.add_column("slice")
    table.add_columns("R@1", "R@1 by chance", *(f"R@{k}" for k in KS[1:]), "R@1, 95 %", "queries", "products")
    table.add_column()
    for before, one in zip([None, *shown], shown, strict=False):
        first = before is None or before.kind != one.kind
        if first:
            table.add_section()
        best = one.hit_rate[1]
        table.add_row(
            one.kind if first else "",
            one.name,
            f"{100 * best.value:.2f}",
            f"{100 * one.by_chance[1]:.2f}" if one.by_chance else "-",
            *(f"{100 * one.hit_rate[k].value:.2f}" for k in KS[1:]),
            "-" if best.low is None or best.high is None else f"{100 * best.low:.2f} - {100 * best.high:.2f}",
            f"{one.n_queries:,}",
            f"{one.n_products:,}",
            "few" if one.has_few_products else "",
        )
    return table


def parts_of(ranks: QueryRanks, directory: AnyPath) -> dict[SliceKind, dict[str, Names]]:
    """Kind -> pair -> the part of each query."""
    manifest = read_manifest(directory)
    if manifest.fingerprint != ranks.origin.fingerprint:
        raise UsageError(
            f"the ranks of {ranks.origin.model} are of the dataset {ranks.origin.fingerprint[:12]}, but {directory} "
            f"is {manifest.fingerprint[:12]}; give the dataset that was scored"
        )
    categories = {
        product: category or NO_CATEGORY for product, category in read_products(directory, ranks.origin.split).items()
    }
    thirds = product_thirds(_product_sizes(directory, ranks.origin.split))
    parts: dict[SliceKind, dict[str, Names]] = {kind: {} for kind in get_args(SliceKind)}
    for asked in domains_of(ranks.pairs):
        lengths = read_text_lengths(directory, asked, ranks.origin.split)
        for name in (name for name in ranks.pairs if pair_of(name).query == asked):
            pair = ranks.pairs[name]
            products = [ranks.product_ids[i] for i in pair.products]
            parts["category"][name] = np.array([categories[product] for product in products])
            parts["product size"][name] = np.array([thirds[product] for product in products])
            parts["positives"][name] = np.array([bin_name(int(n), POSITIVE_BINS) for n in pair.n_positives])
            parts["text length"][name] = np.array([_length_name(lengths[query]) for query in pair.query_ids])
    return parts


def _product_sizes(directory: AnyPath, split: Split) -> dict[str, int]:
    """Samples of each product over all domains."""
    sizes: dict[str, int] = {}
    for labels in read_labels(directory, split).values():
        for product in labels.product_ids:
            sizes[product] = sizes.get(product, 0) + 1
    return sizes


def _length_name(length: int | None) -> str:
    return NO_TEXT if length is None else bin_name(length, LENGTH_BINS)


def _bin_names(starts: Sequence[int]) -> list[str]:
    ends = [start - 1 for start in starts[1:]]
    closed = [str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=False)]
    return [*closed, f"{starts[-1]} or more"]


def _in_order(kind: SliceKind, names: Mapping[str, Names]) -> list[str]:
    """The parts that occur: bins in their own order, categories by name."""
    occurring = {str(name) for of_pair in names.values() for name in np.unique(of_pair)}
    orders: dict[SliceKind, Sequence[str]] = {
        "category": [*sorted(occurring - {NO_CATEGORY}), NO_CATEGORY],
        "text length": [NO_TEXT, *_bin_names(LENGTH_BINS)],
        "positives": _bin_names(POSITIVE_BINS),
        "product size": THIRDS,
    }
    return [name for name in orders[kind] if name in occurring]


def _slices(
    ranks: QueryRanks,
    kind: SliceKind,
    name: str,
    chosen: Mapping[str, BoolArray],
    candidates: Mapping[str, IntArray],
) -> list[QuerySlice]:
    """One part in each pair that has queries of it, and in the mean of the cross-domain pairs where all have."""
    estimates = {
        pair: _estimates(ranks.pairs[pair], queries, len(ranks.product_ids))
        for pair, queries in chosen.items()
        if queries.any()
    }
    counts = {pair: int(np.count_nonzero(chosen[pair])) for pair in estimates}
    chances = {pair: {k: chance_of(ranks, candidates, pair, chosen[pair], k) for k in KS} for pair in estimates}
    cross = ranks.compared_pairs
    if cross and all(pair in estimates for pair in cross):
        estimates["mean"] = {k: average([estimates[pair][k] for pair in cross]) for k in KS}
        counts["mean"] = sum(counts[pair] for pair in cross)
        chances["mean"] = {k: mean(chances[pair][k] for pair in cross) for k in KS}
    hit_rates = {pair: {k: share_interval(of_pair[k]) for k in KS} for pair, of_pair in estimates.items()}
    return [
        QuerySlice(kind, name, pair, counts[pair], of_pair[1].n_products, hit_rates[pair], chances[pair])
        for pair, of_pair in estimates.items()
    ]


def _estimates(pair: PairRanks, queries: BoolArray, n_products: int) -> dict[int, MetricEstimate]:
    return {k: micro_estimate(query_values(pair, f"R@{k}")[queries], pair.products[queries], n_products) for k in KS}
