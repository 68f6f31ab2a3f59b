"""The rows of a staged release as tables of the dataset's columns, read in order from wherever a build stopped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.dataset.reading import ROWS_A_READ, DomainReader, Images, IntArray, Rows, Stretch
from rope.dataset.shards import RowBatch
from rope.domain import DomainName, Frame, Split, may_be_text_alone
from rope.errors import DatasetError
from rope.fetch.names import stored_name_sql
from rope.fetch.tar_shards import read_place
from rope.files import on_disk
from rope.media.containers import is_sound, is_video
from rope.media.images import read_header
from rope.schema import SAMPLE_SCHEMA, product_schema
from rope.sources.faults import ReleaseFault

__all__ = ["GROUP_BYTES", "Images", "product_batches", "sample_batches"]

GROUP_BYTES: Final = 16 << 20
"""A row group ends before the row that would bring it over this; see benchmarks/RESULTS.md for the choice."""

_GROUP_ROWS: Final = 16_384

_IS_KNOWN: Final = {"video": is_video, "audio": is_sound}
"""Columns of files -> whether first bytes are those of one."""

_PRODUCTS_A_BATCH: Final = 8192
_READERS: Final = 16
"""Threads that wait for the disk while others decode headers."""


def sample_batches(
    connection: duckdb.DuckDBPyConnection,
    split: Split,
    domain: DomainName,
    images: Images,
    file: str,
    schema: pa.Schema = SAMPLE_SCHEMA,
    group_bytes: int = GROUP_BYTES,
) -> Callable[[int], Iterator[RowBatch]]:
    """Batches of samples from the tables that `rope.sources` has staged, each a row group.

    A row group takes rows up to a number of bytes: those of texts and media, as they are on disk. A row that is larger
    is one alone.

    Args:
        connection: the staged release; with the table `places` of `load_places` where images are in shards.
        split: the split to read.
        domain: the domain to read.
        images: what to do about images.
        file: the source file that samples without a readable image are reported under, where none is staged.
        schema: the columns; see `rope.schema.sample_schema`.
        group_bytes: the most that the rows of a batch have together, except for a row that has more alone.

    Returns:
        A function from the first row to the batches; it may be called once.
    """
    table = f"{split}_{domain}"
    suffices = "text IS NOT NULL" if may_be_text_alone(domain) else "false"

    def read(start: int) -> Iterator[RowBatch]:
        (skip,) = connection.sql(
            f"SELECT coalesce(sum(n_frames), 0)::BIGINT FROM samples_{table} WHERE rowid < {start}"
        ).fetchall()[0]
        query = f"SELECT *, {suffices} AS text_suffices FROM samples_{table} WHERE rowid >= {start}"
        samples = Rows(connection, query, ROWS_A_READ)  # texts may be long
        if images.in_shards:
            _locate(connection, table)
        columns = "* FROM located" if images.in_shards else "time, image FROM frames"
        # Not by rowid, which has gaps where rows were deleted.
        frames = Rows(connection, f"SELECT {columns}_{table} OFFSET {skip}")
        with ThreadPoolExecutor(_READERS) as pool:
            yield from _row_groups(DomainReader(samples, frames, images, file, schema, pool), group_bytes)

    return read


def _row_groups(reader: DomainReader, group_bytes: int) -> Iterator[RowBatch]:
    """All rows, a row group at a time."""
    group: list[RowBatch] = []
    n_rows = n_bytes = 0
    while (taken := reader.take(_GROUP_ROWS - n_rows, group_bytes - n_bytes, 0 if group else 1)) is not None:
        if len(taken.rows):
            group.append(_assemble(reader, taken))
            n_rows += len(taken.rows)
            n_bytes += int(taken.row_bytes.sum())
        if not len(taken.rows) or n_rows == _GROUP_ROWS:
            yield _joined(group)
            group, n_rows, n_bytes = [], 0, 0
    if group:
        yield _joined(group)


def _joined(batches: Sequence[RowBatch]) -> RowBatch:
    return RowBatch(
        pa.concat_tables([batch.table for batch in batches]),
        sum(batch.n_source_rows for batch in batches),
        sum(batch.payload_bytes for batch in batches),
        tuple(fault for batch in batches for fault in batch.faults),
    )


def _locate(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Make a table of frames, in their order, with the place of each in the shards; null where there is none."""
    connection.execute(f"""
        CREATE OR REPLACE TABLE located_{table} AS
        SELECT time, frame.image AS image, shard, "offset", size
        FROM (SELECT *, rowid AS number FROM frames_{table}) AS frame
            LEFT JOIN places ON places.image = {stored_name_sql("frame.image")}
        ORDER BY number""")


