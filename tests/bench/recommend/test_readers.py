import gzip
import json
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.bench.recommend.columns import Columns, parse_columns
from rope.bench.recommend.gallery import interactions_sha256
from rope.bench.recommend.readers import read_interactions, read_item_texts
from rope.errors import FileError, UsageError

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


def lines(template, heading=""):
    return heading + "".join(template.format(u=user, i=item, t=time) for user, item, time in ROWS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", lines("{u},{i},5.0,{t}\n")),
        ("ratings.csv", lines("{u},{i},5.0,{t}\n", "userId,movieId,rating,timestamp\n")),
        ("time_third.csv", lines("{u},{i},{t},5\n", "user_id,item_id,timestamp,rating\n")),
        ("all_turned.csv", lines("{t};{i};{u}\r\n", "\ufeffTime;ASIN;Reviewer-ID\r\n")),
        ("quoted.csv", lines('"a, b",{i},{u},{t}\n', "title,item_id,user_id,ts\n")),
        ("ratings.dat", lines("{u}::{i}::5::{t}\n")),
        ("u.data", lines("{u}\t{i}\t3\t{t}\n")),
        ("a.inter", lines("{i}\t{u}\t{t}.0\t5\n", "item_id:token\tuser_id:token\ttimestamp:float\trating:float\n")),
        ("two_times.csv", lines("{u},{i},7,{t}\n", "user_id,item_id,time,timestamp\n")),
    ],
)
def test_columns_are_known_by_name_whatever_their_order(name, text, tmp_path):
    (tmp_path / name).write_text(text, "utf-8", newline="")
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    wanted = read_interactions(write_parquet(tmp_path / "a.parquet"))
    for found in (read_interactions(tmp_path / name), read_interactions(tmp_path / f"{name}.gz")):
        assert (found.user_ids, found.item_ids) == (["1", "2"], ["a", "b", "c"])
        assert interactions_sha256(found) == interactions_sha256(wanted)


def test_the_same_interactions_from_every_layout_are_the_same(tmp_path):
    times = [row[2] for row in ROWS]
    paths = [
        write_parquet(tmp_path / "b.parquet", timestamp=pa.array(times, pa.timestamp("ms"))),
        write_parquet(tmp_path / "c.parquet", user_id=[int(row[0]) for row in ROWS]),
        write_parquet(tmp_path / "d.parquet", timestamp=[date(2024, 1, time) for time in times]),
        write_parquet(tmp_path / "e.parquet", item_id=pa.array([row[1] for row in ROWS]).dictionary_encode()),
        write_folder(tmp_path / "rows", PARTS),
        write_folder(tmp_path / "ids", PARTS | {"train.json": {"1": ["a"], "2": ["c"]}}),
    ]
    found = [read_interactions(path) for path in paths]
    assert [one.taken[0].tolist() for one in found] == len(paths) * [[0, 1, 2]]
    assert len({interactions_sha256(one) for one in found}) == 1


@pytest.mark.parametrize(
    ("columns", "heading", "found"),
    [
        ("2,1,3", "", ("2", "1", "3")),
        ("who,what,when", "what,who,when\n", ("who", "what", "when")),
        ("who,item_id,when", "item_id:token,who:token,when:float\n", ("who", "item_id", "when")),
    ],
)
def test_columns_can_be_given(columns, heading, found, tmp_path):
    interactions = read_interactions(
        write_csv(tmp_path / "a.csv", lines("{i},{u},{t}\n", heading)), parse_columns(columns)
    )
    assert interactions.taken[0].tolist() == [0, 1, 2]
    assert interactions.columns == found


@pytest.mark.parametrize("columns", ["user,item", "a,a,b", "a,,b"])
def test_three_different_columns_are_asked_for(columns):
    with pytest.raises(UsageError, match="expected those of user, item and time"):
        parse_columns(columns)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_times_and_ids_of_64_bits_are_kept(kind, tmp_path):
    time, item = 1_700_000_000_123_456_789, 2**63 - 1
    rows = [(7, item - i, time + i) for i in (2, 0, 1)]
    if kind == "csv":
        path = write_csv(tmp_path / "a.csv", "user,item,time\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows))
    else:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.Table.from_pylist([{"user": u, "item": i, "time": t} for u, i, t in rows]), path)
    found = read_interactions(path)
    assert [found.item_ids[row] for row in found.taken[0]] == [str(item), str(item - 1), str(item - 2)]
    assert not found.is_tied.any()


