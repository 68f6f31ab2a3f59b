"""Reading submitted Parquet files: their size is bounded before anything is read, whatever the file claims.

A few kilobytes of Parquet can stand for more than fits in memory: a dictionary of one long text and a run of a million
references to it, a page that unpacks to gigabytes, a footer of millions of fields. So nothing is read before all of
these hold: the file is a plain one and small; its footer is small; its columns are the expected ones and nothing else;
it has as many rows as are expected; its pages, by their own headers, hold as many values as that and unpack to what
fits; and each text, looked at batch by batch without being unpacked, is short.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leaderboard.parquet_headers import MAX_FOOTER, Footer, pages_of, read_footer
from rope.errors import RopeError

__all__ = ["MAX_ID_BYTES", "Bounds", "check_parquet", "check_plain_file"]

MAX_ID_BYTES: Final = 512
"""The longest id of a sample or product, as UTF-8."""

_MAX_PAGE: Final = 32 << 20
_MAX_PAGES: Final = 20_000
_MAX_ROW_GROUPS: Final = 1_000
_ROWS_A_BATCH: Final = 2048


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a file of Parquet may be.

    Attributes:
        max_bytes: of the file; unpacked it may take twice as many.
        n_rows: exactly.
        n_values: column -> values in each row, where that is not one.
        texts: column of texts -> the values it may have; None for ids of `MAX_ID_BYTES` at most.
    """

    max_bytes: int
    n_rows: int
    n_values: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, frozenset[str] | None] = field(default_factory=dict)


def check_plain_file(path: Path, max_bytes: int) -> None:
    """Whether there is a file, and not a link, of so many bytes at most.

    Raises:
        RopeError: there is not.
    """
    if path.is_symlink() or not path.is_file():
        raise RopeError(f"{path}: expected a plain file, found none")
    if path.stat().st_size > max_bytes:
        raise RopeError(f"{path}: {path.stat().st_size:,} bytes, expected {max_bytes:,} at most")


def check_parquet(path: Path, bounds_of: Callable[[pa.Schema], Bounds], max_bytes: int) -> None:
    """Refuse a file of Parquet that is not what was expected, in bounded memory and before it is read.

    Args:
        path: what may be anything.
        bounds_of: what the file may be, given its columns; raises a `RopeError` where these are not as expected.
        max_bytes: of the file.

    Raises:
        RopeError: it is not a plain file, too large now or once unpacked, not Parquet, or has other rows or texts.
    """
    check_plain_file(path, max_bytes)
    try:
        footer = read_footer(path)
        with _opened(path, []) as file:
            schema = file.schema_arrow
        bounds = bounds_of(schema)
        _check_rows(path, footer, bounds, schema)
        _check_pages(path, footer, bounds)
        with _opened(path, list(bounds.texts)) as file:
            _check_texts(path, file, bounds)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RopeError(f"{path}: not Parquet as rope-bench writes it, and nothing else is read: {error}") from error


def _opened(path: Path, texts: list[str]) -> pq.ParquetFile:
    """With columns of texts as references into a dictionary, which are not unpacked, and limits on the footer."""
    return pq.ParquetFile(
        path,
        read_dictionary=texts,
        buffer_size=1 << 20,
        pre_buffer=False,
        thrift_string_size_limit=MAX_FOOTER,
        thrift_container_size_limit=MAX_FOOTER,
    )


def _check_rows(path: Path, footer: Footer, bounds: Bounds, schema: pa.Schema) -> None:
    """As many rows as expected, written by pyarrow, and numbers that fit in memory."""
    if footer.n_rows != bounds.n_rows:
        raise RopeError(f"{path}: {footer.n_rows:,} rows, expected {bounds.n_rows:,}")
    rows = [n_rows for n_rows, _ in footer.row_groups]
    if len(rows) > _MAX_ROW_GROUPS or min(rows, default=0) < 0 or sum(rows) != bounds.n_rows:
        raise RopeError(f"{path}: {len(rows):,} row groups of {sum(rows):,} rows, expected {bounds.n_rows:,} in few")
    if not footer.created_by.startswith("parquet-cpp-arrow"):
        raise RopeError(f"{path}: written by {footer.created_by[:60]!r}, expected pyarrow, which rope-bench uses")
    if (n_bytes := bounds.n_rows * _row_bytes(schema)) > bounds.max_bytes:
        raise RopeError(f"{path}: {n_bytes:,} bytes of numbers, expected {bounds.max_bytes:,} at most")


def _check_pages(path: Path, footer: Footer, bounds: Bounds) -> None:
    """Pages of moderate size, with as many values as there are rows."""
    n_pages = n_bytes = 0
    for n_rows, chunks in footer.row_groups:
        for chunk in chunks:
            n_values = n_rows * bounds.n_values.get(chunk.name.partition(".")[0], 1)
            found = n_text = 0
            for page in pages_of(path, chunk):
                n_pages, n_bytes = n_pages + 1, n_bytes + page.n_bytes
                n_text += page.n_bytes if chunk.name in bounds.texts else 0
                found += 0 if page.is_dictionary else page.n_values
                if page.n_bytes > _MAX_PAGE or page.n_values > n_values:
                    raise ValueError(f"a page of {page.n_values:,} values, {page.n_bytes:,} bytes in {chunk.name}")
                if n_pages > _MAX_PAGES or n_bytes > 2 * bounds.max_bytes:
                    raise ValueError(f"{n_pages:,} pages of {n_bytes:,} bytes, and there are more")
            if n_text > _MAX_PAGE // 8 + n_rows * 2 * MAX_ID_BYTES:
                raise ValueError(f"{n_text:,} bytes of text in a column of {n_rows:,} rows")
            if {found, chunk.n_values} != {n_values}:
                raise ValueError(f"{found:,} values of {chunk.name} in {n_rows:,} rows, expected {n_values:,}")


def _row_bytes(schema: pa.Schema) -> int:
    """Bytes of the numbers in a row, however few a run of equal ones takes in the file."""
    lists = [kind.list_size * kind.value_type.byte_width for kind in schema.types if pa.types.is_fixed_size_list(kind)]
    is_plain = (pa.types.is_primitive, pa.types.is_fixed_size_binary)
    plain = [kind.byte_width for kind in schema.types if any(test(kind) for test in is_plain)]
    return int(sum(lists) + sum(plain))


def _check_texts(path: Path, file: pq.ParquetFile, bounds: Bounds) -> None:
    """Every text is short, valid UTF-8 and, where there is a list, on it; looked at through the dictionary."""
    n_bytes = 0
    for batch in file.iter_batches(_ROWS_A_BATCH, columns=list(bounds.texts)):
        for name, allowed in bounds.texts.items():
            column = batch[name]
            lengths = pc.binary_length(column.dictionary)
            if column.null_count or (pc.max(lengths).as_py() or 0) > MAX_ID_BYTES:
                raise RopeError(f"{path}: {name} holds a null, or a text of more than {MAX_ID_BYTES} bytes")
            column.dictionary.validate(full=True)
            n_bytes += pc.sum(lengths.take(column.indices)).as_py() or 0
            if allowed is not None and (strange := sorted(set(column.dictionary.to_pylist()) - allowed)):
                raise RopeError(f"{path}: {name} is {strange[0][:40]!r}, expected one of {', '.join(sorted(allowed))}")
    if n_bytes > 2 * bounds.max_bytes:
        raise RopeError(f"{path}: {n_bytes:,} bytes of text, expected {2 * bounds.max_bytes:,} at most")
