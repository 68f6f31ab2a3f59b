"""Embeddings to Parquet: the columns `domain`, `sample_id`, `embedding`, with the same bytes for the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rope.bench.io.embeddings import DomainEmbeddings
from rope.domain import DomainName, in_order
from rope.files import atomic_path

__all__ = ["dim_of", "embedding_schema", "open_writer", "table_of", "write_embeddings"]


def write_embeddings(
    path: Path,
    embeddings: Mapping[DomainName, tuple[Sequence[str], npt.NDArray[np.floating[Any]]] | DomainEmbeddings],
) -> None:
    """Write one Parquet file that `rope-bench score` takes.

    Args:
        path: the file, replaced if it exists.
        embeddings: for each domain, n ids and float vectors [n, dim] of one dimension, or `DomainEmbeddings`, which may
            have many vectors of a sample, none, or others as queries; stored as float32.

    Raises:
        ValueError: there are no domains, an array has another shape, or the dimensions differ.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "embeddings.parquet"
    ...     write_embeddings(path, {"page": (["1", "2"], np.eye(2))})
    ...     pq.read_table(path).to_pylist()[0]
    {'domain': 'page', 'sample_id': '1', 'embedding': [1.0, 0.0]}
    """
    shapes = {(one.vectors if isinstance(one, DomainEmbeddings) else one[1]).shape[1:] for one in embeddings.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"need arrays [n, dim] of one dimension, got {sorted(shapes)}")
    rows = {domain: _as_rows(domain, embeddings[domain]) for domain in in_order(embeddings)}
    roles = [role for one in rows.values() for role in (one, one.queries) if role is not None]
    is_many = any(role.offsets is not None and (np.diff(role.offsets) > 1).any() for role in roles)
    schema = embedding_schema(next(iter(shapes))[0], {}, is_many=is_many, has_queries=len(roles) > len(rows))
    with atomic_path(path) as temporary, open_writer(temporary, schema) as writer:
        for domain, one in rows.items():
            writer.write_table(table_of(domain, one, schema))


def _as_rows(
    domain: DomainName, given: tuple[Sequence[str], npt.NDArray[np.floating[Any]]] | DomainEmbeddings
) -> DomainEmbeddings:
    if isinstance(given, DomainEmbeddings):
        return given
    ids, vectors = given
    if len(ids) != len(vectors):
        raise ValueError(f"{domain}: got {len(ids)} ids for {len(vectors)} vectors")
    return DomainEmbeddings(list(ids), np.ascontiguousarray(vectors, np.float32), "float32")


def embedding_schema(
    dim: int, metadata: Mapping[str, str], *, is_many: bool = False, has_queries: bool = False
) -> pa.Schema:
    """The columns for vectors of `dim` numbers, with `metadata` kept in the file.

    Args:
        dim: numbers of a vector.
        metadata: for the file.
        is_many: whether a sample has a list of vectors, rather than one or null.
        has_queries: whether samples have other vectors as queries, in a fourth column.
    """
    vector = pa.list_(pa.float32(), dim)
    kind = pa.list_(vector) if is_many else vector
    columns = [("domain", pa.string()), ("sample_id", pa.string()), ("embedding", kind)]
    return pa.schema([*columns, *([("query_embedding", kind)] if has_queries else [])], metadata=dict(metadata))


def table_of(domain: DomainName, rows: DomainEmbeddings, schema: pa.Schema) -> pa.Table:
    """Rows of one domain with what `schema` has a place for: one vector a sample or none, or many; queries or not."""
    domains = pa.repeat(pa.scalar(domain), len(rows.sample_ids))
    roles = [rows] if rows.queries is None else [rows, rows.queries]
    kind = schema.field("embedding").type
    columns = [domains, pa.array(rows.sample_ids, pa.string()), *(_column(role, kind) for role in roles)]
    return pa.Table.from_arrays(columns, schema=schema)


def dim_of(schema: pa.Schema) -> int:
    """Numbers of a vector in a file of `embedding_schema`."""
    kind = schema.field("embedding").type
    dim: int = kind.list_size if pa.types.is_fixed_size_list(kind) else kind.value_type.list_size
    return dim


def _column(rows: DomainEmbeddings, kind: pa.DataType) -> pa.Array:
    """The vectors of one role as lists of vectors, or as vectors and nulls."""
    is_many = not pa.types.is_fixed_size_list(kind)
    vectors, lengths = rows.vectors, None if rows.offsets is None else np.diff(rows.offsets)
    if not is_many and lengths is not None:  # values under a null are not read
        vectors = np.zeros((len(lengths), rows.vectors.shape[1]), np.float32)
        vectors[lengths == 1] = rows.vectors
    inner = kind.value_type if is_many else kind
    mask = None if is_many or lengths is None else pa.array(lengths == 0)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=inner, mask=mask)
    if not is_many:
        return lists
    offsets = np.arange(len(vectors) + 1) if rows.offsets is None else rows.offsets
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lists, type=kind)


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Start a Parquet file whose bytes depend only on the tables written and on the version of Arrow."""
    # Floats of a model hardly compress, and a dictionary of them only costs time.
    numbers = [name for name in _leaves(schema) if name.endswith(".element")]
    compression = {"domain": "zstd", "sample_id": "zstd", **dict.fromkeys(numbers, "none")}
    return pq.ParquetWriter(path, schema, compression=compression, use_dictionary=["domain"], write_statistics=False)


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns as Parquet names them."""
    names = []
    for field in schema:
        name, kind = field.name, field.type
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            name, kind = f"{name}.list.element", kind.value_type
        names.append(name)
    return names
