"""The rows of a staged release as tables of the dataset's columns, read in order from wherever a build stopped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.dataset.containers import is_sound, is_video
from rope.dataset.manifest import Media
from rope.dataset.shards import Batch
from rope.domain import DomainName, Frame, Split, may_be_text_alone
from rope.errors import DatasetError
from rope.fetch.names import stored_name_sql
from rope.fetch.tar_shards import read_place
from rope.media.images import read_header
from rope.schema import SAMPLE_SCHEMA, product_schema
from rope.sources.faults import Fault

__all__ = ["Images", "product_batches", "sample_batches"]

IntArray = npt.NDArray[np.int64]

_SAMPLES_A_BATCH: Final = 16_384
_FRAMES_A_BATCH: Final[dict[Media, int]] = {"embed": 256, "reference": 1 << 18}
"""A batch is a row group: with images of 128 KB inside, 32 MB; a sample with more frames is one alone."""

_FRAMES_OF_A_FILE: Final = 64
"""What a video or sound file counts as in a batch: 8 MB, so that a row group has at most four."""

_IS_KNOWN: Final = {"video": is_video, "audio": is_sound}
"""Columns of files -> whether first bytes are those of one."""

_NO_FRAMES: Final = pa.schema([("time", pa.int64()), ("image", pa.string())]).empty_table()
_PRODUCTS_A_BATCH: Final = 8192
_READERS: Final = 16
"""Threads that wait for the disk while others decode headers."""


@dataclass(frozen=True, slots=True)
class Images:
    """Where the images are, and whether they are copied.

    Attributes:
        media: `embed` reads and checks each file; `reference` writes its path without looking.
        root: the folder that image names are relative to, absolute.
        in_shards: whether the folder holds tar shards of `rope fetch` instead of files.
    """

    media: Media
    root: Path
    in_shards: bool = False


class _Rows:
    """The rows of a table in the order in which they were written, taken a number at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        self._cursor = connection.cursor()  # several are read side by side
        self._batches = iter(self._cursor.sql(query).to_arrow_reader(1 << 16))
        self._rest: list[pa.RecordBatch] = []

    def take(self, n_rows: int) -> pa.Table:
        """The next `n_rows` rows, or fewer at the end."""
        taken: list[pa.RecordBatch] = []
        while n_rows > 0:
            batch = self._rest.pop() if self._rest else next(self._batches, None)
            if batch is None:
                break
            if len(batch) > n_rows:
                self._rest.append(batch.slice(n_rows))
                batch = batch.slice(0, n_rows)
            taken.append(batch)
            n_rows -= len(batch)
        return pa.Table.from_batches(taken, taken[0].schema).combine_chunks() if taken else pa.table({})

    def take_within(self, n_rows: int, column: str, limit: int) -> pa.Table:
        """As `take`, but only as many as have a sum of at most `limit` in a column; one at least."""
        rows = self.take(n_rows)
        if not len(rows):
            return rows
        n_within = max(1, int(np.searchsorted(np.cumsum(rows[column].to_numpy()), limit, side="right")))
        self._rest.extend(reversed(rows.slice(n_within).to_batches()))
        return rows.slice(0, n_within)


