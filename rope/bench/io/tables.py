"""Tables of embeddings, one row per sample: the columns domain, sample_id and embedding, in a file or in memory."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrow_arrays import to_numpy
from rope.bench.io.embeddings import DomainEmbeddings, MadeOn, one_vector_each, scaled
from rope.bench.ragged import offsets_of
from rope.domain import DomainName
from rope.errors import FileError

__all__ = [
    "COLUMNS",
    "OPTIONAL",
    "RUN_KEY",
    "Piece",
    "Source",
    "as_float32",
    "columns_to_read",
    "either",
    "gather",
    "joined_rows",
    "rows_of",
]

COLUMNS: Final = ("domain", "sample_id", "embedding")
"""What a table has; next to them `scale`, where the numbers are int8."""

OPTIONAL: Final = ("scale", "query_embedding", "query_scale")
"""What a table may have besides: the scale of int8 numbers, and the vectors that samples have as queries."""

RUN_KEY: Final = "rope_run"
"""The entry of a table's metadata in which `rope-bench run` keeps what decided its vectors, as JSON."""

Source: TypeAlias = Path | str
"""What messages call the table: its file, or words."""

_FLOATS: Final = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of one domain, and the file or table that held them."""

    domain: DomainName
    where: Source
    embeddings: DomainEmbeddings


def columns_to_read(schema: pa.Schema, where: Source) -> list[str]:
    """The columns that hold embeddings.

    Raises:
        FileError: one is missing, there twice, or of another type.
    """
    _check_columns(schema, where)
    return [*COLUMNS, *(name for name in OPTIONAL if name in _names_read(schema))]


def rows_of(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    domains: Sequence[DomainName],
    where: Source,
    *,
    any_number: bool = False,
) -> Iterator[Piece]:
    """The rows of a table, batch by batch and domain by domain, as float32.

    Args:
        schema: of the table, known to `columns_to_read`.
        batches: its rows, with those columns.
        domains: the domains there can be.
        where: what messages call the table.
        any_number: whether samples may have many vectors or none, rather than one each.

    Raises:
        FileError: a null, an unknown domain, or rows that differ in length; names the row, counted from 1.
    """
    row, made_on, has_queries = 0, _made_on(schema), "query_embedding" in schema.names
    gallery, queries = (_Column(schema, name, where, any_number) for name in ("embedding", "query_embedding"))
    for batch in batches:
        if batch.num_rows == 0:
            continue
        names = _domains(batch["domain"], domains, where, row)
        ids = _strings(batch["sample_id"], "sample_id", where, row)
        found = gallery.read(batch, ids, row)
        found = replace(found, made_on=made_on, queries=queries.read(batch, ids, row) if has_queries else None)
        for domain in domains:
            rows = np.flatnonzero(names == domain)
            if len(rows):
                yield Piece(domain, where, found.take(rows))
        row += batch.num_rows


class _Column:
    """One column of vectors, batch by batch."""

    def __init__(self, schema: pa.Schema, name: str, where: Source, any_number: bool) -> None:
        self._name, self._where, self._any_number = name, where, any_number
        self._scale = name.replace("embedding", "scale")
        self._is_int8 = _is_int8(schema, name)
        self._dim: int | None = None

    def read(self, batch: pa.RecordBatch, ids: list[str], row: int) -> DomainEmbeddings:
        """The vectors of a batch whose first row has the index `row`."""
        column, where = batch[self._name], self._where
        lengths, numbers = None, row + np.arange(1, len(column) + 1)
        if self._any_number and pa.types.is_nested(column.type) and (column.null_count or _is_nested(column.type)):
            lengths, column = _runs(column)
            numbers = np.repeat(numbers, lengths)
        if self._is_int8:
            stored = "int8"
            vectors = scaled(_int8_rows(column, where, row), _scales(batch[self._scale], where, row))
        else:
            vectors = _list_rows(column, self._dim, where, numbers)
            self._dim, stored = (vectors.shape[1] if len(vectors) else self._dim), str(vectors.dtype)
        found = as_float32([""] * len(vectors), vectors, stored, where)
        return replace(found, sample_ids=ids, offsets=None if lengths is None else offsets_of(lengths))


def gather(
    pieces: Iterable[Piece], domains: Sequence[DomainName], *, any_number: bool = False
) -> dict[DomainName, DomainEmbeddings]:
    """The rows of each domain that was found, in the order of `domains`; of `any_number` of vectors, or one each.

    Raises:
        FileError: the pieces of a domain differ in dimension, or some alone have their own vectors for queries.
        EmbeddingError: a sample has not one vector, see `rope.bench.io.embeddings.one_vector_each`.
    """
    found: dict[DomainName, list[Piece]] = defaultdict(list)
    for piece in pieces:
        found[piece.domain].append(piece)
    joined = {domain: joined_rows(found.pop(domain)) for domain in domains if domain in found}
    return joined if any_number else one_vector_each(joined)


def joined_rows(pieces: list[Piece]) -> DomainEmbeddings:
    """Put the rows of one domain in one array; a single piece is not copied.

    Raises:
        FileError: they differ in dimension, or some alone have their own vectors for queries.
    """
    first = pieces[0]
    with_queries = [piece for piece in pieces if piece.embeddings.queries is not None]
    if with_queries and len(with_queries) < len(pieces):
        other = next(piece for piece in pieces if piece.embeddings.queries is None)
        raise FileError(
            f"{other.where}: {first.domain} vectors without query_embedding, which {with_queries[0].where} has"
        )
    filled = [piece for piece in pieces if len(piece.embeddings.vectors)] or pieces[:1]
    for piece in filled[1:]:
        if piece.embeddings.vectors.shape[1] != filled[0].embeddings.vectors.shape[1]:
            raise FileError(
                f"{piece.where}: {piece.domain} vectors of dimension {piece.embeddings.vectors.shape[1]}, "
                f"expected {filled[0].embeddings.vectors.shape[1]} as in {filled[0].where}"
            )
    if len(pieces) == 1:
        return first.embeddings
    queries = [
        Piece(piece.domain, piece.where, piece.embeddings.queries) for piece in pieces if piece.embeddings.queries
    ]
    return DomainEmbeddings(
        [sample_id for piece in pieces for sample_id in piece.embeddings.sample_ids],
        np.concatenate([piece.embeddings.vectors for piece in filled]),
        ", ".join(sorted({piece.embeddings.stored_dtype for piece in pieces})),
        sum(piece.embeddings.n_duplicates_dropped for piece in pieces),
        frozenset().union(*(piece.embeddings.made_on for piece in pieces)),
        _joined_offsets(pieces),
        joined_rows(queries) if queries else None,
    )


def _joined_offsets(pieces: Sequence[Piece]) -> npt.NDArray[np.int64] | None:
    if all(piece.embeddings.offsets is None for piece in pieces):
        return None
    lengths = [
        np.ones(len(rows.vectors), np.int64) if rows.offsets is None else np.diff(rows.offsets)
        for rows in (piece.embeddings for piece in pieces)
    ]
    return offsets_of(np.concatenate(lengths))


def either(domains: Sequence[DomainName]) -> str:
    """Domains in a sentence.

    >>> either(["page", "video", "live"]), either(["page"])
    ('page, video or live', 'page')
    """
    *others, last = domains
    return f"{', '.join(others)} or {last}" if others else last


def as_float32(ids: list[str], array: npt.NDArray[Any], stored: str, where: Source) -> DomainEmbeddings:
    """Convert [n, dim] of float16, 32 or 64 to float32; what is beyond its range becomes infinite."""
    if array.dtype.newbyteorder("=") not in _FLOATS:
        raise FileError(f"{where}: numbers of type {stored}, expected float16, float32 or float64")
    with np.errstate(over="ignore"):
        return DomainEmbeddings(ids, np.ascontiguousarray(array, np.float32), stored)


def _made_on(schema: pa.Schema) -> frozenset[MadeOn]:
    """What a run of ours was of; nothing for a table of anybody else."""
    try:
        key = json.loads((schema.metadata or {})[RUN_KEY.encode()])
        return frozenset([MadeOn(key["dataset"], key.get("dataset_files"))])
    except (KeyError, TypeError, ValueError):
        return frozenset()


def _names_read(schema: pa.Schema) -> list[str]:
    """The columns of vectors, each with its scale where the numbers are int8."""
    vectors = [name for name in ("embedding", "query_embedding") if name in schema.names]
    scales = [name.replace("embedding", "scale") for name in vectors if _is_int8(schema, name)]
    return [*vectors, *scales]


def _check_columns(schema: pa.Schema, where: Source) -> None:
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise FileError(f"{where}: no column {' or '.join(missing)}; it has {', '.join(schema.names)}")
    for name in (*COLUMNS, "query_embedding"):
        if schema.names.count(name) > 1:
            raise FileError(f"{where}: the column {name} is there {schema.names.count(name)} times; keep one")
    for name in ("embedding", "query_embedding"):
        if name not in schema.names or _is_int8(schema, name):
            continue
        kind = schema.field(name).type
        inner = kind.value_type if _is_nested(kind) else kind
        if not (_is_list(inner) and pa.types.is_floating(inner.value_type)):
            raise FileError(
                f"{where}: the column {name} is {kind}, expected lists of float16, 32 or 64, lists of such lists for "
                "samples of many vectors, or int8 as a fixed_size_binary with a column scale (float32) next to it, "
                "which the integers of a row are multiplied by"
            )
    kind = schema.field("sample_id").type
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise FileError(f"{where}: the column sample_id is {kind}, expected strings or integers")
    kind = schema.field("domain").type
    if not _is_text(kind):
        raise FileError(f"{where}: the column domain is {kind}, expected strings")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_nested(kind: pa.DataType) -> bool:
    """Whether a row is a list of vectors."""
    return _is_list(kind) and _is_list(kind.value_type)


def _is_int8(schema: pa.Schema, name: str = "embedding") -> bool:
    """Whether the vectors are int8, a byte each as Parquet has no such type, with a scale for each row."""
    scale = name.replace("embedding", "scale")
    has_scale = schema.names.count(scale) == 1 and pa.types.is_float32(schema.field(scale).type)
    return has_scale and name in schema.names and bool(pa.types.is_fixed_size_binary(schema.field(name).type))


def _runs(column: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """How many vectors each row has, none where it is null, and all of them."""
    if not _is_nested(column.type):
        return np.asarray(column.is_valid(), np.int64), column.drop_null()
    lengths = to_numpy(pc.fill_null(pc.list_value_length(column), 0))
    return lengths.astype(np.int64), column.flatten()


def _int8_rows(column: pa.Array, where: Source, row: int) -> npt.NDArray[np.int8]:
    """The bytes of one batch as two's-complement integers [n, dim]."""
    if column.null_count:
        bad = int(np.flatnonzero(column.is_null())[0])
        raise FileError(f"{where}: row {row + bad + 1}: the embedding is null")
    dim = column.type.byte_width
    numbers = np.frombuffer(column.buffers()[1], np.int8, len(column) * dim, column.offset * dim)
    return numbers.reshape(len(column), dim)


