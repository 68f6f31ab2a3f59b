"""Vectors as the leaderboard keeps them: float16 or int8, one Parquet file that is checked before it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from leaderboard.bounded import Bounds, check_parquet
from rope.bench.io.embeddings import DomainEmbeddings, scaled
from rope.bench.io.writer import open_writer
from rope.domain import DomainName, in_order
from rope.errors import RopeError
from rope.files import atomic_path

__all__ = [
    "MAX_BYTES",
    "MAX_DIM",
    "StoredDtype",
    "StoredVectors",
    "as_stored",
    "check_vectors_file",
    "stored_bytes",
    "write_vectors",
]

StoredDtype = Literal["float16", "int8"]
"""How the numbers of a vector are stored: 2 bytes each, or 1 byte and a float32 scale for each vector."""

MAX_BYTES: Final = 512 << 20
"""The largest file of vectors that is read: ROPE's validation split in 2,900 dimensions of float16, 5,800 of int8."""

MAX_DIM: Final = 8192

_LARGEST_INT8: Final = 127
_BYTES_A_ROW: Final = 12
"""At most what Parquet needs beside the numbers and the id: the length of the id, levels and a scale."""

_BYTES_A_FILE: Final = 4096

_ROWS_A_BLOCK: Final = 4096
"""Rows that are rounded in one go, so that no array of float64 grows with the number of samples."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """The vectors of one domain, as they lie in the file.

    Attributes:
        sample_ids: the id of each row.
        numbers: float16 or int8 [n, dim].
        scales: float32 [n], what the integers of each row are multiplied by; None for float16.
        queries: the same samples as queries; None where their vectors are the same.
    """

    sample_ids: list[str]
    numbers: npt.NDArray[np.float16] | npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32] | None
    queries: "StoredVectors | None" = None

    def decoded(self) -> DomainEmbeddings:
        """The vectors that everybody gets from the file, bit for bit.

        float16 is exact in float32. An integer is exact in float32 too, and its product with the scale of its row is
        rounded once, to the nearest float32.
        """
        queries = None if self.queries is None else self.queries.decoded()
        if self.scales is None:
            return DomainEmbeddings(self.sample_ids, self.numbers.astype(np.float32), "float16", queries=queries)
        return DomainEmbeddings(self.sample_ids, scaled(self.numbers, self.scales), "int8", queries=queries)


def as_stored(embeddings: DomainEmbeddings, dtype: StoredDtype) -> StoredVectors:
    """Scale vectors to unit length in float64, and round them to the nearest number of the type.

    int8 gets a scale for each vector: its largest entry, regardless of the sign, divided by 127 and rounded to float32.

    Args:
        embeddings: one vector of each sample in a role; no row of zeros.
        dtype: how to store the numbers.

    >>> rows = DomainEmbeddings(["1"], np.array([[3e30, 4e30]], np.float32), "float32")
    >>> as_stored(rows, "float16").decoded().vectors
    array([[0.60009766, 0.7998047 ]], dtype=float32)
    >>> as_stored(rows, "int8").numbers, as_stored(rows, "int8").scales
    (array([[ 95, 127]], dtype=int8), array([0.00629921], dtype=float32))
    """
    vectors = embeddings.vectors
    numbers = np.empty(vectors.shape, dtype)
    scales = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _ROWS_A_BLOCK):
        block = slice(start, start + _ROWS_A_BLOCK)
        units = vectors[block].astype(np.float64)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        if dtype == "int8":
            scales[block] = np.abs(units).max(axis=1) / _LARGEST_INT8
            units = np.rint(units / scales[block, None])
        numbers[block] = units
    queries = None if embeddings.queries is None else as_stored(embeddings.queries, dtype)
    return StoredVectors(embeddings.sample_ids, numbers, scales if dtype == "int8" else None, queries)


def stored_bytes(embeddings: Mapping[DomainName, DomainEmbeddings], dtype: StoredDtype) -> int:
    """What a file of these vectors takes at most, to within a few bytes a row; nothing is written."""
    n_bytes = _BYTES_A_FILE
    for rows in embeddings.values():
        n_roles = 1 if rows.queries is None else 2
        n_bytes += n_roles * (rows.vectors.size * np.dtype(dtype).itemsize + _BYTES_A_ROW * len(rows.sample_ids))
        n_bytes += sum(len(sample_id.encode()) for sample_id in rows.sample_ids)
    return n_bytes


def write_vectors(path: Path, embeddings: Mapping[DomainName, StoredVectors]) -> None:
    """Write `domain`, `sample_id`, `embedding`, and `scale` where the numbers are int8, domain by domain.

    Where samples have other vectors as queries, `query_embedding` and `query_scale` follow.

    Args:
        path: the file, replaced if it exists.
        embeddings: of every domain, all of one dimension and one type.
    """
    first = next(iter(embeddings.values()))
    dtype: StoredDtype = "float16" if first.scales is None else "int8"
    schema = _schema(first.numbers.shape[1], dtype, has_queries=first.queries is not None)
    with atomic_path(path) as temporary, open_writer(temporary, schema) as writer:
        for domain in in_order(embeddings):
            rows = embeddings[domain]
            columns: dict[str, Any] = {
                "domain": pa.repeat(pa.scalar(domain), len(rows.sample_ids)),
                "sample_id": pa.array(rows.sample_ids, pa.string()),
            }
            for prefix, role in (("", rows), ("query_", rows.queries)):
                if role is not None:
                    columns[f"{prefix}scale"] = None if role.scales is None else pa.array(role.scales)
                    columns[f"{prefix}embedding"] = _column(role.numbers, schema.field("embedding").type)
            writer.write_table(pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema))


def _column(numbers: npt.NDArray[np.float16] | npt.NDArray[np.int8], kind: pa.DataType) -> pa.Array:
    """Numbers [n, dim] as a column: bytes for int8, which Parquet would store as 32 bits each."""
    flat = np.ascontiguousarray(numbers).reshape(-1)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(flat)])


def check_vectors_file(path: Path, n_samples: int) -> None:
    """Refuse a file by its size, format, columns, rows and ids, before any vector is read.

    Args:
        path: what may be anything.
        n_samples: rows expected, one for each sample of the dataset.

    Raises:
        RopeError: it is not a file that `write_vectors` writes of so many samples; see `leaderboard.bounded`.
    """

    def bounds_of(schema: pa.Schema) -> Bounds:
        dim = _check_columns(path, schema)
        is_list = pa.types.is_fixed_size_list(schema.field("embedding").type)
        n_values = {name: dim for name in schema.names if is_list and name.endswith("embedding")}
        return Bounds(MAX_BYTES, n_samples, n_values, {"domain": None, "sample_id": None})

    check_parquet(path, bounds_of, MAX_BYTES)


def _check_columns(path: Path, schema: pa.Schema) -> int:
    """The dimension of the vectors in a file with the columns that `write_vectors` writes."""
    kind = schema.field("embedding").type if schema.names.count("embedding") == 1 else None
    dim = 0 if kind is None else _dim(kind)
    known = [_schema(dim, dtype, has_queries=has) for dtype in get_args(StoredDtype) for has in (False, True) if dim]
    if not 1 <= dim <= MAX_DIM or not any(schema.equals(one) for one in known):
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise RopeError(
            f"{path}: columns {columns[:300]}; expected domain: string, sample_id: string, embedding: "
            f"fixed_size_list of 1 to {MAX_DIM:,} halffloat, or scale: float and embedding: fixed_size_binary, and "
            "the like for queries, as rope-bench submit writes them"
        )
    return dim


def _dim(kind: pa.DataType) -> int:
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 0


def _schema(dim: int, dtype: StoredDtype, *, has_queries: bool = False) -> pa.Schema:
    columns = [("domain", pa.string()), ("sample_id", pa.string())]
    for prefix in ("", "query_") if has_queries else ("",):
        if dtype == "int8":
            columns += [(f"{prefix}scale", pa.float32()), (f"{prefix}embedding", pa.binary(dim))]
        else:
            columns.append((f"{prefix}embedding", pa.list_(pa.float16(), dim)))
    return pa.schema(columns)
