"""Vectors as the leaderboard keeps them: unit length, float16, one Parquet file that is checked before it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rope.bench.embeddings import DomainEmbeddings
from rope.bench.writer import open_writer
from rope.domain import DomainName, in_order
from rope.errors import RopeError
from rope.files import atomic_path

__all__ = ["MAX_BYTES", "MAX_DIM", "as_float16", "check_parquet_size", "check_vectors_file", "write_float16"]

MAX_BYTES: Final = 256 << 20
"""The largest file of vectors that is read: ROPE's validation split in 1,280 dimensions."""

MAX_DIM: Final = 8192


def as_float16(embeddings: DomainEmbeddings) -> DomainEmbeddings:
    """The vectors scaled to unit length in float64 and rounded to float16, held as float32 [n, dim].

    >>> as_float16(DomainEmbeddings(["1"], np.array([[3e30, 4e30]], np.float32), "float32")).vectors
    array([[0.60009766, 0.7998047 ]], dtype=float32)
    """
    wide = embeddings.vectors.astype(np.float64)
    halves = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)
    return DomainEmbeddings(embeddings.sample_ids, halves.astype(np.float32), "float16")


def write_float16(path: Path, embeddings: Mapping[DomainName, DomainEmbeddings]) -> None:
    """Write `domain`, `sample_id`, `embedding` (float16), domain by domain.

    Args:
        path: the file, replaced if it exists.
        embeddings: of every domain, all of one dimension; what `as_float16` returned, which float16 holds exactly.
    """
    dim = next(iter(embeddings.values())).vectors.shape[1]
    schema = _schema(dim)
    with atomic_path(path) as temporary, open_writer(temporary, schema) as writer:
        for domain in in_order(embeddings):
            rows = embeddings[domain]
            halves = pa.array(rows.vectors.astype(np.float16).reshape(-1))
            lists = pa.FixedSizeListArray.from_arrays(halves, type=schema.field("embedding").type)
            names = pa.repeat(pa.scalar(domain), len(rows.sample_ids))
            writer.write_table(
                pa.Table.from_arrays([names, pa.array(rows.sample_ids, pa.string()), lists], schema=schema)
            )


def check_vectors_file(path: Path, n_samples: int) -> None:
    """Refuse a file by its size, format, columns and number of rows, before any row is read.

    Args:
        path: what may be anything.
        n_samples: rows expected.

    Raises:
        RopeError: it is no plain file, too large now or once decompressed, no Parquet, or of other columns or rows.
    """
    schema, n_rows = check_parquet_size(path)
    kind = schema.field("embedding").type if "embedding" in schema.names else None
    dim = kind.list_size if kind is not None and pa.types.is_fixed_size_list(kind) else 0
    if not 1 <= dim <= MAX_DIM or not schema.equals(_schema(dim)):
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise RopeError(
            f"{path}: columns {columns[:300]}; expected domain: string, sample_id: string, embedding: "
            f"fixed_size_list of 1 to {MAX_DIM:,} halffloat, as rope-bench submit writes them"
        )
    if n_rows != n_samples:
        raise RopeError(f"{path}: {n_rows:,} rows, expected {n_samples:,}, one for each sample of the dataset")


def check_parquet_size(path: Path) -> tuple[pa.Schema, int]:
    """The columns and the number of rows of a file of Parquet that fits in memory; no row is read.

    Raises:
        RopeError: it is no plain file, larger than `MAX_BYTES`, no Parquet, or more than twice as large unpacked.
    """
    if path.is_symlink() or not path.is_file():
        raise RopeError(f"{path}: expected a plain file, and there is none")
    if path.stat().st_size > MAX_BYTES:
        raise RopeError(f"{path}: {path.stat().st_size:,} bytes, expected {MAX_BYTES:,} at most")
    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    except (OSError, pa.ArrowException) as error:
        raise RopeError(f"{path}: not Parquet, and nothing else is read, pickles least of all ({error})") from error
    if unpacked > 2 * MAX_BYTES:
        raise RopeError(f"{path}: {unpacked:,} bytes once decompressed, expected {2 * MAX_BYTES:,} at most")
    return schema, metadata.num_rows


def _schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            ("domain", pa.string()),
            ("sample_id", pa.string()),
            ("embedding", pa.list_(pa.float16(), dim)),
        ]
    )
