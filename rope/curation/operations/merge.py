"""Give rows of near-duplicate products one product id; see `rope.curation.merge` for how that is decided."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.evidence import DomainPair, MediaPairs, make_items
from rope.curation.merge import Labels, Merge, MergeRules, merge_products
from rope.curation.operation import REJECT_SCHEMA, GlobalOperation, Outcome
from rope.curation.perceptual import SIDE, copy_pairs
from rope.domain import DOMAINS
from rope.errors import UsageError

__all__ = ["MERGE", "MergeRows", "merge_rows", "plan_merge"]

_COLUMNS: Final = ("id", "domain", "product_hint", "session", "media_sha256", "embedding", "thumbnail")
_ANSWERS: Final = {"same": True, "different": False}


@dataclass(frozen=True, slots=True)
class MergeRows:
    """Options.

    Attributes:
        thresholds: `page-page`, `page-video` and so on -> smallest cosine of two embeddings that speak for one product,
            where the rows have any. Media of a pair of domains that is not named are never evidence, equal files and
            copies included.
        copies: whether pages whose pictures are copies of each other speak for one product. Needs `thumbnail`.
        max_products: see `rope.curation.merge.MergeRules`, as for the next two.
        max_neighbours: media that resemble more others say nothing.
        cap: components of more products are left for review.
        vetoes: columns; products whose values are known and differ are not merged.
        labels: Parquet of `rope curate annotate labels`, relative to the current folder; None for none.

    Raises:
        UsageError: a pair of domains is unknown, or a number is out of range.
    """

    thresholds: dict[str, float] = field(default_factory=lambda: {"page-page": 1.0})
    copies: bool = True
    max_products: int = 50
    max_neighbours: int = 50
    cap: int = 200
    vetoes: list[str] = field(default_factory=list)
    labels: str | None = None

    def __post_init__(self) -> None:
        self.rules()

    def rules(self) -> MergeRules:
        """The same as `rope.curation.merge` wants them."""
        pairs = {_domain_pair(name): threshold for name, threshold in self.thresholds.items()}
        return MergeRules(pairs, self.max_products, self.max_neighbours, self.cap, tuple(self.vetoes))


def merge_rows(paths: Sequence[Path], options: MergeRows) -> Iterator[Outcome]:
    """Add `product_id`, the group's, and `merge_queued`, whether its component is too large to merge unseen.

    A row's product is its `product_hint`, or itself where it has none. No row is rejected.

    Raises:
        UsageError: a column that an option needs is missing.
        DatasetError: labels contradict each other.
    """
    merge = plan_merge(paths, options)
    groups = dict(zip(merge.items.product_ids.tolist(), merge.group_ids.tolist(), strict=True))
    queued = dict(zip(merge.items.product_ids.tolist(), merge.queued.tolist(), strict=True))
    for path in paths:
        table = pq.read_table(path)
        owners = _products(table).to_pylist()
        merged = table.append_column("product_id", pa.array([groups[owner] for owner in owners], pa.string()))
        merged = merged.append_column("merge_queued", pa.array([queued[owner] for owner in owners], pa.bool_()))
        batches = merged.combine_chunks().to_batches()
        kept = batches[0] if batches else pa.RecordBatch.from_pylist([], merged.schema)
        yield Outcome(kept, pa.RecordBatch.from_pylist([], REJECT_SCHEMA))


def plan_merge(paths: Sequence[Path], options: MergeRows) -> Merge:
    """The decision about the rows of some files, with all its evidence.

    Raises:
        UsageError: a column that an option needs is missing.
        DatasetError: labels contradict each other.
    """
    rows = _read(paths, options)
    products, ids = _products(rows).to_pylist(), rows["id"].to_pylist()
    media = _media(rows)
    items = make_items(
        products,
        rows["domain"].to_pylist(),
        media,
        session=rows["session"].to_pylist(),
        vectors=_vectors(rows) if "embedding" in rows.column_names else None,
    )
    attributes = {name: dict(zip(products, rows[name].to_pylist(), strict=True)) for name in options.vetoes}
    more = [_copies(rows, media)] if options.copies else []
    labels = _labels(options.labels, dict(zip(ids, products, strict=True)))
    return merge_products(items, options.rules(), attributes=attributes, labels=labels, more=more)


def _read(paths: Sequence[Path], options: MergeRows) -> pa.Table:
    """The columns that matter of all rows; the order of the rows does not."""
    wanted = [*_COLUMNS, *options.vetoes]
    tables = []
    for path in paths:
        there = pq.read_schema(path).names
        tables.append(pq.read_table(path, columns=[name for name in dict.fromkeys(wanted) if name in there]))
    rows = pa.concat_tables(tables)
    needed = ["thumbnail"] * options.copies + options.vetoes
    if missing := [name for name in needed if name not in rows.column_names]:
        raise UsageError(
            f"merge: the rows have no column {missing[0]!r}, which its options need; add a stage before it"
        )
    return rows


def _products(rows: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(rows["product_hint"], rows["id"])


def _media(rows: pa.Table) -> list[str]:
    """One name for the media of each row: equal where all files are; the row's own where no stage has read them."""
    if "media_sha256" not in rows.column_names:
        return [f"row {name}" for name in rows["id"].to_pylist()]
    return [
        hashlib.sha256(" ".join(hashes).encode()).hexdigest() if hashes else f"row {name}"
        for hashes, name in zip(rows["media_sha256"].to_pylist(), rows["id"].to_pylist(), strict=True)
    ]


def _vectors(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]]:
    flat = rows["embedding"].combine_chunks()
    return np.asarray(flat.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(flat), -1)


def _copies(rows: pa.Table, media: Sequence[str]) -> MediaPairs:
    """Pages whose pictures are copies of each other; equal files are compared once."""
    is_page = np.asarray([domain == "page" for domain in rows["domain"].to_pylist()])
    names, first = np.unique(np.asarray(media)[is_page], return_index=True)
    stored = rows["thumbnail"].filter(pa.array(is_page)).take(pa.array(first)).combine_chunks()
    pixels = np.frombuffer(b"".join(stored.to_pylist()), np.uint8).reshape(-1, SIDE, SIDE, 3)
    found = copy_pairs(pixels)
    return MediaPairs("perceptual", names[found.left], names[found.right], found.score)


def _labels(path: str | None, product_of: Mapping[str, str]) -> Labels:
    """What annotators said of pairs of rows, of the products of these rows."""
    if path is None:
        return Labels()
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file; expected the labels that `rope curate annotate labels` writes")
    must: list[tuple[str, str]] = []
    cannot: list[tuple[str, str]] = []
    for row in pq.read_table(path).to_pylist():
        left, bar, right = row["item_id"].partition("|")
        if row["question"] != "same_product" or row["label"] not in _ANSWERS or not bar:
            continue
        if left in product_of and right in product_of and product_of[left] != product_of[right]:
            (must if _ANSWERS[row["label"]] else cannot).append((product_of[left], product_of[right]))
    return Labels(tuple(must), tuple(cannot))


def _domain_pair(name: str) -> DomainPair:
    a, _, b = name.partition("-")
    if a not in DOMAINS or b not in DOMAINS:
        raise UsageError(f"thresholds has {name!r}; expected two of {', '.join(DOMAINS)} with a - between them")
    return a, b


def _fingerprint(options: MergeRows) -> str:
    path = Path(options.labels) if options.labels else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


MERGE: Final = GlobalOperation(version=1, options=MergeRows, apply=merge_rows, fingerprint=_fingerprint)
