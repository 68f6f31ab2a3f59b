import hashlib
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.dataset.fingerprint import fingerprint
from rope.dataset.manifest import read_manifest
from tests.dataset.conftest import small_tables, write_tables

SAMPLE_COLUMNS = ("sample_id", "product_id", "text", "category", "frame_times")
PRODUCT_COLUMNS = ("product_id", "category", "page_ids", "video_ids", "live_ids")


def by_hand(tables):
    """What the docstring says, a value at a time; for tables of fewer than 65,536 rows."""
    digest = hashlib.sha256()
    for split in ("train", "validation"):
        for config in ("pages", "videos", "lives", "products"):
            digest.update(f"{split}/{config}\0".encode())
            rows = tables[f"{config}/{split}"]
            for column in PRODUCT_COLUMNS if config == "products" else SAMPLE_COLUMNS:
                feed(digest, [row[column] for row in rows])
    return digest.hexdigest()


def feed(digest, values):
    stored = [value.encode() if isinstance(value, str) else value for value in values]
    for value in stored:
        digest.update(struct.pack("<I", 2**32 - 1 if value is None else len(value)))
    if any(isinstance(value, list) for value in stored):
        items = [item for value in stored for item in value]
        if items and isinstance(items[0], int):
            digest.update(struct.pack(f"<{len(items)}q", *items))
        else:
            feed(digest, items)
    else:
        digest.update(b"".join(value for value in stored if value is not None))


def of(directory):
    return fingerprint(directory, list(read_manifest(directory).shards))


def test_the_bytes_are_those_of_the_docstring(tmp_path):
    tables = small_tables()
    tables["pages/train"][0]["text"] = "蓝色的杯子"
    assert of(write_tables(tmp_path / "d", tables)) == by_hand(tables)


@pytest.mark.parametrize("rows_per_shard", [1, 2, 50])
def test_shards_do_not_matter(rows_per_shard, tmp_path):
    assert of(write_tables(tmp_path / "d", small_tables(), rows_per_shard=rows_per_shard)) == by_hand(small_tables())


def test_many_rows_are_the_same_however_they_are_grouped(tmp_path):
    """More than one run of 65,536 rows, in row groups that end elsewhere."""
    n = 70_000
    columns = {"sample_id": [str(i) for i in range(n)], "product_id": ["1"] * n, "text": [None, "x"] * (n // 2)}
    table = pa.table(columns | {"category": pa.nulls(n, pa.string()), "frame_times": [[i] for i in range(n)]})
    found = set()
    for group in (n, 10_007):
        folder = tmp_path / str(group)
        (folder / "pages").mkdir(parents=True)
        pq.write_table(table, folder / "pages" / "train-00000-of-00001.parquet", row_group_size=group)
        found.add(fingerprint(folder, ["pages/train-00000-of-00001.parquet"]))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("pages/train", {"text": "other"}),
        ("pages/train", {"text": ""}),
        ("videos/validation", {"product_id": "22"}),
        ("lives/train", {"category": None}),
        ("videos/train", {"frame_times": [0, 30, 61]}),
        ("products/train", {"page_ids": ["10", "9"]}),
    ],
)
def test_every_part_of_the_task_matters(table, changes, tmp_path):
    tables = small_tables()
    tables["pages/train"][0]["text"] = None
    before = of(write_tables(tmp_path / "a", tables))
    tables[table][0] |= changes
    assert of(write_tables(tmp_path / "b", tables)) != before


def test_the_images_do_not_matter(tmp_path):
    tables = small_tables()
    tables["pages/train"][0]["frames"] = [{"bytes": b"other", "path": None}]
    assert of(write_tables(tmp_path / "d", tables)) == by_hand(small_tables())
