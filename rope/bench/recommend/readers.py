"""Files of interactions, in the layouts that people have them in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rope.bench.recommend.columns import Columns
from rope.bench.recommend.interactions import Interactions, Sequences
from rope.bench.recommend.tables import COMPRESSED, SEPARATORS, read_parquet, read_text, text_ending
from rope.documents import read_document
from rope.errors import FileError, UsageError

__all__ = ["read_interactions", "read_item_texts", "read_recformer"]

_LAYOUTS: Final = (
    "a folder in RecFormer's layout (train.json, val.json, test.json, smap.json), Parquet, or lines of fields with the "
    f"ending {', '.join(SEPARATORS)}, which may be compressed ({', '.join(COMPRESSED)})"
)
_PARTS: Final = ("train.json", "val.json", "test.json")


def read_interactions(path: Path, columns: Columns | None = None) -> Interactions:
    """Read whichever layout `path` has: a folder, Parquet, or lines of fields; docs/recommendation.md has the rules.

    Args:
        path: a file or a folder.
        columns: which columns hold user, item and time; None to know them by their names.

    Raises:
        UsageError: it does not exist, is none of these, or columns are given that the layout does not have.
        FileError: its content is wrong.
    """
    if path.is_dir():
        if columns is not None:
            raise UsageError(f"{path}: --columns is for files; RecFormer's layout has none")
        return read_recformer(path)
    if path.is_file() and path.suffix == ".parquet":
        return read_parquet(path, columns)
    if path.is_file() and text_ending(path) in SEPARATORS:
        return read_text(path, columns)
    what = "not interactions" if path.exists() else "no such file or folder"
    raise UsageError(f"{path}: {what}; expected {_LAYOUTS}")


def read_recformer(folder: Path) -> Interactions:
    """Read `train.json`, `val.json` and `test.json` (user -> items, oldest first) and `smap.json` (item id -> row).

    Items may be given by id or by row. A user has one item in `val.json` and one in `test.json`, or none in either.

    Raises:
        UsageError: a file is missing.
        FileError: a file is not a JSON object, its rows are not 0, 1, 2, ..., an item is unknown, or a user has not
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
            raise FileError(f"{folder}: user {user!r} has the item {error}, which smap.json does not have") from None
    if not sequences:
        raise FileError(f"{folder}: no user in train.json, val.json or test.json")
    return Interactions(user_ids, item_ids, Sequences.of(sequences))


def read_item_texts(folder: Path) -> dict[str, str]:
    """The sentence that LEARN describes each item of `meta_data.json` by: title, brand and category.

    An attribute that an item lacks is empty.

    Raises:
        UsageError: the file is missing.
        FileError: it is not a JSON object of objects.
    """
    path = folder / "meta_data.json"
    texts = {}
    for item, fields in _object(path).items():
        if not isinstance(fields, dict):
            raise FileError(f"{path}: item {item!r} is {type(fields).__name__}, expected an object of attributes")
        texts[item] = " ".join(f"{name.title()}: {fields.get(name) or ''}" for name in ("title", "brand", "category"))
    return texts


def _item_ids(path: Path) -> list[str]:
    smap = _object(path)
    if not all(type(row) is int for row in smap.values()) or sorted(smap.values()) != list(range(len(smap))):
        raise FileError(f"{path}: expected each item id with its row, the rows being 0, 1, 2, ... to {len(smap) - 1}")
    return sorted(smap, key=smap.__getitem__)


def _check_lengths(folder: Path, user: str, given: list[Any]) -> None:
    if not all(isinstance(items, list) for items in given):
        raise FileError(f"{folder}: user {user!r} has no list of items; the layout is user -> items")
    n_train, n_val, n_test = map(len, given)
    if (n_val, n_test) != (1, 1) and (n_train >= 3 or n_val or n_test):
        raise FileError(
            f"{folder}: user {user!r} has {n_train} items in train.json, {n_val} in val.json and {n_test} in "
            "test.json; expected one in each of the last two"
        )
    if n_val == 1 and n_train == 0:
        raise FileError(f"{folder}: user {user!r} has nothing in train.json, so nothing is known of them")


def _object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; RecFormer's layout has {', '.join(_PARTS)} and smap.json")
    return read_document(path, "JSON", "an object")
