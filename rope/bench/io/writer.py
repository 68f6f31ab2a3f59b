"""Embeddings to Parquet: the columns `domain`, `sample_id`, `embedding`, with the same bytes for the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rope.domain import DomainName, in_order
from rope.files import atomic_path

__all__ = ["embedding_schema", "embedding_table", "open_writer", "write_embeddings"]


def write_embeddings(
    path: Path, embeddings: Mapping[DomainName, tuple[Sequence[str], npt.NDArray[np.floating[Any]]]]
) -> None:
    """Write one Parquet file that `rope-bench score` takes.

    Args:
        path: the file, replaced if it exists.
        embeddings: for each domain, n ids and float vectors [n, dim] of one dimension; stored as float32.

    Raises:
        ValueError: there is no domain, an array has another shape, or the dimensions differ.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "embeddings.parquet"
    ...     write_embeddings(path, {"page": (["1", "2"], np.eye(2))})
    ...     pq.read_table(path).to_pylist()[0]
    {'domain': 'page', 'sample_id': '1', 'embedding': [1.0, 0.0]}
    """
    dims = {vectors.shape[1:] for _, vectors in embeddings.values()}
    if len(dims) != 1 or len(next(iter(dims))) != 1:
        raise ValueError(f"need arrays [n, dim] of one dimension, got {sorted(dims)}")
    schema = embedding_schema(next(iter(dims))[0], {})
    with atomic_path(path) as temporary, open_writer(temporary, schema) as writer:
        for domain in in_order(embeddings):
            writer.write_table(embedding_table(domain, *embeddings[domain], schema))


def embedding_schema(dim: int, metadata: Mapping[str, str]) -> pa.Schema:
    """The three columns for vectors of `dim` numbers, with `metadata` kept in the file."""
    columns = [
        ("domain", pa.string()),
        ("sample_id", pa.string()),
        ("embedding", pa.list_(pa.float32(), dim)),
    ]
    return pa.schema(columns, metadata=dict(metadata))


def embedding_table(
    domain: DomainName, sample_ids: Sequence[str], vectors: npt.NDArray[np.floating[Any]], schema: pa.Schema
) -> pa.Table:
    """Rows of one domain; `vectors` [n, dim] are stored as float32.

    Raises:
        ValueError: the number of ids is not n.
    """
    if len(sample_ids) != len(vectors):
        raise ValueError(f"{domain}: got {len(sample_ids)} ids for {len(vectors)} vectors")
    numbers = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(numbers, type=schema.field("embedding").type)
    domains = pa.repeat(pa.scalar(domain), len(sample_ids))
    return pa.Table.from_arrays([domains, pa.array(sample_ids, pa.string()), lists], schema=schema)


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Start a Parquet file whose bytes depend only on the tables written and on the version of Arrow."""
    # Floats of a model hardly compress, and a dictionary of them only costs time.
    compression = {"domain": "zstd", "sample_id": "zstd", "embedding.list.element": "none"}
    return pq.ParquetWriter(path, schema, compression=compression, use_dictionary=["domain"], write_statistics=False)