def sample_batches(
    connection: duckdb.DuckDBPyConnection,
    split: Split,
    domain: DomainName,
    images: Images,
    file: str,
    schema: pa.Schema = SAMPLE_SCHEMA,
) -> Callable[[int], Iterator[Batch]]:
    """Batches of samples from the tables that `rope.sources` has staged.

    Args:
        connection: the staged release; with the table `places` of `load_places` where images are in shards.
        split: the split to read.
        domain: the domain to read.
        images: what to do about images.
        file: the source file that samples without a readable image are reported under, where none is staged.
        schema: the columns; see `rope.schema.sample_schema`.

    Returns:
        A function from the first row to the batches; it may be called once.
    """
    table = f"{split}_{domain}"
    weight = "n_frames"
    for column in (column for column in _IS_KNOWN if column in schema.names):
        weight += f" + CASE WHEN {column} IS NULL THEN 0 ELSE {_FRAMES_OF_A_FILE} END"

    suffices = "text IS NOT NULL" if may_be_text_alone(domain) else "false"

    def read(start: int) -> Iterator[Batch]:
        (skip,) = connection.sql(
            f"SELECT coalesce(sum(n_frames), 0)::BIGINT FROM samples_{table} WHERE rowid < {start}"
        ).fetchall()[0]
        extra = f"{weight} AS weight, {suffices} AS text_suffices"
        samples = _Rows(connection, f"SELECT *, {extra} FROM samples_{table} WHERE rowid >= {start}")
        if images.in_shards:
            _locate(connection, table)
        columns = "* FROM located" if images.in_shards else "time, image FROM frames"
        frames = _Rows(connection, f"SELECT {columns}_{table} WHERE rowid >= {skip}")
        with ThreadPoolExecutor(_READERS) as pool:
            max_frames = _FRAMES_A_BATCH[images.media]
            while len(rows := samples.take_within(min(_SAMPLES_A_BATCH, max_frames), "weight", max_frames)):
                yield _assemble(rows, frames.take(pc.sum(rows["n_frames"]).as_py()), images, file, schema, pool)

    return read


