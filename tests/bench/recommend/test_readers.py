import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.bench.recommend.gallery import interactions_sha256
from rope.bench.recommend.readers import read_interactions, read_item_texts
from rope.errors import DatasetError, UsageError

ROWS = [("1", "b", 10), ("1", "a", 7), ("1", "c", 12), ("2", "c", 3), ("2", "a", 9), ("2", "b", 10)]
SMAP = {"a": 0, "b": 1, "c": 2}
PARTS = {
    "smap.json": SMAP,
    "train.json": {"1": [0], "2": [2]},
    "val.json": {"1": [1], "2": [0]},
    "test.json": {"1": [2], "2": [1]},
}


def write_folder(folder, parts):
    folder.mkdir(exist_ok=True)
    for name, content in parts.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def write_csv(path, text):
    path.write_text(text)
    return path


def write_parquet(path, **changes):
    users, items, times = zip(*ROWS, strict=True)
    columns = {"user_id": users, "item_id": items, "timestamp": times} | changes
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
    return path


def test_the_same_interactions_from_every_layout_are_the_same(tmp_path):
    lines = "".join(f"{user},{item},5.0,{time}\n" for user, item, time in ROWS)
    paths = [
        write_csv(tmp_path / "plain.csv", lines),
        write_csv(tmp_path / "headed.csv", "userId,movieId,rating,timestamp\n" + lines),
        write_parquet(tmp_path / "a.parquet"),
        write_parquet(tmp_path / "b.parquet", timestamp=pa.array([row[2] for row in ROWS], pa.timestamp("ms"))),
        write_parquet(tmp_path / "c.parquet", user_id=[int(row[0]) for row in ROWS]),
        write_folder(tmp_path / "rows", PARTS),
        write_folder(tmp_path / "ids", PARTS | {"train.json": {"1": ["a"], "2": ["c"]}}),
    ]
    found = [read_interactions(path) for path in paths]
    assert [one.taken[0].tolist() for one in found] == len(paths) * [[0, 1, 2]]
    assert len({interactions_sha256(one) for one in found}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u,i,5,1\nu,i,5\n", r"bad\.csv:2: 3 fields, expected user, item, rating, timestamp"),
        ("u,i,5,1\nu,,5,2\n", r"bad\.csv:2: the item is empty"),
        ("u,i,5,1\nu,i,5,soon\n", r"bad\.csv:2: timestamp 'soon', expected a number"),
        ("u,i,5,1\nu,i,5,nan\n", r"bad\.csv:2: timestamp 'nan'"),
        ("user,item,rating,timestamp\n", "no interactions"),
    ],
)
def test_a_bad_line_is_named(text, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        read_interactions(write_csv(tmp_path / "bad.csv", text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamp": None}, "no column timestamp; it has user_id, item_id"),
        ({"user_id": [None, *"12345"]}, "the column user_id has 1 nulls"),
        ({"item_id": [1.5] * 6}, "the column item_id is double, expected strings or integers"),
        ({"timestamp": ["now"] * 6}, "the column timestamp is string, expected numbers or timestamps"),
        ({"timestamp": [float("nan")] * 6}, "holds NaN"),
    ],
)
def test_a_bad_column_is_named(changes, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        read_interactions(write_parquet(tmp_path / "bad.parquet", **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smap.json": {"a": 0, "b": 2, "c": 3}}, "the rows being 0, 1, 2, ... to 2"),
        ({"smap.json": "{"}, "smap.json: no JSON"),
        ({"val.json": [1]}, "val.json: expected a JSON object, got list"),
        ({"train.json": {"1": [7], "2": [0]}}, "user '1' has the item 7, which smap.json does not have"),
        ({"test.json": {"1": [2]}}, "user '2' has 1 items in train.json, 1 in val.json and 0 in test.json"),
        ({"train.json": {"2": [0]}}, "user '1' has nothing in train.json"),
        ({"train.json": {"1": 0}}, "user '1' has no list of items"),
    ],
)
def test_a_bad_folder_is_explained(changes, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        read_interactions(write_folder(tmp_path / "bad", PARTS | changes))


@pytest.mark.parametrize("name", ["missing.csv", "present.txt"])
def test_what_is_no_file_of_interactions_is_refused(name, tmp_path):
    (tmp_path / "present.txt").write_text("")
    with pytest.raises(UsageError, match="expected a folder in RecFormer's layout"):
        read_interactions(tmp_path / name)


def test_a_file_that_the_layout_needs_is_missing(tmp_path):
    with pytest.raises(UsageError, match=r"smap\.json: no such file"):
        read_interactions(tmp_path)


def test_items_are_described_by_title_brand_and_category(tmp_path):
    meta = {"a": {"title": "Cup", "brand": "Acme", "category": "Kitchen", "price": 3}, "b": {"title": "Pot"}}
    texts = read_item_texts(write_folder(tmp_path, {"meta_data.json": meta}))
    assert texts == {"a": "Title: Cup Brand: Acme Category: Kitchen", "b": "Title: Pot Brand:  Category: "}
