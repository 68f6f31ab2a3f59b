"""Tables of embeddings, a row a sample: the columns domain, sample_id and embedding, in a file or in memory."""

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

from rope.bench.io.embeddings import DomainEmbeddings, MadeOn, scaled
from rope.domain import DomainName
from rope.errors import FileError

__all__ = ["COLUMNS", "RUN_KEY", "Piece", "Source", "as_float32", "columns_to_read", "either", "gather", "rows_of"]

COLUMNS: Final = ("domain", "sample_id", "embedding")
"""What a table has; beside them `scale`, where the numbers are int8."""

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
    return [*COLUMNS, *(["scale"] if _is_int8(schema) else [])]


def rows_of(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], domains: Sequence[DomainName], where: Source
) -> Iterator[Piece]:
    """The rows of a table, batch by batch and domain by domain, as float32.

    Args:
        schema: of the table, known to `columns_to_read`.
        batches: its rows, with those columns.
        domains: the domains there can be.
        where: what messages call the table.

    Raises:
        FileError: a null, an unknown domain, or rows that differ in length; names the row, counted from 1.
    """
    dim, row, is_int8, made_on = None, 0, _is_int8(schema), _made_on(schema)
    for batch in batches:
        if batch.num_rows == 0:
            continue
        if is_int8:
            stored = "int8"
            vectors = scaled(_int8_rows(batch["embedding"], where, row), _scales(batch["scale"], where, row))
        else:
            vectors = _list_rows(batch["embedding"], dim, where, row)
            dim, stored = vectors.shape[1], str(vectors.dtype)
        names = _domains(batch["domain"], domains, where, row)
        ids = np.array(_strings(batch["sample_id"], "sample_id", where, row), object)
        for domain in domains:
            rows = np.flatnonzero(names == domain)
            if len(rows):
                found = as_float32(ids[rows].tolist(), vectors[rows], stored, where)
                yield Piece(domain, where, replace(found, made_on=made_on))
        row += batch.num_rows


def gather(pieces: Iterable[Piece], domains: Sequence[DomainName]) -> dict[DomainName, DomainEmbeddings]:
    """The rows of each domain that was found, in the order of `domains`.

    Raises:
        FileError: the pieces of a domain differ in dimension.
    """
    found: dict[DomainName, list[Piece]] = defaultdict(list)
    for piece in pieces:
        found[piece.domain].append(piece)
    return {domain: _join(found.pop(domain)) for domain in domains if domain in found}


def _join(pieces: list[Piece]) -> DomainEmbeddings:
    """Put the rows of one domain in one array; a single piece is not copied."""
    first = pieces[0]
    for piece in pieces[1:]:
        if piece.embeddings.vectors.shape[1] != first.embeddings.vectors.shape[1]:
            raise FileError(
                f"{piece.where}: {piece.domain} vectors of dimension {piece.embeddings.vectors.shape[1]}, "
                f"expected {first.embeddings.vectors.shape[1]} as in {first.where}"
            )
    if len(pieces) == 1:
        return first.embeddings
    return DomainEmbeddings(
        [sample_id for piece in pieces for sample_id in piece.embeddings.sample_ids],
        np.concatenate([piece.embeddings.vectors for piece in pieces]),
        ", ".join(sorted({piece.embeddings.stored_dtype for piece in pieces})),
        sum(piece.embeddings.n_duplicates_dropped for piece in pieces),
        frozenset().union(*(piece.embeddings.made_on for piece in pieces)),
    )


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


def _check_columns(schema: pa.Schema, where: Source) -> None:
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise FileError(f"{where}: no column {' or '.join(missing)}; it has {', '.join(schema.names)}")
    for name in COLUMNS:
        if schema.names.count(name) > 1:
            raise FileError(f"{where}: the column {name} is there {schema.names.count(name)} times; keep one")
    kind = schema.field("embedding").type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not _is_int8(schema) and not (is_list and pa.types.is_floating(kind.value_type)):
        raise FileError(
            f"{where}: the column embedding is {kind}, expected lists of float16, 32 or 64, or int8 as a "
            "fixed_size_binary with a column scale (float32) beside it, which the integers of a row are multiplied by"
        )
    kind = schema.field("sample_id").type
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise FileError(f"{where}: the column sample_id is {kind}, expected strings or integers")
    kind = schema.field("domain").type
    if not _is_text(kind):
        raise FileError(f"{where}: the column domain is {kind}, expected strings")


def _is_int8(schema: pa.Schema) -> bool:
    """Whether the vectors are int8, a byte each as Parquet has no such type, with a scale for each row."""
    has_scale = schema.names.count("scale") == 1 and pa.types.is_float32(schema.field("scale").type)
    return has_scale and bool(pa.types.is_fixed_size_binary(schema.field("embedding").type))


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


def _list_rows(column: pa.Array, dim: int | None, where: Source, row: int) -> npt.NDArray[Any]:
    """The lists of one batch as [n, dim] in their stored type; `row` is the index of the first in the file."""
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if column.null_count:
        bad = int(np.flatnonzero(column.is_null())[0])
        raise FileError(f"{where}: row {row + bad + 1}: the embedding is null")
    dim = int(lengths[0]) if dim is None else dim
    ragged = np.flatnonzero(lengths != dim)
    if len(ragged):
        bad = int(ragged[0])
        raise FileError(f"{where}: row {row + bad + 1}: {lengths[bad]} numbers, expected {dim} as in row 1")
    values = column.flatten()
    if values.null_count:
        bad = int(np.flatnonzero(values.is_null())[0]) // dim
        raise FileError(f"{where}: row {row + bad + 1}: the embedding holds a null")
    array: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(len(column), dim)
    return array


def _strings(column: pa.Array, name: str, where: Source, row: int) -> list[str]:
    if column.null_count:
        bad = int(np.flatnonzero(column.is_null())[0])
        raise FileError(f"{where}: row {row + bad + 1}: the {name} is null")
    if pa.types.is_dictionary(column.type):  # Arrow casts dictionaries of some kinds of strings alone
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