def _assemble(reader: DomainReader, stretch: Stretch) -> RowBatch:
    """The rows as they are written, with the bytes of their media.

    A row without media stays where `text_suffices` says so.
    """
    rows, images, schema = stretch.rows, reader.images, reader.schema
    frames, owner, data, faults = _frames(reader, stretch)
    if images.media == "embed":
        names = frames["image"].combine_chunks()
        paths = names if images.shown_as is None else pa.array(images.shown(names.to_pylist()), pa.string())
    else:
        paths = pc.binary_join_element_wise(f"{images.root}/", frames["image"].combine_chunks(), "")
    n_left = np.bincount(owner, minlength=len(rows))
    offsets = pa.array(np.concatenate([[0], np.cumsum(n_left)]), pa.int32())
    stored = pa.StructArray.from_arrays([data, paths], names=["bytes", "path"])
    columns = {name: rows[name] for name in rows.column_names if name in schema.names}
    columns["frames"] = pa.ListArray.from_arrays(offsets, stored)
    columns["frame_times"] = pa.ListArray.from_arrays(offsets, frames["time"].combine_chunks())
    is_left, n_bytes = (n_left > 0) | rows["text_suffices"].to_numpy(), _n_bytes(data, paths, rows["text"])
    for column in reader.file_columns:
        columns[column], file_faults = _files(reader, rows, column)
        n_bytes += _n_bytes(*columns[column].flatten())
        faults += file_faults
    if "video" in schema.names:
        is_left |= columns["video"].is_valid().to_numpy(zero_copy_only=False)
    faults += _faults_of(rows.filter(pa.array(~is_left)), "no_readable_image", reader.file)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    table = table if is_left.all() else table.filter(pa.array(is_left))
    return RowBatch(table, len(rows), n_bytes, tuple(faults))


def _frames(reader: DomainReader, stretch: Stretch) -> tuple[pa.Table, IntArray, pa.Array, list[ReleaseFault]]:
    """The frames that are kept, the row of each, its bytes or null, and what was wrong with the others."""
    rows, frames, owner, images = stretch.rows, stretch.frames, stretch.owner, reader.images
    if images.media == "reference":
        return frames, owner, pa.nulls(len(frames), pa.binary()), []
    is_large = stretch.is_too_large
    faults = _faults_of(rows.filter(pa.array(is_large)), "too_large", reader.file)
    if faults:
        frames, owner = frames.filter(pa.array(~is_large[owner])), owner[~is_large[owner]]
    contents = list(reader.pool.map(partial(_read_image, images), frames.to_pylist()))
    readable = np.array([content is not None for content in contents], bool)
    faults += _image_faults(images, rows, frames, owner, readable)
    data = pa.array([content for content in contents if content is not None], pa.binary())
    return frames.filter(pa.array(readable)), owner[readable], data, faults


def _faults_of(rows: pa.Table, kind: str, file: str) -> list[ReleaseFault]:
    """A fault for each row, under the file and line that it stands in."""
    return [ReleaseFault(row.get("file", file), row["line"], kind, row["sample_id"]) for row in rows.to_pylist()]


def _n_bytes(*columns: Any) -> int:  # noqa: ANN401 -- Arrow arrays
    """Bytes of all values; unlike `nbytes`, the same however the rows came to lie in memory."""
    return sum(pc.sum(pc.binary_length(column)).as_py() or 0 for column in columns)


def _read_image(images: Images, frame: dict[str, Any]) -> bytes | None:
    """The bytes of an image, or None where it is missing or its header cannot be read."""
    try:
        content = _stored_bytes(images, frame)
        read_header(Frame(content))
    except (OSError, ValueError, DatasetError):  # ValueError: of a name that no file can have
        return None
    return content


def _stored_bytes(images: Images, frame: dict[str, Any]) -> bytes:
    """The bytes of an image, from its file or from its place in a shard.

    Raises:
        OSError: it is not there.
    """
    if not images.in_shards:
        return on_disk(images.root, frame["image"]).read_bytes()
    if frame["shard"] is None:
        raise FileNotFoundError(frame["image"])
    return read_place(images.root, frame["shard"], frame["offset"], frame["size"])


def _image_faults(
    images: Images, rows: pa.Table, frames: pa.Table, owner: IntArray, readable: npt.NDArray[np.bool_]
) -> list[ReleaseFault]:
    broken, ids = np.flatnonzero(~readable).tolist(), rows["sample_id"]
    names = images.shown([frames["image"][i].as_py() for i in broken])
    return [
        ReleaseFault(str(name), 0, "unreadable_image", ids[int(owner[i])].as_py())
        for name, i in zip(names, broken, strict=True)
    ]


