"""Give rows of near-duplicate products one product id; see `rope.curation.dedup.merge` for how that is decided."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import BoolArray, IntArray
from rope.config import Count, Fraction, NumberRange, PositiveFraction, check_record
from rope.curation.codes import coded_in_order
from rope.curation.dedup.evidence import DomainPair, MediaPairs, make_items
from rope.curation.dedup.explain import Explanation, why
from rope.curation.dedup.measured_search import SearchMethod, SearchRules
from rope.curation.dedup.merge import Merge, MergeRules, PairLabels, merge_products
from rope.curation.dedup.near_duplicate_images import SIDE, CopyRules, copy_pairs
from rope.curation.dedup.ties import Ties, make_ties, tied_rows
from rope.curation.pipeline.accounting import kept_files
from rope.curation.pipeline.operation import REJECT_SCHEMA, GlobalOperation, Outcome, load_operation
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.pipeline.runner import finished_stages
from rope.curation.wide import read_vectors, read_wanted
from rope.domain import DOMAINS
from rope.errors import UsageError

__all__ = ["MERGE", "MergeRows", "explain_merge", "merge_inputs", "merge_rows", "plan_merge"]


_COLUMNS: Final = ("id", "domain", "product_hint", "session", "media_sha256", "apart")
_COPIES: Final = CopyRules()
_LARGEST_UNINDEXED: Final = 1_000_000
"""Media up to which `auto` compares all with all: a merge is made once, and what it misses stays in the dataset."""


@dataclass(frozen=True, slots=True)
class MergeRows:
    """Options of the operation `merge`.

    Attributes:
        thresholds: `page-page`, `page-video` and so on -> smallest cosine of two embeddings that speak for one product,
            where the rows have any. Media of a pair of domains that is not named are never evidence, equal files and
            copies included.
        column: the vectors whose cosines these are: of `embed`, or those that a stage `encode` has named so.
        copies: whether pages whose pictures are copies of each other speak for one product. Needs `thumbnail`.
        copy_layout: see `rope.curation.dedup.near_duplicate_images.CopyRules`, as for all that begin with `copy_`.
        copy_candidates: pictures of similar layout to compare each with; at least one more than `max_neighbours`.
        copy_gap: difference of a pixel in a colour above which it differs.
        copy_differing: largest share of the pixels that differ.
        copy_shown: largest share of them among the pixels where either picture shows something.
        copy_patch: largest share of them in any square of a fifth of the side.
        copy_structure: smallest correlation of fine structure, in any such square, where the colours agree.
        copy_overlap: smallest share of one picture that the other covers.
        copy_between: how many times looser these limits are for two copies of a third picture.
        max_products: see `rope.curation.dedup.merge.MergeRules`, as for the next two.
        max_neighbours: media that resemble more others say nothing.
        cap: components of more products are left for review.
        search: of near vectors and of candidates for copies: `exact` compares everything with everything, `ivf` looks
            into an index (`rope-bench[faiss]`), and `auto` does so above a million media of a domain.
        min_recall: smallest share of the pairs of random media that an index has to find.
        recall_queries: random media to compare with all others, where an index is used.
        vetoes: columns; products whose values are known and differ are not merged. The value of a product is known
            where all its rows that have one agree.

    Raises:
        UsageError: a pair of domains is unknown, or a number is out of range.
    """

    thresholds: dict[str, PositiveFraction] = field(default_factory=lambda: {"page-page": 1.0})
    column: str = "embedding"
    copies: bool = True
    copy_layout: PositiveFraction = _COPIES.layout
    copy_candidates: Count = _COPIES.candidates
    copy_gap: PositiveFraction = _COPIES.gap
    copy_differing: Fraction = _COPIES.differing
    copy_shown: Fraction = _COPIES.shown
    copy_patch: Fraction = _COPIES.patch
    copy_structure: Fraction = _COPIES.structure
    copy_overlap: Fraction = _COPIES.overlap
    copy_between: Annotated[float, NumberRange(1)] = _COPIES.between
    max_products: Count = 50
    max_neighbours: Count = 50
    cap: Annotated[int, NumberRange(2)] = 200
    search: SearchMethod = "auto"
    min_recall: PositiveFraction = 0.99
    recall_queries: Count = 1000
    vetoes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_record(self)
        self.rules()
        if self.copies and self.copy_candidates <= self.max_neighbours:
            raise UsageError(
                f"copy_candidates is {self.copy_candidates} and max_neighbours {self.max_neighbours}; expected more "
                "candidates, or a picture with too many copies would never show"
            )

    def rules(self) -> MergeRules:
        """The same as `rope.curation.dedup.merge` wants them."""
        pairs = {_domain_pair(name): threshold for name, threshold in self.thresholds.items()}
        return MergeRules(
            pairs, self.max_products, self.max_neighbours, self.cap, tuple(self.vetoes), self.search_rules()
        )

    def search_rules(self) -> SearchRules:
        """How near vectors and candidates are searched."""
        return SearchRules(self.search, self.min_recall, self.recall_queries, largest=_LARGEST_UNINDEXED)

    def copy_rules(self) -> CopyRules:
        """When two pictures are copies."""
        return CopyRules(
            self.copy_layout,
            self.copy_candidates,
            self.copy_gap,
            self.copy_differing,
            self.copy_shown,
            self.copy_patch,
            self.copy_structure,
            self.copy_overlap,
            self.copy_between,
        )


def merge_rows(paths: Sequence[Path], options: MergeRows) -> Iterator[Outcome]:
    """Add `product_id`, the group's; `merge_queued`, whether its component is too large to merge unseen; and `ties`.

    `ties` is the evidence about the row's product in which this row was looked at, whatever became of it, in
    `rope.curation.dedup.ties.TIES`; null where there is none. A row's product is its `product_hint`, or itself where
    it has none. Products that the column `apart` of the stage `answers` names stay apart. No row is rejected.

    Raises:
        UsageError: a column that an option needs is missing.
    """
    merge = plan_merge(paths, options)
    groups = dict(zip(merge.items.product_ids.tolist(), merge.group_ids.tolist(), strict=True))
    queued = dict(zip(merge.items.product_ids.tolist(), merge.queued.tolist(), strict=True))
    ties = _ties(merge, *merge_inputs(paths, options), options)
    notes = {f"search for near pairs, {name}": note.json() for name, note in merge.evidence.searches.items()}
    start = 0
    for path in paths:
        table = pq.read_table(path)
        owners = _products(table).to_pylist()
        merged = table.append_column("product_id", pa.array([groups[owner] for owner in owners], pa.string()))
        merged = merged.append_column("merge_queued", pa.array([queued[owner] for owner in owners], pa.bool_()))
        merged = merged.append_column("ties", ties.of_rows(start, start + len(table)))
        start += len(table)
        batches = merged.combine_chunks().to_batches()
        kept = batches[0] if batches else pa.RecordBatch.from_pylist([], merged.schema)
        yield Outcome(kept, pa.RecordBatch.from_pylist([], REJECT_SCHEMA), notes)


def plan_merge(paths: Sequence[Path], options: MergeRows) -> Merge:
    """The decision about the rows of some files, with all its evidence.

    Held in memory are the rows of the domains that thresholds name, and one of each other product.

    Raises:
        UsageError: a column that an option needs is missing.
        DatasetError: rows lack an embedding that others have.
    """
    rows = _read(paths, options)
    names, owner = coded_in_order(_products(rows))
    is_telling = pc.is_in(rows["domain"], pa.array(_telling(options), pa.string())).to_numpy()
    used = is_telling | _first_of_others(is_telling, owner)
    chosen = rows.filter(pa.array(used))
    media = _media(chosen, is_telling[used])
    items = make_items(
        _products(chosen).to_pylist(),
        chosen["domain"].to_pylist(),
        media,
        session=chosen["session"].to_pylist(),
        vectors=read_vectors(paths, used, "merge", options.column) if _has_vectors(paths, options) else None,
    )
    attributes = {name: _agreed(rows[name], owner, names) for name in options.vetoes}
    more = [_copies(paths, rows, used, media, options)] if options.copies else []
    return merge_products(items, options.rules(), attributes=attributes, labels=_labels(rows), more=more)


def merge_inputs(paths: Sequence[Path], options: MergeRows) -> tuple[pa.Table, list[str], list[str]]:
    """The rows that a merge looks at, with the product and the name of the media of each, as `plan_merge` has them."""
    rows = _read(paths, options)
    is_telling = pc.is_in(rows["domain"], pa.array(_telling(options), pa.string())).to_numpy()
    return rows, _products(rows).to_pylist(), _media(rows, is_telling)


def _ties(merge: Merge, rows: pa.Table, products: Sequence[str], media: Sequence[str], options: MergeRows) -> Ties:
    names, owner = coded_in_order(pa.array(products, pa.string()))
    attributes = {name: _agreed(rows[name], owner, names) for name in options.vetoes}
    return make_ties(merge, rows, tied_rows(merge, rows, products, media), options.rules().thresholds, attributes)


def explain_merge(recipe: CurationRecipe, one: str, other: str) -> Explanation:
    """Whether the stage merge of a recipe that was run has made two products one, and why.

    Args:
        recipe: all its stages are up to date.
        one: a product, as `rope.curation.dedup.explain.why` takes it: its `product_hint`, or the id of a row without.
        other: another.

    Raises:
        UsageError: the recipe has no such stage, or a product is unknown.
        DatasetError: a stage is not up to date.
    """
    stages = finished_stages(recipe)
    found = [stage for stage in recipe.stages if load_operation(stage.use) is MERGE]
    if not found:
        raise UsageError(f"{recipe.name}: has no stage with the operation merge, so every product stays one of its own")
    names = list(stages)
    before = names[names.index(found[-1].name) - 1]
    return why(plan_merge(kept_files(stages, before), MergeRows(**found[-1].options)), one, other)


def _telling(options: MergeRows) -> list[str]:
    """The domains whose media can be evidence."""
    return sorted({domain for pair in options.rules().thresholds for domain in pair})


def _first_of_others(is_telling: BoolArray, owner: IntArray) -> BoolArray:
    """One row of each product that has no telling one; which of them makes no difference.

    >>> _first_of_others(np.array([True, False, False, False]), np.array([0, 0, 1, 1])).tolist()
    [False, False, True, False]
    """
    found = np.zeros(len(owner), np.bool_)
    others = np.flatnonzero(~is_telling & ~np.isin(owner, owner[is_telling]))
    found[others[np.unique(owner[others], return_index=True)[1]]] = True
    return found


def _agreed(values: pa.ChunkedArray, owner: IntArray, names: Sequence[str]) -> dict[str, Any]:
    """Product -> the value that all its rows with a value have; products whose rows differ are left out."""
    table = pa.table({"owner": owner, "value": values}).drop_null()
    ends = table.group_by("owner").aggregate([("value", "min"), ("value", "max")]).to_pylist()
    return {names[row["owner"]]: row["value_min"] for row in ends if row["value_min"] == row["value_max"]}


def _read(paths: Sequence[Path], options: MergeRows) -> pa.Table:
    """The narrow columns that matter of all rows; the order of the rows does not."""
    wanted = [*_COLUMNS, *options.vetoes]
    tables = []
    for path in paths:
        there = pq.read_schema(path).names
        needed = ["thumbnail"] * options.copies + options.vetoes
        if missing := [name for name in needed if name not in there]:
            raise UsageError(
                f"merge: the rows have no column {missing[0]!r}, which its options need; add a stage before it"
            )
        tables.append(pq.read_table(path, columns=[name for name in dict.fromkeys(wanted) if name in there]))
    return pa.concat_tables(tables)


def _has_vectors(paths: Sequence[Path], options: MergeRows) -> bool:
    """Whether the rows have the vectors; those of the default name are not needed.

    Raises:
        UsageError: another column was named, and is not there.
    """
    there = pq.read_schema(paths[0]).names
    if options.column not in there and options.column != "embedding":
        raise UsageError(f"merge: the rows have no column {options.column!r} of vectors; add a stage encode before it")
    return options.column in there


def _products(rows: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(rows["product_hint"], rows["id"])


def _media(rows: pa.Table, is_telling: BoolArray) -> list[str]:
    """One name for the media of each row: equal where all files are; the row's own where it tells nothing."""
    names = [f"row {name}" for name in rows["id"].to_pylist()]
    if "media_sha256" not in rows.column_names:
        return names
    return [
        hashlib.sha256(" ".join(hashes).encode()).hexdigest() if hashes and tells else name
        for hashes, name, tells in zip(rows["media_sha256"].to_pylist(), names, is_telling.tolist(), strict=True)
    ]


