"""Tables of events: text with a separator, or Parquet, to users, items and times that compare as they should."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rope.arrays import IntArray
from rope.bench.recommend.columns import Columns, find_columns, names_a_column
from rope.bench.recommend.interactions import Interactions, from_events
from rope.errors import FileError
from rope.files import reading_file

__all__ = ["COMPRESSED", "SEPARATORS", "read_parquet", "read_text", "text_ending"]

SEPARATORS: Final = {
    ".csv": (",", ";", "\t"),
    ".tsv": ("\t",),
    ".inter": ("\t", ","),
    ".dat": ("::", "\t", ","),
    ".data": ("\t", "::", ","),
    ".txt": ("\t", "::", ",", ";"),
}
"""What may separate the fields by the ending of the file's name; the first that line 1 has does."""

COMPRESSED: Final = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard"}


_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_LARGEST: Final = 2**63 - 1
_LAST_EXACT: Final = 2**53
"""Above it, numbers that were written as floats have lost their last digits."""

_SINCE_1973: Final = 10**8
"""Seconds since 1970: larger numbers are times, and no ratings."""

Row = tuple[int, list[str]]
"""The number of a line, from 1, and its fields."""


def read_text(path: Path, wanted: Columns | None) -> Interactions:
    """Read lines of fields: CSV, TSV, MovieLens's `.dat` and `u.data`, RecBole's `.inter`, compressed or not.

    A first line with a usual name of a column is a heading, and tells which column is what. Without one the fields are
    user, item, rating, time, or those whose numbers `wanted` has.

    Raises:
        FileError: the columns are not clear, a line has fewer or more fields than the first, an empty id, or a time
            that is not a number; or there are no lines.
    """
    users: list[str] = []
    items: list[str] = []
    times: list[int | Decimal] = []
    packed = f", compressed with {COMPRESSED[path.suffix]}" if path.suffix in COMPRESSED else ""
    with reading_file(path, f"lines of fields{packed}"), _open(path) as file:
        rows = _rows(file, text_ending(path))
        number, first = next(rows, (0, []))
        if not first:
            raise FileError(f"{path}: no interactions; the file is empty")
        columns, places, is_heading = _columns_of(first, wanted, f"{path}:{number}")
        for row in rows if is_heading else chain([(number, first)], rows):
            user, item, time = _event(row, places, len(first), path)
            users.append(user)
            items.append(item)
            times.append(time)
    if not users:
        raise FileError(f"{path}: no interactions, only a heading")
    return from_events(users, items, _comparable(times), columns)


def read_parquet(path: Path, wanted: Columns | None) -> Interactions:
    """Read columns of users and items (strings or integers) and of times (numbers, dates or timestamps).

    Raises:
        FileError: the columns are not clear, are of another type, or hold a null; or there are no rows.
    """
    with reading_file(path, "Parquet"), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns, places = find_columns(names, wanted, str(path))
        table = file.read(columns=[names[place] for place in places])
        user, item, time = (table[names[place]] for place in places)
        if table.num_rows == 0:
            raise FileError(f"{path}: no interactions")
        for name, column in zip(columns, (user, item, time), strict=True):
            if column.null_count:
                raise FileError(f"{path}: the column {name} has {column.null_count} nulls; leave those rows out")
        users, items = (
            _ids(user, f"{path}: the column {columns.user}"),
            _ids(item, f"{path}: the column {columns.item}"),
        )
        return from_events(users, items, _times(time, f"{path}: the column {columns.time}"), columns)


# Text


def text_ending(path: Path) -> str:
    """The ending of a name that tells the format: the one before `.gz` and the like.

    >>> text_ending(Path("ml-1m/ratings.dat")), text_ending(Path("a.inter.zst"))
    ('.dat', '.inter')
    """
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    with pa.input_stream(str(path), compression="detect" if path.suffix in COMPRESSED else None) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


def _rows(file: TextIO, suffix: str) -> Iterator[Row]:
    """Every line that is not blank; only CSV has quotes."""
    first = file.readline()
    lines = chain([first], file)
    separator = next((one for one in SEPARATORS[suffix] if one in first), SEPARATORS[suffix][0])
    if separator == "::":
        yield from ((i, line.rstrip("\r\n").split("::")) for i, line in enumerate(lines, start=1) if line.strip())
        return
    if suffix == ".csv":
        reader = csv.reader(lines, delimiter=separator, strict=True)
    else:
        reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    yield from ((reader.line_num, row) for row in reader if row)