def _locate(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Make a table of frames, in their order, with the place of each in the shards; null where there is none."""
    connection.execute(f"""
        CREATE OR REPLACE TABLE located_{table} AS
        SELECT time, frame.image AS image, shard, "offset", size
        FROM (SELECT *, rowid AS number FROM frames_{table}) AS frame
            LEFT JOIN places ON places.image = {stored_name_sql("frame.image")}
        ORDER BY number""")


def _assemble(
    rows: pa.Table, frames: pa.Table, images: Images, file: str, schema: pa.Schema, pool: ThreadPoolExecutor
) -> Batch:
    """One batch; `frames` are those of the rows, in order, as many each as the column `n_frames` says.

    A row without media stays where `text_suffices` says so.
    """
    faults: list[Fault] = []
    frames = frames if len(frames) else _NO_FRAMES
    owner = np.repeat(np.arange(len(rows)), rows["n_frames"].to_numpy())
    if images.media == "embed":
        contents = list(pool.map(partial(_read_image, images), frames.to_pylist()))
        readable = np.array([content is not None for content in contents], bool)
        faults = _image_faults(rows, frames, owner, readable)
        frames, owner = frames.filter(pa.array(readable)), owner[readable]
        data = pa.array([content for content in contents if content is not None], pa.binary())
        paths = frames["image"].combine_chunks()
    else:
        data = pa.nulls(len(frames), pa.binary())
        paths = pc.binary_join_element_wise(f"{images.root}/", frames["image"].combine_chunks(), "")
    n_left = np.bincount(owner, minlength=len(rows))
    offsets = pa.array(np.concatenate([[0], np.cumsum(n_left)]), pa.int32())
    stored = pa.StructArray.from_arrays([data, paths], names=["bytes", "path"])
    columns = {name: rows[name] for name in rows.column_names if name in schema.names}
    columns["frames"] = pa.ListArray.from_arrays(offsets, stored)
    columns["frame_times"] = pa.ListArray.from_arrays(offsets, frames["time"].combine_chunks())
    is_left, n_bytes = (n_left > 0) | rows["text_suffices"].to_numpy(), _n_bytes(data, paths, rows["text"])
    for column in (column for column in _IS_KNOWN if column in schema.names):
        columns[column], file_faults = _files(rows, column, images, pool)
        n_bytes += _n_bytes(*columns[column].flatten())
        faults += file_faults
    if "video" in schema.names:
        is_left |= columns["video"].is_valid().to_numpy(zero_copy_only=False)
    faults += [
        Fault(row.get("file", file), row["line"], "no_readable_image", row["sample_id"])
        for row in rows.filter(pa.array(~is_left)).to_pylist()
    ]
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    return Batch(table.filter(pa.array(is_left)), len(rows), n_bytes, tuple(faults))


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
        file: Path = images.root / frame["image"]
        return file.read_bytes()
    if frame["shard"] is None:
        raise FileNotFoundError(frame["image"])
    return read_place(images.root, frame["shard"], frame["offset"], frame["size"])


def _image_faults(rows: pa.Table, frames: pa.Table, owner: IntArray, readable: npt.NDArray[np.bool_]) -> list[Fault]:
    names, ids = frames["image"], rows["sample_id"]
    return [
        Fault(names[int(i)].as_py(), 0, "unreadable_image", ids[int(owner[i])].as_py())
        for i in np.flatnonzero(~readable)
    ]


def _files(rows: pa.Table, column: str, images: Images, pool: ThreadPoolExecutor) -> tuple[pa.StructArray, list[Fault]]:
    """A column of files, null where a sample has none that can be read, and the faults of those files."""
    names: list[str | None] = rows[column].to_pylist()
    contents: list[bytes | None] = [None] * len(names)
    paths, lost = [name and f"{images.root}/{name}" for name in names], list[int]()
    if images.media == "embed":
        contents = list(pool.map(lambda name: name and _read_file(images.root / name, column), names))
        paths = [name if content is not None else None for name, content in zip(names, contents, strict=True)]
        lost = [i for i, content in enumerate(contents) if content is None and names[i] is not None]
    is_null = pa.array([path is None for path in paths])
    columns = [pa.array(contents, pa.binary()), pa.array(paths, pa.string())]
    stored = pa.StructArray.from_arrays(columns, names=["bytes", "path"], mask=is_null)
    return stored, [Fault(str(names[i]), 0, f"unreadable_{column}", rows["sample_id"][i].as_py()) for i in lost]


def _read_file(path: Path, column: str) -> bytes | None:
    """The bytes of a video or sound file, or None where it is missing or does not begin like one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if _IS_KNOWN[column](content) else None


def product_batches(
    connection: duckdb.DuckDBPyConnection, split: Split, dropped: Mapping[DomainName, Sequence[str]]
) -> tuple[int, Callable[[int], Iterator[Batch]]]:
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

    def read(start: int) -> Iterator[Batch]:
        counted = ", ".join(f"coalesce(sum(n_{domain}), 0)::BIGINT" for domain in domains)
        skips = connection.sql(f"SELECT {counted} FROM members_{split} WHERE rowid < {start}").fetchall()[0]
        products = _Rows(connection, f"SELECT * FROM members_{split} WHERE rowid >= {start}")
        samples = {
            domain: _Rows(connection, f"SELECT sample_id FROM members_{split}_{domain} WHERE rowid >= {skip}")
            for domain, skip in zip(domains, skips, strict=True)
        }
        while len(rows := products.take(_PRODUCTS_A_BATCH)):
            lists = [_lists(samples[domain], rows[f"n_{domain}"].to_numpy()) for domain in domains]
            table = pa.table([rows["product_id"], rows["category"], *lists], schema=schema)
            yield Batch(table, len(rows), _n_bytes(rows["product_id"], *(ids.flatten() for ids in lists)))

    schema = product_schema(domains)
    (n_products,) = connection.sql(f"SELECT count(*) FROM members_{split}").fetchall()[0]
    return n_products, read


def _lists(samples: _Rows, counts: IntArray) -> Any:  # noqa: ANN401 -- an Arrow array
    """The next `counts[i]` ids as list i."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    taken = samples.take(int(counts.sum()))
    values = taken["sample_id"].combine_chunks() if len(taken) else pa.array([], pa.string())
    return pa.ListArray.from_arrays(offsets, values)