def _files(reader: DomainReader, rows: pa.Table, column: str) -> tuple[pa.StructArray, list[ReleaseFault]]:
    """A column of files, null where a sample has none that can be read, and the faults of those files."""
    names: list[str | None] = rows[column].to_pylist()
    contents: list[bytes | None] = [None] * len(names)
    images, kinds = reader.images, dict[int, str]()
    if images.media == "embed":
        kinds = {i: "too_large" for i, name in enumerate(names) if name and reader.is_too_large(name)}
        held = [None if i in kinds else name for i, name in enumerate(names)]
        contents = list(reader.pool.map(lambda name: name and _read_file(images.root, name, column), held))
        kinds |= {i: f"unreadable_{column}" for i, name in enumerate(held) if name and contents[i] is None}
    is_null = pa.array([name is None or i in kinds for i, name in enumerate(names)])
    shown = images.shown(names)
    paths = shown if images.media == "embed" else [name and f"{images.root}/{name}" for name in names]
    columns = [pa.array(contents, pa.binary()), pa.array(paths, pa.string())]
    stored = pa.StructArray.from_arrays(columns, names=["bytes", "path"], mask=is_null)
    return stored, [ReleaseFault(str(shown[i]), 0, kinds[i], rows["sample_id"][i].as_py()) for i in sorted(kinds)]


def _read_file(root: Path, name: str, column: str) -> bytes | None:
    """The bytes of a video or sound file, or None where it is missing or does not begin like one."""
    try:
        content = on_disk(root, name).read_bytes()
    except (OSError, ValueError):  # ValueError: of a name that no file can have
        return None
    return content if _IS_KNOWN[column](content) else None


def product_batches(
    connection: duckdb.DuckDBPyConnection, split: Split, dropped: Mapping[DomainName, Sequence[str]]
) -> tuple[int, Callable[[int], Iterator[RowBatch]]]:
    """Batches of `rope.schema.product_schema`: the products that have a sample left, and their samples.

    Args:
        connection: the staged release.
        split: the split to read.
        dropped: domain -> samples that were left out after staging; the domains are those of the columns, in order.

    Returns:
        The number of products, and a function from the first row to the batches.
    """
    domains = tuple(dropped)
    for domain in domains:
        lost = pa.table({"sample_id": pa.array(dropped[domain], pa.string())})
        connection.register("lost", lost)
        connection.execute(f"""
            CREATE OR REPLACE TABLE members_{split}_{domain} AS
            SELECT product_id, category, sample_id FROM samples_{split}_{domain} ANTI JOIN lost USING (sample_id)
            ORDER BY length(product_id), product_id, length(sample_id), sample_id""")
        connection.unregister("lost")
    everything = " UNION ALL ".join(
        f"SELECT *, '{domain}' AS domain FROM members_{split}_{domain}" for domain in domains
    )
    counts = ", ".join(f"count(*) FILTER (domain = '{domain}') AS n_{domain}" for domain in domains)
    connection.execute(f"""
        CREATE OR REPLACE TABLE members_{split} AS
        SELECT product_id, any_value(category) AS category, {counts} FROM ({everything})
        GROUP BY product_id ORDER BY length(product_id), product_id""")

    def read(start: int) -> Iterator[RowBatch]:
        counted = ", ".join(f"coalesce(sum(n_{domain}), 0)::BIGINT" for domain in domains)
        skips = connection.sql(f"SELECT {counted} FROM members_{split} WHERE rowid < {start}").fetchall()[0]
        products = Rows(connection, f"SELECT * FROM members_{split} WHERE rowid >= {start}")
        samples = {
            domain: Rows(connection, f"SELECT sample_id FROM members_{split}_{domain} WHERE rowid >= {skip}")
            for domain, skip in zip(domains, skips, strict=True)
        }
        while len(rows := products.take(_PRODUCTS_A_BATCH)):
            lists = [_lists(samples[domain], rows[f"n_{domain}"].to_numpy()) for domain in domains]
            table = pa.table([rows["product_id"], rows["category"], *lists], schema=schema)
            yield RowBatch(table, len(rows), _n_bytes(rows["product_id"], *(ids.flatten() for ids in lists)))

    schema = product_schema(domains)
    (n_products,) = connection.sql(f"SELECT count(*) FROM members_{split}").fetchall()[0]
    return n_products, read


def _lists(samples: Rows, counts: IntArray) -> Any:  # noqa: ANN401 -- an Arrow array
    """The next `counts[i]` ids as list i."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    taken = samples.take(int(counts.sum()))
    values = taken["sample_id"].combine_chunks() if len(taken) else pa.array([], pa.string())
    return pa.ListArray.from_arrays(offsets, values)