def test_times_with_a_fraction_are_compared_as_they_are_written(tmp_path):
    text = "user,item,time\nu,c,1.50\nu,b,1.5\nu,a,0.3\nu,d,0.30000000000000001\n"
    found = read_interactions(write_csv(tmp_path / "a.csv", text))
    assert found.taken[0].tolist()[:2] == [0, 3]
    assert found.is_tied.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u,i,5,1\nu,i,5\n", r"bad\.csv:2: fields: 3, expected 4 as in the first line"),
        ("u,i,5,1\nu,,5,2\n", r"bad\.csv:2: the item is empty"),
        ("u,i,5,1\nu,i,5,soon\n", r"bad\.csv:2: time 'soon', expected a number"),
        ("u,i,5,1\nu,i,5,nan\n", r"bad\.csv:2: time 'nan'"),
        ("u,i,5,1\nu,i,5,9223372036854775808\n", r"bad\.csv:2: time 9223372036854775808: beyond 2\^63 - 1"),
        ("u,i,5,1\nu,i,5,1.7000000001e18\n", r"bad\.csv:2: time 1.7000000001e18: as a float it has lost its last"),
        ("user,item,rating,timestamp\n", "no interactions, only a heading"),
        ("", "no interactions; the file is empty"),
        (
            "user,item,rating,stamp\nu,i,5,1\n",
            r"bad\.csv:1: no column is known to hold the time; it has user, item, rat",
        ),
        ("user,asin,parent_asin,ts\n", "asin and parent_asin could both be the item; say which with --columns"),
        ("user_id,item_id,user_id,timestamp\n", "the column user_id is there 2 times"),
        (
            "who,what,stars,when\nu,i,5,1\n",
            "neither a heading with usual names nor user, item, rating, time: 'who, what",
        ),
        ("u,i,1\n", "neither a heading with usual names nor user, item, rating, time"),
        ("u,i,1700000000,5\n", "neither a heading with usual names nor user, item, rating, time"),
        ("u,i,5,1\nuserId,movieId,rating,timestamp\nu,j,5,2", r"bad\.csv:2: time 'timestamp', expected a number"),
        ('u,"i,5,1\nu,j,5,2\n', r"bad\.csv: not readable as lines of fields: unexpected end of data"),
    ],
)
def test_what_is_wrong_in_a_text_is_named(text, message, tmp_path):
    with pytest.raises(FileError, match=message):
        read_interactions(write_csv(tmp_path / "bad.csv", text))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("1,2,5", "--columns 1,2,5, but the line has fields 1 to 4"),
        ("1,2,4", "bad.csv:1: time 'timestamp', expected a number"),
        ("user,asin,timestamp", "no column 'asin', asked for by --columns; it has user, item, rating, timestamp"),
    ],
)
def test_columns_that_are_not_there_are_named(columns, message, tmp_path):
    path = write_csv(tmp_path / "bad.csv", "user,item,rating,timestamp\nu,i,5,1\n")
    with pytest.raises(FileError, match=message):
        read_interactions(path, parse_columns(columns))
    with pytest.raises(UsageError, match="--columns is for files"):
        read_interactions(tmp_path, Columns("a", "b", "c"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamp": None}, "no column is known to hold the time; it has user_id, item_id"),
        ({"user_id": [None, *"12345"]}, "the column user_id has 1 nulls"),
        ({"item_id": [1.5] * 6}, "the column item_id is double, expected strings or integers"),
        ({"timestamp": ["now"] * 6}, "the column timestamp is string, expected numbers, dates or timestamps"),
        ({"timestamp": pa.array([2**63] * 6, pa.uint64())}, r"the column timestamp holds a time beyond 2\^63 - 1"),
        ({"timestamp": np.full(6, 1.7e18)}, "timestamp is double, in which its times have lost their last digits"),
        ({"timestamp": np.full(6, 1.7e9, np.float32)}, "timestamp is float, in which its times have lost"),
        ({"item_id": [["a"]] * 6}, "the column item_id is list<.*>, expected strings or integers"),
        ({"timestamp": [float("nan")] * 6}, "holds NaN"),
    ],
)
def test_a_bad_column_is_named(changes, message, tmp_path):
    with pytest.raises(FileError, match=message):
        read_interactions(write_parquet(tmp_path / "bad.parquet", **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smap.json": {"a": 0, "b": 2, "c": 3}}, "the rows being 0, 1, 2, ... to 2"),
        ({"smap.json": "{"}, r"smap\.json: not readable as JSON"),
        ({"smap.json": '{"a": 0, "b": 1, "a": 2}'}, r"smap\.json: .*the key 'a' is given twice"),
        ({"smap.json": "[" * 100_000}, r"smap\.json: not readable as JSON: .*recursion"),
        ({"val.json": [1]}, "val.json: expected keys with values at the top, got a list"),
        ({"train.json": {"1": [7], "2": [0]}}, "user '1' has the item 7, which smap.json does not have"),
        ({"test.json": {"1": [2]}}, "user '2' has 1 items in train.json, 1 in val.json and 0 in test.json"),
        ({"train.json": {"2": [0]}}, "user '1' has nothing in train.json"),
        ({"train.json": {"1": 0}}, "user '1' has no list of items"),
    ],
)
def test_a_bad_folder_is_explained(changes, message, tmp_path):
    with pytest.raises(FileError, match=message):
        read_interactions(write_folder(tmp_path / "bad", PARTS | changes))


@pytest.mark.parametrize("name", ["missing.csv", "present.xlsx"])
def test_what_is_no_file_of_interactions_is_refused(name, tmp_path):
    (tmp_path / "present.xlsx").write_text("")
    with pytest.raises(UsageError, match="expected a folder in RecFormer's layout"):
        read_interactions(tmp_path / name)


def test_a_file_that_the_layout_needs_is_missing(tmp_path):
    with pytest.raises(UsageError, match=r"smap\.json: no such file"):
        read_interactions(tmp_path)


def test_items_are_described_by_title_brand_and_category(tmp_path):
    meta = {"a": {"title": "Cup", "brand": "Acme", "category": "Kitchen", "price": 3}, "b": {"title": "Pot"}}
    texts = read_item_texts(write_folder(tmp_path, {"meta_data.json": meta}))
    assert texts == {"a": "Title: Cup Brand: Acme Category: Kitchen", "b": "Title: Pot Brand:  Category: "}


def test_a_parquet_column_given_twice_is_named(tmp_path):
    columns = [pa.array(list(column)) for column in zip(*ROWS, strict=True)]
    pq.write_table(pa.table([*columns, columns[0]], ["user", "item", "time", "user"]), tmp_path / "a.parquet")
    with pytest.raises(FileError, match=r"the column user is there 2 times \(of user, item, time, user\); keep one"):
        read_interactions(tmp_path / "a.parquet")
    pq.write_table(pa.table([*columns, *columns[:2]], ["user", "item", "time", "x", "x"]), tmp_path / "b.parquet")
    assert read_interactions(tmp_path / "b.parquet").taken[0].tolist() == [0, 1, 2]
