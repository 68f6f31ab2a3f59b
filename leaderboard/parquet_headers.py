"""What a Parquet file says of its size: the footer and the headers of its pages, with no page unpacked.

The footer says how large the columns are, and whoever made the file wrote it; what a reader allocates follows from the
headers of the pages, so a bound has to be checked on these. pyarrow does not show them, and ends the process on some
damaged footers. Both are structs of Thrift's compact protocol (https://github.com/apache/parquet-format,
`FileMetaData` and `PageHeader`), of which this reads the few fields that matter.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_FOOTER", "Chunk", "Footer", "Page", "pages_of", "read_footer"]

MAX_FOOTER: Final = 1 << 20
"""The longest footer that is read, in bytes."""

_MAGIC: Final = b"PAR1"
_MAX_HEADER: Final = 64 << 10
_MAX_DEPTH: Final = 8
_CODECS: Final = (0, 1, 6)
"""Uncompressed, Snappy, Zstandard."""

_DESCRIBED_BY: Final = {0: 5, 2: 7, 3: 8}
"""Kind of page (of data, dictionary, of data in version 2) -> the field of its header that describes it."""

_DICTIONARY: Final = 2
_ENCODINGS: Final = (0, 2, 8)
"""PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY: those in which a value is no longer than its page."""

_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column of one row group: its name, number of values, and where its pages lie in the file."""

    name: str
    n_values: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Footer:
    """The number of rows, the program that wrote the file, and rows and columns of each row group."""

    n_rows: int
    created_by: str
    row_groups: tuple[tuple[int, tuple[Chunk, ...]], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What the header of a page says: whether it is a dictionary, number of values, bytes once decompressed."""

    is_dictionary: bool
    n_values: int
    n_bytes: int


def read_footer(path: Path) -> Footer:
    """The sizes that a file states.

    Raises:
        ValueError: it is not Parquet, or not of the kind that pyarrow writes; says why.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(size - 8, 0))
        tail = file.read(8)
        if head != _MAGIC or len(tail) < 8 or tail[4:] != _MAGIC:
            raise ValueError("no Parquet at all")
        (length,) = struct.unpack("<I", tail[:4])
        if length > min(MAX_FOOTER, size - 12):
            raise ValueError(f"a footer of {length:,} bytes, expected {MAX_FOOTER:,} at most")
        file.seek(size - 8 - length)
        fields, _ = _struct(file.read(length), 0, 0)
    groups = tuple(_row_group(group, size) for group in _of(fields, 4, list))
    return Footer(_of(fields, 3, int), _of(fields, 6, bytes).decode("utf-8", "replace"), groups)


def pages_of(path: Path, chunk: Chunk) -> Iterator[Page]:
    """The pages of one chunk, at the places at which Arrow reads them.

    Raises:
        ValueError: a header is not that of a page which Arrow writes.
    """
    at = chunk.start
    with path.open("rb") as file:
        while at < chunk.end:
            file.seek(at)
            header, length = _struct(file.read(min(_MAX_HEADER, chunk.end - at)), 0, 0)
            page, n_stored = _page(header)
            yield page
            at += length + n_stored
    if at != chunk.end:
        raise ValueError("a page that is longer than its column")


def _row_group(group: dict[int, Any], size: int) -> tuple[int, tuple[Chunk, ...]]:
    return _of(group, 3, int), tuple(_chunk(column, size) for column in _of(group, 1, list))


def _chunk(column: dict[int, Any], size: int) -> Chunk:
    stated = _of(column, 3, dict)
    start, length = _of(stated, 9, int), _of(stated, 7, int)
    dictionary = stated.get(11, 0)
    if 0 < dictionary < start:  # as Arrow does it
        start = dictionary
    end = start + length
    if 1 in column or not 4 <= start <= end <= size:
        raise ValueError("a column that lies outside of the file")
    if _of(stated, 4, int) not in _CODECS:
        raise ValueError("a column with another compression than Snappy or Zstandard")
    name = b".".join(_of(stated, 3, list)).decode("utf-8", "replace")
    return Chunk(name, _of(stated, 5, int), start, end)


def _page(header: dict[int, Any]) -> tuple[Page, int]:
    """A page, and the bytes that it takes in the file."""
    kind, n_bytes, n_stored = (_of(header, number, int) for number in (1, 2, 3))
    if kind not in _DESCRIBED_BY:
        raise ValueError("a page that is neither of data nor a dictionary")
    described = _of(header, _DESCRIBED_BY[kind], dict)
    # The header of a page of version 2 counts nulls and rows before the encoding; the others have it second.
    n_values, encoding = _of(described, 1, int), _of(described, 4 if kind == 3 else 2, int)
    if encoding not in _ENCODINGS:
        raise ValueError("a page in an encoding in which few bytes can stand for long values")
    if min(n_bytes, n_stored, n_values) < 0:
        raise ValueError("a page with a size below zero")
    return Page(kind == _DICTIONARY, n_values, n_bytes), n_stored


def _of(fields: Any, number: int, kind: type) -> Any:  # noqa: ANN401 (what Thrift holds)
    """A field that must be there."""
    if not isinstance(fields, dict) or type(fields.get(number)) is not kind:
        raise ValueError("a footer or header that lacks a field")
    return fields[number]


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by number, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while (head := _byte(data, at)) != 0:
        at, step = at + 1, head >> 4
        if step:
            number += step
        else:
            number, at = _signed(data, at)
        if (kind := head & 15) in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """A value of a type, and where it ends."""
    if depth > _MAX_DEPTH:
        raise ValueError("structs nested without end")
    if kind in _INTEGERS:
        return _signed(data, at)
    if kind == _BINARY:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("a text without an end")
        return data[at : at + length], at + length
    if kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):
        return None, at + (8 if kind == _DOUBLE else 1)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind not in _LISTS:
        raise ValueError("a map, which no footer has")
    head, at = _byte(data, at), at + 1
    n, of = head >> 4, head & 15
    if n == 15:
        n, at = _varint(data, at)
    values = []
    for _ in range(n):
        value, at = _value(data, at, of, depth + 1)
        values.append(value)
    return values, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(10):
        byte = _byte(data, at + i)
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, at + i + 1
    raise ValueError("a number without an end")


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("a footer or header without end")
    return data[at]