def _copies(
    paths: Sequence[Path], rows: pa.Table, used: BoolArray, media: Sequence[str], options: MergeRows
) -> MediaPairs:
    """Pages whose pictures are copies of each other; equal files are compared once."""
    is_page = pc.equal(rows["domain"], "page").to_numpy() & used
    names, first = np.unique(np.asarray(media)[is_page[used]], return_index=True)
    different = np.zeros(len(used), np.bool_)
    different[np.flatnonzero(is_page)[first]] = True
    order, filled = np.argsort(first), 0  # of the names, as the files have their rows
    pixels = np.empty((len(names), SIDE, SIDE, 3), np.uint8)
    for table in read_wanted(paths, ["thumbnail"], different):
        places = order[filled : filled + len(table)]
        pixels[places] = np.frombuffer(b"".join(table[0].to_pylist()), np.uint8).reshape(-1, SIDE, SIDE, 3)
        filled += len(table)
    found = copy_pairs(pixels, options.copy_rules(), options.search_rules())
    return MediaPairs("perceptual", names[found.left], names[found.right], found.score, found.searches)


def _labels(rows: pa.Table) -> PairLabels:
    """The products that answers keep apart."""
    if "apart" not in rows.column_names:
        return PairLabels()
    told = rows.filter(pc.is_valid(rows["apart"]))
    pairs = zip(_products(told).to_pylist(), told["apart"].to_pylist(), strict=True)
    found = {(min(one, other), max(one, other)) for one, others in pairs for other in others}
    return PairLabels(cannot=tuple(sorted(found)))


def _domain_pair(name: str) -> DomainPair:
    a, _, b = name.partition("-")
    if a not in DOMAINS or b not in DOMAINS:
        raise UsageError(f"thresholds has {name!r}; expected two of {', '.join(DOMAINS)} with a - between them")
    return a, b


MERGE: Final = GlobalOperation(version=7, options=MergeRows, apply=merge_rows)
