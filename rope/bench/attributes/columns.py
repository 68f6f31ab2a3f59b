"""One column of the products table, or of a file next to it: the class or the tags of each product."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from rope.dataset.directory import open_shard, shard_names
from rope.dataset.manifest import read_manifest
from rope.domain import SPLITS, with_published
from rope.errors import UsageError
from rope.files import AnyPath, check_file, reading_file, sha256_of

__all__ = ["Column", "read_column"]

Cell = str | tuple[str, ...] | None

_KEY: Final = "product_id"
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of each product.

    Attributes:
        name: of the column.
        is_tags: whether a product has any number of labels, and not exactly one.
        values: product id -> its labels, in code-point order and each once; one label if not `is_tags`. A product of
            which nothing is known is absent; one that is known to have no tags has none.
        sha256: of the file that the column was read from; None for the products table, which the dataset's
            fingerprint or its manifest vouches for.
    """

    name: str
    is_tags: bool
    values: dict[str, tuple[str, ...]]
    sha256: str | None = None


def read_column(directory: AnyPath, name: str, file: Path | None = None, separator: str | None = None) -> Column:
    """Read a column of the products of all splits.

    A column of lists holds tags. A column of strings holds classes, or, given a separator, tags. Whole numbers and
    booleans are read as classes too. Blanks around a label mean nothing. A cell that is null or empty says that
    nothing is known of the product; an empty list that it has no tags.

    Args:
        directory: a dataset directory.
        name: of the column.
        file: CSV (UTF-8, with a header) or Parquet with the columns `product_id` and `name`; None for the products
            table of the dataset.
        separator: what parts the tags in a cell of text.

    Raises:
        UsageError: the file cannot be read, the column is missing or holds neither text nor lists of text, a product
            id is repeated or is not in the dataset, or no product has a value.
        DatasetError: the dataset cannot be read.
    """
    own = _read_products(directory)
    table = own if file is None else _read_file(file)
    where = f"{directory}: the products table" if file is None else str(file)
    cells = _cells(table, name, where)
    ids = [str(one) for one in table.column(_KEY).to_pylist()]
    if file is not None:
        _check_ids(ids, set(own.column(_KEY).to_pylist()), where)
    return _column(
        name, dict(zip(ids, cells, strict=True)), separator, where, None if file is None else sha256_of(file)
    )


def _column(name: str, cells: dict[str, Cell], separator: str | None, where: str, sha256: str | None) -> Column:
    if separator is not None:
        cells = {product: _split(cell, separator) for product, cell in cells.items()}
    values = {product: _labels(cell) for product, cell in cells.items() if cell is not None and cell != ""}
    if not any(values.values()):
        raise UsageError(f"{where}: no product has a value in the column {name!r}, so there is nothing to predict")
    return Column(name, any(isinstance(cell, tuple) for cell in cells.values()), values, sha256)


def _split(cell: Cell, separator: str) -> Cell:
    """The tags in a cell of text; a cell that is a list, null or empty stays as it is.

    >>> _split("red | blue|", "|")
    ('red', 'blue')
    """
    if not isinstance(cell, str) or not cell:
        return cell
    return tuple(tag.strip() for tag in cell.split(separator) if tag.strip())


def _labels(cell: str | tuple[str, ...]) -> tuple[str, ...]:
    return (cell,) if isinstance(cell, str) else tuple(sorted(set(cell)))


def _read_products(directory: AnyPath) -> pa.Table:
    """The products of all splits, without the lists of their samples."""
    manifest = read_manifest(directory)
    samples = {f"{domain}_ids" for domain in with_published(manifest.domains)}
    tables = []
    for name in (name for split in SPLITS for name in shard_names(manifest, "products", split)):
        with open_shard(directory / name) as shard:
            tables.append(shard.read(columns=[one for one in shard.schema_arrow.names if one not in samples]))
    return pa.concat_tables(tables, promote_options="default").replace_schema_metadata()


def _read_file(file: Path) -> pa.Table:
    check_file(file, f"CSV or Parquet with a column {_KEY}")
    if file.suffix == ".csv":
        return _read_csv(file)
    if file.suffix != ".parquet":
        raise UsageError(f"{file}: expected a file of labels that ends in .csv or .parquet")
    with reading_file(file, "Parquet"):
        table = pq.read_table(file)
    if repeated := _repeated(table.column_names):
        raise UsageError(f"{file}: the column {repeated[0]!r} occurs twice; keep one")
    return table


def _read_csv(file: Path) -> pa.Table:
    """All columns as text; a row that is shorter or longer than the header is refused."""
    with reading_file(file, "CSV in UTF-8"), file.open(encoding="utf-8-sig", newline="") as text:
        lines = csv.reader(text, strict=True)
        header = next(lines, [])
        rows = [(lines.line_num, row) for row in lines if row]
    for line, row in rows:
        if len(row) != len(header):
            raise UsageError(f"{file}:{line}: {len(row)} fields, expected {len(header)} as in the header; quote commas")
    names = [name.strip() for name in header]
    if repeated := _repeated(names):
        raise UsageError(f"{file}: the header names {repeated[0]!r} twice")
    columns = [[row[i].strip() for _, row in rows] for i in range(len(names))]
    return pa.table([pa.array(column, pa.string()) for column in columns], names)


def _cells(table: pa.Table, name: str, where: str) -> list[Cell]:
    """The values of the column, in the order of the rows, as text, tuples of text, or None."""
    for wanted in (_KEY, name):
        if wanted not in table.column_names:
            there = ", ".join(one for one in table.column_names if one != _KEY)
            raise UsageError(f"{where}: no column {wanted!r}; beside {_KEY} it has {there or 'none'}")
    kind = table.schema.field(name).type
    if name == _KEY or not _is_label(kind):
        raise UsageError(f"{where}: the column {name!r} is {kind}; expected text, whole numbers, or lists of text")
    return [_cell(value) for value in table.column(name).to_pylist()]


def _is_label(kind: pa.DataType) -> bool:
    if pt.is_list(kind) or pt.is_large_list(kind):
        return _is_text(kind.value_type)
    if pt.is_dictionary(kind):
        return _is_text(kind.value_type)
    return _is_text(kind) or pt.is_integer(kind) or pt.is_boolean(kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _cell(value: Any) -> Cell:  # noqa: ANN401 (what Arrow has read)
    if isinstance(value, list):
        return tuple(str(tag).strip() for tag in value if tag is not None and str(tag).strip())
    return None if value is None else str(value).strip()


def _check_ids(ids: Sequence[str], known: set[str], where: str) -> None:
    if repeated := _repeated(ids):
        raise UsageError(f"{where}: {_listing(repeated)} more than once; give each product one row")
    if unknown := sorted(set(ids) - known):
        raise UsageError(f"{where}: {_listing(unknown)} not in the dataset; leave those rows out")


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, n in Counter(names).items() if n > 1)


def _listing(ids: Sequence[str]) -> str:
    """Some product ids, in a sentence.

    >>> _listing(["7"]), _listing(list("abcdefg"))
    ("product '7'", "7 products ('a', 'b', 'c', 'd', 'e', …)")
    """
    if len(ids) == 1:
        return f"product {ids[0]!r}"
    return f"{len(ids)} products ({', '.join(map(repr, ids[:_SHOWN]))}{', …' if len(ids) > _SHOWN else ''})"