def _scales(column: pa.Array, where: Source, row: int) -> npt.NDArray[np.float32]:
    """The scales of one batch; numbers below the normal ones are refused, as some machines take them for 0."""
    scales: npt.NDArray[np.float32] = column.to_numpy(zero_copy_only=False).astype(np.float32)
    wrong = np.flatnonzero(~((scales >= np.finfo(np.float32).tiny) & (scales < np.inf)))
    if len(wrong):
        bad = int(wrong[0])
        raise FileError(f"{where}: row {row + bad + 1}: the scale is {scales[bad]}, expected a positive number")
    return scales


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _list_rows(column: pa.Array, dim: int | None, where: Source, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The lists of one batch as [n, dim] in their stored type; `numbers` are their rows in the file, from 1."""
    if _is_nested(column.type):
        raise FileError(
            f"{where}: samples have many vectors each, which only rope-bench score and run take; "
            "they are never averaged"
        )
    if column.null_count:
        bad = int(np.flatnonzero(column.is_null())[0])
        raise FileError(f"{where}: row {numbers[bad]}: the embedding is null")
    if not len(column):
        return np.zeros((0, dim or 0), np.dtype(column.type.value_type.to_pandas_dtype()))
    lengths = to_numpy(pc.list_value_length(column))
    dim = int(lengths[0]) if dim is None else dim
    ragged = np.flatnonzero(lengths != dim)
    if len(ragged):
        bad = int(ragged[0])
        raise FileError(f"{where}: row {numbers[bad]}: {lengths[bad]} numbers, expected {dim} as in row 1")
    values = column.flatten()
    if values.null_count:
        bad = int(np.flatnonzero(values.is_null())[0]) // dim
        raise FileError(f"{where}: row {numbers[bad]}: the embedding holds a null")
    return to_numpy(values).reshape(len(column), dim)


def _strings(column: pa.Array, name: str, where: Source, row: int) -> list[str]:
    if column.null_count:
        bad = int(np.flatnonzero(column.is_null())[0])
        raise FileError(f"{where}: row {row + bad + 1}: the {name} is null")
    if pa.types.is_dictionary(column.type):  # Arrow casts dictionaries of only some kinds of strings
        column = column.dictionary.cast(pa.string()).take(column.indices)
    strings: list[str] = column.cast(pa.string()).to_pylist()
    return strings


def _domains(column: pa.Array, domains: Sequence[DomainName], where: Source, row: int) -> npt.NDArray[np.object_]:
    names = np.array(_strings(column, "domain", where, row), object)
    unknown = np.flatnonzero(~np.isin(names, domains))
    if len(unknown):
        bad = int(unknown[0])
        raise FileError(f"{where}: row {row + bad + 1}: domain {names[bad]!r}, expected {either(domains)}")
    return names
