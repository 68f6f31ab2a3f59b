"""Files of interactions, in the layouts that people have them in."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.bench.recommend.interactions import Interactions, Sequences, from_events
from rope.errors import DatasetError, UsageError

__all__ = ["read_csv", "read_interactions", "read_item_texts", "read_parquet", "read_recformer"]

_LAYOUTS: Final = (
    "a folder in RecFormer's layout (train.json, val.json, test.json, smap.json), a CSV file of user, item, rating, "
    "timestamp, or a Parquet file with the columns user_id, item_id, timestamp"
)
_PARTS: Final = ("train.json", "val.json", "test.json")
_COLUMNS: Final = ("user_id", "item_id", "timestamp")


def read_interactions(path: Path) -> Interactions:
    """Read whichever layout `path` has: a folder, `*.csv`, or `*.parquet`.

    Raises:
        UsageError: it does not exist, or is none of these.
        DatasetError: its content is wrong.
    """
    if path.is_dir():
        return read_recformer(path)
    readers = {".csv": read_csv, ".parquet": read_parquet}
    if not path.is_file() or path.suffix not in readers:
        what = "not interactions" if path.exists() else "no such file or folder"
        raise UsageError(f"{path}: {what}; expected {_LAYOUTS}")
    return readers[path.suffix](path)


def read_csv(path: Path) -> Interactions:
    """Read lines of user, item, rating and timestamp, as MovieLens has them; the rating is passed over.

    A first line whose timestamp is no number is a heading.

    Raises:
        DatasetError: a line has other than four fields, an empty id, or a timestamp that is no number; or there is
            no line.
    """
    users, items, times = [], [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            for row in lines:
                if not row or (lines.line_num == 1 and len(row) == 4 and _number(row[3]) is None):
                    continue
                user, item, time = _fields(row, f"{path}:{lines.line_num}")
                users.append(user)
                items.append(item)
                times.append(time)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a readable CSV file: {error}") from error
    if not users:
        raise DatasetError(f"{path}: no interactions; expected lines of user, item, rating, timestamp")
    return from_events(users, items, times)


def read_parquet(path: Path) -> Interactions:
    """Read the columns `user_id`, `item_id` (strings or integers) and `timestamp` (any type with an order in time).

    Raises:
        DatasetError: a column is missing, of another type, or holds a null; or there is no row.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
            if missing:
                found = ", ".join(file.schema_arrow.names)
                raise DatasetError(f"{path}: no column {' or '.join(missing)}; it has {found}")
            table = file.read(columns=list(_COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: not a readable Parquet file: {error}") from error
    if table.num_rows == 0:
        raise DatasetError(f"{path}: no interactions")
    for name in _COLUMNS:
        if table[name].null_count:
            raise DatasetError(f"{path}: the column {name} has {table[name].null_count} nulls; leave those rows out")
    return from_events(_ids(table, "user_id", path), _ids(table, "item_id", path), _times(table, path))


def read_recformer(folder: Path) -> Interactions:
    """Read `train.json`, `val.json` and `test.json` (user -> items, oldest first) and `smap.json` (item id -> row).

    Items may be given by id or by row. A user has one item in `val.json` and one in `test.json`, or none in either.

    Raises:
        UsageError: a file is missing.
        DatasetError: a file is no JSON object, its rows are not 0, 1, 2, ..., an item is unknown, or a user has not
            one item in each of `val.json` and `test.json`, or three and more in `train.json` alone.
    """
    item_ids = _item_ids(folder / "smap.json")
    row_of: dict[Any, int] = {**{one: row for row, one in enumerate(item_ids)}, **{i: i for i in range(len(item_ids))}}
    parts = [_object(folder / name) for name in _PARTS]
    user_ids = sorted({user for part in parts for user in part}, key=lambda user: (len(user), user))
    sequences = []
    for user in user_ids:
        given = [part.get(user, []) for part in parts]
        _check_lengths(folder, user, given)
        try:
            sequences.append([row_of[item] for items in given for item in items])
        except (KeyError, TypeError) as error:
            raise DatasetError(f"{folder}: user {user!r} has the item {error}, which smap.json does not have") from None
    if not sequences:
        raise DatasetError(f"{folder}: no user in train.json, val.json or test.json")
    return Interactions(user_ids, item_ids, Sequences.of(sequences))


def read_item_texts(folder: Path) -> dict[str, str]:
    """The sentence that LEARN describes each item of `meta_data.json` by: title, brand and category.

    An attribute that an item lacks is empty.

    Raises:
        UsageError: the file is missing.
        DatasetError: it is no JSON object of objects.
    """
    path = folder / "meta_data.json"
    texts = {}
    for item, fields in _object(path).items():
        if not isinstance(fields, dict):
            raise DatasetError(f"{path}: item {item!r} is {type(fields).__name__}, expected an object of attributes")
        texts[item] = " ".join(f"{name.title()}: {fields.get(name) or ''}" for name in ("title", "brand", "category"))
    return texts


def _fields(row: list[str], where: str) -> tuple[str, str, float]:
    """User, item and time of one line."""
    if len(row) != 4:
        raise DatasetError(f"{where}: {len(row)} fields, expected user, item, rating, timestamp")
    user, item, time = row[0].strip(), row[1].strip(), _number(row[3])
    if not user or not item:
        raise DatasetError(f"{where}: the {'item' if user else 'user'} is empty")
    if time is None:
        raise DatasetError(f"{where}: timestamp {row[3]!r}, expected a number")
    return user, item, time


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _ids(table: pa.Table, name: str, path: Path) -> list[str]:
    kind = table[name].type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DatasetError(f"{path}: the column {name} is {kind}, expected strings or integers")
    ids: list[str] = table[name].cast(pa.string()).to_pylist()
    return ids


def _times(table: pa.Table, path: Path) -> Any:  # noqa: ANN401 (float64 or int64 [n])
    kind = table["timestamp"].type
    if pa.types.is_floating(kind):
        times = table["timestamp"].to_numpy()
        if any(not math.isfinite(time) for time in times):
            raise DatasetError(f"{path}: the column timestamp holds NaN or infinity")
        return times
    if not (pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date64(kind)):
        raise DatasetError(f"{path}: the column timestamp is {kind}, expected numbers or timestamps")
    return table["timestamp"].cast(pa.int64()).to_numpy()


def _item_ids(path: Path) -> list[str]:
    smap = _object(path)
    if not all(type(row) is int for row in smap.values()) or sorted(smap.values()) != list(range(len(smap))):
        raise DatasetError(
            f"{path}: expected each item id with its row, the rows being 0, 1, 2, ... to {len(smap) - 1}"
        )
    return sorted(smap, key=smap.__getitem__)


def _check_lengths(folder: Path, user: str, given: list[Any]) -> None:
    if not all(isinstance(items, list) for items in given):
        raise DatasetError(f"{folder}: user {user!r} has no list of items; the layout is user -> items")
    n_train, n_val, n_test = map(len, given)
    if (n_val, n_test) != (1, 1) and (n_train >= 3 or n_val or n_test):
        raise DatasetError(
            f"{folder}: user {user!r} has {n_train} items in train.json, {n_val} in val.json and {n_test} in "
            "test.json; expected one in each of the last two"
        )
    if n_val == 1 and n_train == 0:
        raise DatasetError(f"{folder}: user {user!r} has nothing in train.json, so nothing is known of them")


def _object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; RecFormer's layout has {', '.join(_PARTS)} and smap.json")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path}: no JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
