"""Put every product on one side: `leakage_groups` says what stays together, `split` draws the sides."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import IntArray
from rope.config import Count, NumberRange, PositiveFraction, Seed, check_record
from rope.curation.codes import coded_in_order, joined_words
from rope.curation.dedup.measured_search import SearchMethod, SearchNote, SearchRules, measured_near_pairs
from rope.curation.pipeline.operation import Earlier, GlobalOperation, Outcome, one_batch, rejects_of
from rope.curation.splitting.leakage_groups import MAX_SHARED, LeakageGroups, Near, Shared, leakage_groups
from rope.curation.splitting.sides import (
    NEW,
    REASONS,
    RUN_COLUMN,
    TRAIN,
    VALIDATION,
    WAS_TRAIN,
    read_sides,
    settle_products,
)
from rope.curation.splitting.split import Products, majority, split_products
from rope.curation.wide import read_vectors
from rope.domain import DOMAINS
from rope.errors import UsageError

__all__ = ["SPLIT", "SplitPlan", "SplitRows", "plan_split", "split_after", "split_rows"]


_COLUMNS: Final = ("id", "domain", "category", "product_id", "session", "media_sha256")
_NEIGHBOURS: Final = 200
"""Nearest samples of each that are looked at; more than a product has, since its own samples are among them."""

_N_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class SplitRows:
    """Options of the operation `split`.

    Attributes:
        n_validation: products of the validation set, exactly.
        seed: of the hashes that decide between equals.
        near: cosine of two embeddings from which on their products stay together; looser than that of merging. None
            where rows have no embeddings.
        column: the vectors that `near` compares.
        search: for near pairs: `exact` compares every two samples, `ivf` uses an index (`rope-bench[faiss]`), and
            `auto` takes the index above `rope.curation.dedup.measured_search.LARGEST_UNINDEXED` samples.
        min_recall: smallest share of the near pairs of random samples that an index has to find.
        recall_queries: samples at random, on which that is measured in every run.
        max_shared: a file or session of more products, or a product with more neighbours, ties nothing.
        strata: columns whose values make a stratum; the validation set has a share of each.
        freeze_val: a dataset directory whose validation products stay in the validation set; None for none.

    Raises:
        UsageError: a number is out of range.
    """

    n_validation: Count
    seed: Seed
    near: PositiveFraction | None = None
    column: str = "embedding"
    search: SearchMethod = "auto"
    min_recall: PositiveFraction = 0.99
    recall_queries: Count = 1000
    max_shared: Annotated[int, NumberRange(2)] = MAX_SHARED
    freeze_val: Path | None = None
    strata: list[str] = field(default_factory=lambda: ["category"])

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """The split of each product.

    Attributes:
        product_ids: p ids, ascending.
        validation: bool [p].
        groups: `groups.group` is the number of the first product of each one's leakage group.
        left_out: int64 [rows of all files]; why a row is on no side, a place in
            `rope.curation.splitting.sides.REASONS`.
        search: how near pairs were searched; None where they were not.
        runs: strings [p]; the run that decided about a product, null for this one; None without a previous run.
        row_runs: strings [rows of all files]; the same of rows.
        notes: what became of earlier sides.
    """

    product_ids: list[str]
    validation: npt.NDArray[np.bool_]
    groups: LeakageGroups
    left_out: IntArray
    search: SearchNote | None = None
    runs: pa.Array | None = None
    row_runs: pa.Array | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def split_rows(paths: Sequence[Path], options: SplitRows) -> Iterator[Outcome]:
    """Add `split`, `train` or `validation`, and `leakage_group`, the smallest product id of the group.

    Rejects `no_product`: rows whose `product_id` is null.

    Raises:
        UsageError: a column that is needed is missing, or `freeze_val` is not a dataset directory.
        DatasetError: no choice has exactly so many products, or a frozen product cannot stay.
    """
    return _sided(paths, plan_split(paths, options))


def split_after(paths: Sequence[Path], options: SplitRows, earlier: Earlier) -> Iterator[Outcome]:
    """The same after an earlier split, whose sides stay as `rope.curation.splitting.sides` says.

    Also adds `split_in`, the run that decided; null for this one. Rejects `was_in_train`, `was_in_validation` and
    `tied_to_validation` too.

    Raises:
        UsageError, DatasetError: see `split_rows`; or `freeze_val` is given too.
    """
    if options.freeze_val is not None:
        raise UsageError("split: freeze_val and previous both say what stays in validation; leave one of them out")
    return _sided(paths, plan_split(paths, options, earlier))


def _sided(paths: Sequence[Path], plan: SplitPlan) -> Iterator[Outcome]:
    """The rows of each file with their sides."""
    ids = pa.array(plan.product_ids, pa.string())
    sides = pa.array(np.where(plan.validation, "validation", "train").tolist(), pa.string())
    names = ids.take(pa.array(plan.groups.group))
    notes = plan.notes | ({} if plan.search is None else {"search for near pairs": plan.search.json()})
    start = 0
    for path in paths:
        table = pq.read_table(path)
        left_out = plan.left_out[start : start + len(table)]
        rejects = _left_out(table, left_out, None if plan.row_runs is None else plan.row_runs.slice(start, len(table)))
        start += len(table)
        kept = table.filter(pa.array(left_out == 0))
        place = pc.index_in(kept["product_id"], ids)
        kept = kept.append_column("split", sides.take(place)).append_column("leakage_group", names.take(place))
        if plan.runs is not None:
            kept = kept.append_column(RUN_COLUMN, plan.runs.take(place))
        yield Outcome(one_batch(kept), rejects, notes)


def _left_out(table: pa.Table, left_out: IntArray, runs: pa.Array | None) -> pa.RecordBatch:
    """The rejects of a file; their details name the product, and the run that put the row on its side."""
    mask = pa.array(left_out > 0)
    others = one_batch(table.select(["id", "domain", "product_id"]).filter(mask))
    decided = [None] * others.num_rows if runs is None else runs.filter(mask).to_pylist()
    told = zip(others["product_id"].to_pylist(), decided, strict=True)
    details = [
        None if product is None else f"product {product}" + ("" if run is None else f"; decided in {run}")
        for product, run in told
    ]
    return rejects_of(others, [REASONS[reason] for reason in left_out[left_out > 0].tolist()], detail=details)


def plan_split(paths: Sequence[Path], options: SplitRows, earlier: Earlier | None = None) -> SplitPlan:
    """The decision about all products of some files; `groups.hubs` says what was left out of account.

    A product has the stratum of most of its rows, and of several that with the smallest name.

    Args:
        paths: Parquet files.
        options: of the stage.
        earlier: an earlier split whose sides stay; None for none.

    Raises:
        UsageError: a column that is needed is missing, or `freeze_val` is not a dataset directory.
        DatasetError: no choice has exactly so many products, or a frozen product cannot stay.
    """
    every = _read(paths, options)
    left_out = pc.is_null(every["product_id"]).to_numpy().astype(np.int64)  # `no_product`
    had, runs = (np.zeros(len(every), np.int64), None) if earlier is None else read_sides(earlier, every["id"])
    crossing = _crossing(every["product_id"], had)
    left_out[crossing] = WAS_TRAIN
    is_used = left_out == 0
    rows = every.filter(pa.array(is_used))
    ids, product = coded_in_order(rows["product_id"])
    side = np.zeros(len(ids), np.int64)
    np.maximum.at(side, product, had[is_used])
    near, search = _near(paths, is_used, rows, product, options)
    shared, complete = _shared(rows, product), _complete(rows, product, len(ids))
    out, groups = settle_products(side, complete, lambda mask: _groups(mask, shared, near, options.max_shared))
    left_out[is_used] = out[product]
    stays = out == 0
    names, strata = np.asarray(ids, np.str_), np.asarray(_strata(rows, product, options.strata), np.str_)
    frozen = _frozen(options.freeze_val) if earlier is None else names[stays & (side == VALIDATION)].tolist()
    validation = np.zeros(len(ids), np.bool_)
    validation[stays] = split_products(
        Products(names[stays].tolist(), strata[stays].tolist(), complete[stays], groups.group[stays]),
        options.n_validation,
        seed=options.seed,
        frozen=frozen,
        barred=names[stays & (side == TRAIN)].tolist(),
    ).validation
    if runs is None or earlier is None:
        return SplitPlan(ids, validation, groups, left_out, search)
    kept = {"train": side == TRAIN, "validation": side == VALIDATION, "new": side == NEW}
    joined = sorted(set(every["product_id"].filter(pa.array(crossing)).to_pylist()))
    notes: dict[str, Any] = {"previous run": earlier.run}
    notes |= {name: int((stays & of_it).sum()) for name, of_it in kept.items()}
    notes |= {"joined across the split": len(joined), "such as": joined[:_N_EXAMPLES]}
    of_products = _run_of_products(runs.filter(pa.array(is_used)), product, len(ids))
    return SplitPlan(ids, validation, groups, left_out, search, of_products, runs, {"products that stay": notes})


def _crossing(product_ids: pa.ChunkedArray, had: IntArray) -> npt.NDArray[np.bool_]:
    """Rows that were in train, of products with a row that was in validation."""
    was_validation = pc.unique(product_ids.filter(pa.array(had == VALIDATION)))
    is_now = pc.is_in(product_ids, was_validation, skip_nulls=True).to_numpy()
    return np.asarray(is_now & (had == TRAIN))


def _run_of_products(runs: pa.Array, product: IntArray, n_products: int) -> pa.Array:
    """The run that decided about each product: of several, the one with the smallest name."""
    table = pa.table({"product": product, "run": runs}).drop_null()
    first = table.group_by("product").aggregate([("run", "min")])
    place = pc.index_in(pa.array(np.arange(n_products)), first["product"])
    return first["run_min"].combine_chunks().take(place)


def _groups(mask: npt.NDArray[np.bool_], shared: Sequence[Shared], near: Near | None, max_shared: int) -> LeakageGroups:
    """The leakage groups of the products of a mask; the others are groups of their own."""
    if not mask.all():
        shared = [
            Shared(one.kind, one.product[mask[one.product]], one.value.filter(pa.array(mask[one.product])))
            for one in shared
        ]
        both = None if near is None else mask[near.left] & mask[near.right]
        near = None if near is None else Near(near.left[both], near.right[both])
    return leakage_groups(len(mask), shared=shared, near=near, max_shared=max_shared)


def _read(paths: Sequence[Path], options: SplitRows) -> pa.Table:
    """The narrow columns that matter."""
    tables = []
    for path in paths:
        there = pq.read_schema(path).names
        needed = ["product_id", *([options.column] if options.near is not None else [])]
        if missing := [name for name in needed if name not in there]:
            raise UsageError(
                f"split: no column {missing[0]!r}; the rows have {', '.join(there)}; add a stage before it"
            )
        tables.append(
            pq.read_table(path, columns=[name for name in dict.fromkeys([*_COLUMNS, *options.strata]) if name in there])
        )
    return pa.concat_tables(tables)


def _strata(rows: pa.Table, product: IntArray, columns: Sequence[str]) -> list[str]:
    names, at = coded_in_order(joined_words(rows, columns, "split"))
    return [names[place] for place in majority(product, at)] if names else []


def _complete(rows: pa.Table, product: IntArray, n_products: int) -> npt.NDArray[np.bool_]:
    """Which products have rows of all three domains."""
    complete = np.ones(n_products, np.bool_)
    for domain in DOMAINS:
        is_one = pc.equal(rows["domain"], domain).to_numpy()
        complete &= np.bincount(product[is_one], minlength=n_products) > 0
    return complete


def _shared(rows: pa.Table, product: IntArray) -> list[Shared]:
    """The sessions and files of each product, of what the rows tell."""
    found = []
    if "session" in rows.column_names:
        is_known = pc.is_valid(rows["session"])
        found.append(Shared("session", product[is_known.to_numpy()], rows["session"].filter(is_known)))
    if "media_sha256" in rows.column_names:
        owners, hashes, start = [np.empty(0, np.int64)], [], 0
        for chunk in rows["media_sha256"].chunks:  # apart, as all hashes may be too long for one array
            owners.append(product[start + pc.list_parent_indices(chunk).to_numpy()])
            hashes.append(pc.list_flatten(chunk))
            start += len(chunk)
        found.append(Shared("media", np.concatenate(owners), pa.chunked_array(hashes, pa.string())))
    return found


def _near(
    paths: Sequence[Path], is_used: npt.NDArray[np.bool_], rows: pa.Table, product: IntArray, options: SplitRows
) -> tuple[Near | None, SearchNote | None]:
    """Pairs of products of which two samples are near; the samples are sorted, as an index depends on their order."""
    if options.near is None:
        return None, None
    order = pc.sort_indices(rows, [(name, "ascending") for name in ("product_id", "domain", "id")]).to_numpy()
    vectors = read_vectors(paths, is_used, "split", options.column)
    rules = SearchRules(options.search, options.min_recall, options.recall_queries, options.seed)
    pairs, note = measured_near_pairs(vectors[order], options.near, rules, limit=_NEIGHBOURS)
    return Near(product[order[pairs.left]], product[order[pairs.right]]), note


def _frozen(folder: Path | None) -> list[str]:
    """The validation products of a dataset directory, ascending."""
    if folder is None:
        return []
    files = sorted(folder.glob("products/validation-*.parquet"))
    if not files:
        raise UsageError(
            f"freeze_val: {folder} has no products/validation-*.parquet; expected a dataset directory, such as the one "
            "that holds the earlier validation set"
        )
    ids = {name for file in files for name in pq.read_table(file, columns=["product_id"])["product_id"].to_pylist()}
    return sorted(ids)


def _fingerprint(options: SplitRows) -> str:
    """Of the frozen products, which the options name but do not hold."""
    return hashlib.sha256("\n".join(_frozen(options.freeze_val)).encode()).hexdigest()


SPLIT: Final = GlobalOperation(
    version=3, options=SplitRows, apply=split_rows, fingerprint=_fingerprint, apply_after=split_after
)