def _columns_of(first: list[str], wanted: Columns | None, where: str) -> tuple[Columns, tuple[int, int, int], bool]:
    """The columns, their places, and whether the first line is a heading.

    >>> _columns_of(["1", "1193", "5", "978300760"], None, "ratings.dat:1")
    (Columns(user='1', item='2', time='4'), (0, 1, 3), False)
    """
    if wanted is not None and all(word.isdecimal() for word in wanted):
        user, item, time = (int(word) - 1 for word in wanted)
        if not all(0 <= place < len(first) for place in (user, item, time)):
            raise FileError(f"{where}: --columns {','.join(wanted)}, but the line has fields 1 to {len(first)}")
        return wanted, (user, item, time), False
    if wanted is not None or any(map(names_a_column, first)):
        return *find_columns(first, wanted, where), True
    if len(first) != 4 or _number(first[3]) is None or _is_time(first[2]) > _is_time(first[3]):
        raise FileError(
            f"{where}: neither a heading with usual names nor user, item, rating, time: {', '.join(first)[:80]!r}; "
            "name them with --columns USER,ITEM,TIME, or give their numbers (1,2,3) if the file has no heading"
        )
    return Columns("1", "2", "4"), (0, 1, 3), False


def _is_time(text: str) -> bool:
    number = _number(text)
    return number is not None and number >= _SINCE_1973


def _event(row: Row, places: tuple[int, int, int], n_fields: int, path: Path) -> tuple[str, str, int | Decimal]:
    """User, item and time of one line."""
    number, fields = row
    if len(fields) != n_fields:
        raise FileError(f"{path}:{number}: fields: {len(fields)}, expected {n_fields} as in the first line")
    user, item, text = (fields[place].strip() for place in places)
    if not user or not item:
        raise FileError(f"{path}:{number}: the {'item' if user else 'user'} is empty")
    time = _number(text)
    if time is None:
        raise FileError(f"{path}:{number}: time {text[:40]!r}, expected a number, such as seconds since 1970")
    largest, reason = (
        (_LARGEST, "beyond 2^63 - 1")
        if isinstance(time, int)
        else (_LAST_EXACT, "as a float it has lost its last digits")
    )
    if not -largest <= time <= largest:
        raise FileError(f"{path}:{number}: time {text[:40]}: {reason}; write whole numbers of a unit that fits")
    return user, item, time


def _number(text: str) -> int | Decimal | None:
    """A number as it is written, without rounding.

    >>> _number("1700000000123456789"), _number("978300760.50"), _number("nan")
    (1700000000123456789, Decimal('978300760.50'), None)
    """
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def _comparable(times: Sequence[int | Decimal]) -> IntArray:
    """Whole numbers in the same order, and equal where the times are: int64 [n].

    >>> _comparable([3, Decimal("2.50"), Decimal("2.5")])
    array([1, 0, 0])
    """
    if all(type(time) is int for time in times):
        return np.array(times, np.int64)
    rank_of = {time: rank for rank, time in enumerate(sorted({*times}, key=Decimal))}
    return np.array([rank_of[time] for time in times], np.int64)


# Parquet


def _ids(column: pa.ChunkedArray, what: str) -> list[str]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or any(is_text(kind) for is_text in _TEXTS)):
        raise FileError(f"{what} is {kind}, expected strings or integers")
    ids: list[str] = column.cast(kind).cast(pa.string()).to_pylist()
    return ids


def _times(column: pa.ChunkedArray, what: str) -> npt.NDArray[Any]:
    """Times as they are stored, float or int64 [n]; they are compared and nothing else."""
    kind = column.type
    if pa.types.is_floating(kind):
        times: npt.NDArray[Any] = column.to_numpy()
        if not np.isfinite(times).all():
            raise FileError(f"{what} holds NaN or infinity")
        if (np.abs(times) > 2.0 ** (np.finfo(times.dtype).nmant + 1)).any():
            raise FileError(f"{what} is {kind}, in which its times have lost their last digits; store integers")
        return times
    if pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    elif not (pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date64(kind)):
        raise FileError(f"{what} is {kind}, expected numbers, dates or timestamps")
    try:
        whole: IntArray = column.cast(pa.int64()).to_numpy()
        return whole
    except pa.ArrowInvalid:
        raise FileError(f"{what} holds a time beyond 2^63 - 1; store a unit that fits") from None
