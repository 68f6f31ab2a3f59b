"""The first stage of every recipe: raw rows of a pool, in whatever form, become rows of one form.

It works on whole columns. A Python object for each row would cost more than all the rest of a cheap recipe.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrays import IntArray
from rope.curation.pipeline.ids import as_strings, raw_ids, trimmed
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.curation.pipeline.pool import VIDEO_SUFFIXES
from rope.domain import DOMAINS

__all__ = ["ADMIT", "ROW_SCHEMA", "IngestOptions", "ingest_rows"]

_FILE: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

ROW_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("text", pa.string()),
        ("frames", pa.list_(_FILE)),
        ("video", _FILE),
        ("category", pa.string()),
        ("product_hint", pa.string()),
        ("session", pa.string()),
    ]
)
"""A row of the pool after ingest; paths are absolute, or addresses.

A page has frames; a video or live clip has frames or a video."""

_WORDS: Final = ("text", "category", "product_hint", "session")
_IS_VIDEO: Final = rf"(?i)[^/]({'|'.join(sorted(suffix.replace('.', '[.]') for suffix in VIDEO_SUFFIXES))})([?#].*)?$"

_LISTS: Final = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Options, which the pool itself gives.

    Attributes:
        root: what paths are relative to.
        columns: ours -> the pool's.
        keep: other columns that go on as they are.
    """

    root: str
    columns: dict[str, str]
    keep: list[str] = field(default_factory=list)


def ingest_rows(batch: pa.RecordBatch, options: IngestOptions) -> Outcome:
    """Bring raw rows into `ROW_SCHEMA`; rejects those without an id, with an unknown domain, or without media.

    The columns to keep come after those of the schema. A row without an id gets one that begins with `?` and is a hash
    of the row, for the accounting.
    """
    given = {ours: batch[theirs] for ours, theirs in options.columns.items()}
    ids, has_id = _ids(batch, options)
    frames, videos = _media(given, options.root)
    nothing = pa.nulls(batch.num_rows, pa.string())
    columns = {
        "id": ids,
        "domain": pc.fill_null(trimmed(given["domain"]), ""),
        "frames": frames.as_lists(batch.num_rows),
        "video": videos.first_of_each(batch.num_rows),
        **{name: trimmed(given[name]) if name in given else nothing for name in _WORDS},
    }
    rows = pa.RecordBatch.from_arrays([columns[name] for name in ROW_SCHEMA.names], schema=ROW_SCHEMA)
    verdicts = _verdicts(rows, has_id)
    for name in options.keep:
        rows = rows.append_column(name, _plain(batch[name]))
    return divide(rows, verdicts)


ADMIT: Final = MapOperation(version=5, options=IngestOptions, apply=ingest_rows)
"""The first stage of every recipe."""


