from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline.ingest import IngestOptions, ingest_rows
from rope.curation.pipeline.pool import open_pool, slices
from rope.errors import DatasetError, UsageError
from tests.stored import POOL


def test_a_file_is_cut_into_ranges_of_rows_and_hashed_once(tmp_path, monkeypatch):
    for name, n in (("b", 5), ("a", 2)):
        table = pa.table({"id": [str(i) for i in range(n)], "domain": ["page"] * n, "frames": ["x"] * n})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    pool = open_pool(tmp_path, {}, tmp_path / "cache")
    assert [(part.path.name, part.start, part.stop) for part in slices(pool, 2)] == [
        ("a.parquet", 0, 2),
        ("b.parquet", 0, 2),
        ("b.parquet", 2, 4),
        ("b.parquet", 4, 5),
    ]
    monkeypatch.setattr("rope.curation.pipeline.pool.sha256_of", None)
    assert open_pool(tmp_path, {}, tmp_path / "cache") == pool


def test_a_folder_of_media_is_listed_with_texts_and_frames_in_order(tmp_path):
    for name in ("pages/p1.jpg", "pages/p2.png", "lives/l1/f10.jpg", "lives/l1/f9.jpg", "videos/v1.mp4", "pages/.DS"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "pages" / "p1.txt").write_text("a red cup\n", "utf-8")
    pool = open_pool(tmp_path, {}, tmp_path / "cache")
    assert pq.read_table(pool.files[0].path).to_pylist() == [
        {"id": "p1", "domain": "page", "text": "a red cup", "paths": ["pages/p1.jpg"]},
        {"id": "p2", "domain": "page", "text": None, "paths": ["pages/p2.png"]},
        {"id": "v1", "domain": "video", "text": None, "paths": ["videos/v1.mp4"]},
        {"id": "l1", "domain": "live", "text": None, "paths": ["lives/l1/f9.jpg", "lives/l1/f10.jpg"]},
    ]
    (tmp_path / "pages" / "p1.webp").write_bytes(b"")
    with pytest.raises(DatasetError, match="page 'p1' has media twice"):
        open_pool(tmp_path, {}, tmp_path / "cache")


@pytest.mark.parametrize(
    ("columns", "renamed", "sentence"),
    [
        (["id", "frames"], {}, "lacks column 'domain'; it has id, frames; rename columns in the recipe"),
        (["id", "domain"], {}, "lacks any of the columns frames, video, paths"),
        (["id", "domain", "frames"], {"text": "title"}, "lacks column 'title'"),
        (["id", "domain", "frames"], {"title": "text"}, "no column 'title' to rename; expected one of id, domain"),
    ],
)
def test_columns_that_are_not_there_are_named(columns, renamed, sentence, tmp_path):
    pq.write_table(pa.table({name: ["1"] for name in columns}), tmp_path / "pool.parquet")
    with pytest.raises(UsageError, match=sentence):
        open_pool(tmp_path, renamed, tmp_path / "cache")


def test_what_is_no_pool_is_refused(tmp_path):
    for path, sentence in ((tmp_path / "x", "no such file or folder"), (tmp_path, "no raw pool here")):
        with pytest.raises(UsageError, match=sentence):
            open_pool(path, {}, tmp_path / "cache")
    (tmp_path / "pool.parquet").write_text("no")
    with pytest.raises(UsageError, match="is not Parquet"):
        open_pool(tmp_path, {}, tmp_path / "cache")
    for name, column in (("a", "domain"), ("b", "frames")):
        pq.write_table(pa.table({column: ["1"]}), tmp_path / f"{name}.parquet")
    (tmp_path / "pool.parquet").unlink()
    with pytest.raises(UsageError, match=r"b.parquet: has other columns than a.parquet"):
        open_pool(tmp_path, {}, tmp_path / "cache")


def test_a_pool_with_other_names_and_integer_ids_is_read(tmp_path):
    n_rows = len(pq.read_table(POOL / "answers.parquet"))
    pool = open_pool(POOL, {"text": "title", "frames": "image"}, tmp_path)
    assert [(file.path.name, file.rows) for file in pool.files] == [("pool.parquet", n_rows)]
    batch = pq.read_table(pool.files[0].path).to_batches()[0]
    kept = ingest_rows(batch, IngestOptions(str(pool.root), dict(pool.columns))).kept
    assert kept.num_rows == n_rows
    assert all(Path(row["frames"][0]["path"]).is_file() and row["id"].isdigit() for row in kept.to_pylist())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("text", "keep names 'text', a column that rows have anyway"),
        ("brand", "has no column 'brand' to keep; it has id"),
    ],
)
def test_a_column_that_cannot_be_kept_is_named(name, sentence, tmp_path):
    pq.write_table(pa.table({"id": ["a"], "domain": ["page"], "frames": ["a.jpg"]}), tmp_path / "pool.parquet")
    with pytest.raises(UsageError, match=sentence):
        open_pool(tmp_path, {}, tmp_path / "cache", [name])
