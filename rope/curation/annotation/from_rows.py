"""Items to annotate from the rows that a stage of a recipe has kept."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.annotation.items import Item, Question, media_digest, pair_id, readings_of
from rope.curation.annotation.tables import read_table
from rope.curation.embedded_media import in_files
from rope.errors import DatasetError, UsageError
from rope.files import check_file

__all__ = ["name_items", "pair_items", "read_gold", "read_rows", "row_pairs", "with_gold"]

_MAX_FRAMES: Final = 8
"""Shown of one row; more help nobody and load slowly."""

_COLUMNS: Final = (
    "id", "domain", "text", "frames", "video", "category", "product_hint", "product_id", "shown_frames", "media_sha256",
    "weight",
)  # fmt: skip

Row = Mapping[str, Any]


def read_rows(
    paths: Iterable[Path], media: Path, *, score: str | None = None, only: Collection[str] | None = None
) -> Iterator[Row]:
    """Rows of Parquet files that a stage has written, with what annotation needs of them.

    Args:
        paths: the files.
        media: folder for media that are stored inside rows, as labelling tools show files alone.
        only: ids of the rows that are wanted; None for all.
        score: a column of numbers that items are chosen by; it is called `score` in the rows.

    Raises:
        DatasetError: a file cannot be read.
        UsageError: the column does not exist or is not of numbers.
    """
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                there = file.schema_arrow.names
                if score is not None and score not in there:
                    raise UsageError(f"{path}: no column {score!r} to choose items by; it has {', '.join(there)}")
                names = [name for name in (*_COLUMNS, score) if name in there]
                for batch in file.iter_batches(1024, columns=names):
                    if only is not None:
                        batch = batch.filter(pc.is_in(batch["id"], pa.array(list(only), pa.string())))
                    for row in batch.to_pylist():
                        found = in_files(row, media)
                        yield found if score is None else found | {"score": row[score]}
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{path}: cannot be read ({error}); run the recipe again") from error


def name_items(rows: Iterable[Row]) -> Iterator[Item]:
    """One item a row: what product is this?"""
    for row in rows:
        yield _item("product_name", row["id"], {row["domain"]: row})


def pair_items(rows: Iterable[Row], asked: Collection[str] = ()) -> Iterator[Item]:
    """One item for each video and live clip that has a page of the same product hint: is it the same product?

    Of several pages one that was shown before is shown again, else that with the lowest id; so the pair of a clip is
    the same in every export, whatever pages come later.

    Args:
        rows: of any domains.
        asked: ids of items that were exported before.
    """
    shown_before = {left for item_id in asked for left, _ in readings_of(item_id)}
    pages: dict[str, Row] = {}
    clips: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        hint = row.get("product_hint")
        if hint is None:
            continue
        if row["domain"] != "page":
            clips[hint].append(row)
        elif hint not in pages or _order(row, shown_before) < _order(pages[hint], shown_before):
            pages[hint] = row
    for hint in sorted(pages.keys() & clips.keys()):
        for clip in sorted(clips[hint], key=lambda row: (row["domain"], row["id"])):
            shown = {"page": pages[hint], clip["domain"]: clip}
            yield _item("same_product", pair_id(pages[hint]["id"], clip["id"]), shown)


def _order(page: Row, shown_before: Collection[str]) -> tuple[bool, str]:
    return page["id"] not in shown_before, str(page["id"])


def row_pairs(question: Question, rows: Iterable[Row], pairs: Sequence[tuple[str, str]]) -> Iterator[Item]:
    """One item for each of some pairs of ids, in their order: are these two the same product?"""
    wanted = {row_id for pair in pairs for row_id in pair}
    found = {row["id"]: row for row in rows if row["id"] in wanted}
    for left, right in pairs:
        domains = found[left]["domain"], found[right]["domain"]
        heading = f"other {domains[1]}" if domains[0] == domains[1] else domains[1]
        yield _item(question, pair_id(left, right), {domains[0]: found[left], heading: found[right]})


def _item(question: Question, item_id: str, shown: Mapping[str, Row]) -> Item:
    """An item of one or two rows under headings; stratum, weight and score are those of the last."""
    last = list(shown.values())[-1]
    hashes = {path: sha256 for row in shown.values() for path, sha256 in _hashes(row).items()}
    return Item(
        item_id=item_id,
        question=question,
        texts={heading: row["text"] or "" for heading, row in shown.items()},
        media={heading: _media(row) for heading, row in shown.items() if row["frames"]},
        videos={heading: str(row["video"]["path"]) for heading, row in shown.items() if row["video"]},
        digest=media_digest(hashes),
        stratum=f"{last['domain']}/{last.get('category') or ''}",
        weight=float(last.get("weight") or 1.0),
        score=last.get("score"),
    )


def _media(row: Row) -> tuple[str, ...]:
    """Paths of the frames to show: those that show the product, where an earlier stage has said so."""
    files: Sequence[Mapping[str, Any]] = row["frames"]
    places = row.get("shown_frames") or range(len(files))
    return tuple(str(files[place]["path"]) for place in places if place < len(files))[:_MAX_FRAMES]


def _hashes(row: Row) -> dict[str, str]:
    """Path -> SHA-256 of all media of a row; of the paths themselves where no stage has read the files."""
    files = row["frames"] or ([row["video"]] if row["video"] else [])
    known = row.get("media_sha256") or [hashlib.sha256(str(file["path"]).encode()).hexdigest() for file in files]
    return {str(file["path"]): sha256 for file, sha256 in zip(files, known, strict=True)}


def read_gold(path: Path) -> dict[str, str]:
    """Item -> known answer, from a table with the columns `item_id` and `answer`.

    Raises:
        UsageError: the file does not exist, or a column is missing.
    """
    check_file(path, "a CSV with the columns item_id and answer")
    names, rows = read_table(path)
    if not {"item_id", "answer"} <= set(names):
        raise UsageError(f"{path}:1: expected the columns item_id and answer, got {', '.join(names)}")
    return {row["item_id"]: row["answer"] for _, row in rows if row["answer"]}


def with_gold(items: Iterable[Item], gold: Mapping[str, str]) -> list[Item]:
    """The same items; those with a known answer have it.

    Raises:
        UsageError: an answer is none that the question allows, or belongs to no item.
    """
    made = [replace(item, gold=gold[item.item_id]) if item.item_id in gold else item for item in items]
    if unexpected := sorted(gold.keys() - {item.item_id for item in made}):
        raise UsageError(f"known answers for {len(unexpected)} items that are not there, such as {unexpected[0]}")
    return made