def _plain(column: pa.Array) -> pa.Array:
    """A column without a dictionary, which would differ from batch to batch."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


@dataclass(frozen=True, slots=True)
class _Files:
    """Files of rows, in order: the row of each, and what it is."""

    row: IntArray
    file: pa.StructArray

    def where(self, mask: pa.Array) -> "_Files":
        return _Files(self.row[mask.to_numpy(zero_copy_only=False)], self.file.filter(mask))

    def as_lists(self, n_rows: int) -> pa.ListArray:
        """The files of each row, empty where it has none."""
        ends = np.searchsorted(self.row, np.arange(n_rows + 1))
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), self.file)

    def first_of_each(self, n_rows: int) -> pa.StructArray:
        """The first file of each row, null where it has none."""
        first = np.searchsorted(self.row, np.arange(n_rows))
        has_one = np.append(self.row, -1)[first] == np.arange(n_rows)
        return self.file.take(pa.array(first, mask=~has_one))


# Not from `pa.array`, which would import pandas in every process that plans.
_NO_FILES: Final = _Files(np.zeros(0, np.int64), pa.nulls(0, _FILE))


def _ids(batch: pa.RecordBatch, options: IngestOptions) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """The ids as strings, hashes of the row where there is none, and which rows have one."""
    ids = raw_ids(batch[options.columns["id"]])
    has_id = pc.is_valid(ids).to_numpy(zero_copy_only=False)
    if has_id.all():
        return ids, has_id
    missing = np.flatnonzero(~has_id)
    hashes = [f"?{_row_hash(raw, options)}" for raw in batch.take(pa.array(missing)).to_pylist()]
    return pc.replace_with_mask(ids, pa.array(~has_id), pa.array(hashes, pa.string())), has_id


def _row_hash(raw: Mapping[str, Any], options: IngestOptions) -> str:
    given = {ours: raw[theirs] for ours, theirs in options.columns.items()}
    return hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()[:16]


def _media(given: Mapping[str, pa.Array], root: str) -> tuple[_Files, _Files]:
    """The frames and the video files of all rows; `paths` come after what their own column holds."""
    frames, videos, paths = (
        _files(given[name], root) if name in given else _NO_FILES for name in ("frames", "video", "paths")
    )
    if not len(paths.row):
        return frames, videos
    is_video = pc.fill_null(pc.match_substring_regex(pc.struct_field(paths.file, "path"), _IS_VIDEO), False)
    return _joined(frames, paths.where(pc.invert(is_video))), _joined(videos, paths.where(is_video))


def _files(column: pa.Array, root: str) -> _Files:
    """The files that a column names or holds: one value or a list of them a row, each a path or bytes and a path.

    >>> _files(pa.array(["a.jpg", None, "/b.jpg", "s3://b/c.jpg"]), "/pool").file.field("path").to_pylist()
    ['/pool/a.jpg', '/b.jpg', 's3://b/c.jpg']
    """
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    row = np.arange(len(column))
    if any(is_list(column.type) for is_list in _LISTS):
        row = pc.list_parent_indices(column).to_numpy(zero_copy_only=False).astype(np.int64)
        column = pc.list_flatten(column)
    content, path = _content(column), _path(column)
    has_content = pc.is_valid(content)
    slash = "" if root.endswith("/") else "/"
    is_whole = pc.match_substring_regex(path, "^(/|[A-Za-z][A-Za-z0-9+.-]*://)")
    absolute = pc.if_else(is_whole, path, pc.binary_join_element_wise(root + slash, path, ""))
    absolute = pc.if_else(has_content, None, absolute)
    found = _Files(row, pa.StructArray.from_arrays([content, absolute], fields=list(_FILE)))
    return found.where(pc.or_(has_content, pc.greater(pc.fill_null(pc.binary_length(path), 0), 0)))


def _content(column: pa.Array) -> pa.Array:
    names = [field.name for field in column.type] if pa.types.is_struct(column.type) else []
    if "bytes" not in names:
        return pa.nulls(len(column), pa.binary())
    return pc.cast(pc.struct_field(column, "bytes"), pa.binary())


def _path(column: pa.Array) -> pa.Array:
    if not pa.types.is_struct(column.type):
        return as_strings(column)
    names = [field.name for field in column.type]
    return as_strings(pc.struct_field(column, "path")) if "path" in names else pa.nulls(len(column), pa.string())


def _joined(first: _Files, second: _Files) -> _Files:
    """All files by row, those of the first before those of the second."""
    if not len(second.row):
        return first
    row = np.concatenate([first.row, second.row])
    order = np.argsort(row, kind="stable")
    return _Files(row[order], pa.concat_arrays([first.file, second.file]).take(pa.array(order)))


def _verdicts(rows: pa.RecordBatch, has_id: npt.NDArray[np.bool_]) -> list[Reject | None]:
    """Why a row is not a sample, None where it is one."""
    is_known = pc.is_in(rows["domain"], pa.array(DOMAINS)).to_numpy(zero_copy_only=False)
    has_frames = pc.greater(pc.list_value_length(rows["frames"]), 0)
    is_clip = pc.and_(pc.is_valid(rows["video"]), pc.not_equal(rows["domain"], "page"))
    has_media = pc.or_(has_frames, is_clip).to_numpy(zero_copy_only=False)
    verdicts: list[Reject | None] = [None] * rows.num_rows
    for at in np.flatnonzero(~(has_id & is_known & has_media)).tolist():
        verdicts[at] = _verdict(rows["domain"][at].as_py(), has_id=bool(has_id[at]), is_known=bool(is_known[at]))
    return verdicts


def _verdict(domain: str, *, has_id: bool, is_known: bool) -> Reject:
    if not has_id:
        return Reject("no_id")
    if not is_known:
        return Reject("unknown_domain", detail=f"{domain!r}; expected one of {', '.join(DOMAINS)}")
    return Reject("no_media")
