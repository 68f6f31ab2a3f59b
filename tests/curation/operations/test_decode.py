import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.operations.decode import Decode, decode
from rope.curation.pipeline.ingest import ROW_SCHEMA
from rope.curation.pipeline.operation import Outcome
from rope.curation.pipeline.runner import run_recipe
from rope.errors import UsageError
from rope.synthetic.pool import write_pool
from tests.curation.pools import column, local, recipe_of
from tests.stored import POOL


def jpeg(width=30, height=20):
    stored = io.BytesIO()
    Image.new("RGB", (width, height), (200, 40, 10)).save(stored, "JPEG")
    return stored.getvalue()


def look(*files, video=None, **options) -> Outcome:
    """Decode one row with these frames: bytes, or the path of a file."""
    frames = [{"bytes": f, "path": None} if isinstance(f, bytes) else {"bytes": None, "path": str(f)} for f in files]
    row = {"id": "1", "domain": "page", "frames": frames, "video": video}
    return decode(pa.RecordBatch.from_pylist([row], schema=ROW_SCHEMA), Decode(**options))


def test_a_row_that_can_be_read_gets_hashes_and_the_shortest_side():
    outcome = look(jpeg(), jpeg(50, 60))
    kept = outcome.kept.to_pylist()[0]
    assert kept["media_sha256"] == [hashlib.sha256(data).hexdigest() for data in (jpeg(), jpeg(50, 60))]
    assert (kept["shortest_side"], outcome.rejects.num_rows) == (20, 0)


@pytest.mark.parametrize(
    ("files", "options", "reason", "score"),
    [
        ([jpeg(), b"<html>"], {}, "unreadable_image", None),
        ([jpeg()[:-200]], {}, "unreadable_image", None),
        (["/nowhere/a.jpg"], {}, "unreadable_image", None),
        ([jpeg(), jpeg(9, 40)], {"min_side": 10}, "too_small", 9.0),
        ([], {}, "no_media", None),
    ],
)
def test_a_row_that_cannot_is_rejected_with_its_reason(files, options, reason, score):
    outcome = look(*files, **options)
    assert outcome.kept.num_rows == 0
    assert [(row["reason"], row["score"]) for row in outcome.rejects.to_pylist()] == [(reason, score)]


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    rejects = look(tmp_path / "a.jpg", max_bytes=100).rejects.to_pylist()[0]
    assert (rejects["reason"], rejects["score"]) == ("too_large", float(len(jpeg())))
    assert rejects["detail"] == str(tmp_path / "a.jpg")


def test_a_video_file_is_decoded_to_a_frame(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    outcome = look(video={"bytes": b"no video", "path": None})
    assert outcome.rejects["reason"].to_pylist() == ["unreadable_video"]


def test_no_rows_give_no_rows_with_the_same_columns():
    nothing = decode(pa.RecordBatch.from_pylist([], schema=ROW_SCHEMA), Decode())
    assert nothing.kept.schema.equals(look(jpeg()).kept.schema)
    assert nothing.kept.num_rows == nothing.rejects.num_rows == 0


def test_options_out_of_range_are_refused():
    with pytest.raises(UsageError, match="min_side is 0"):
        Decode(min_side=0)


def test_the_poisoned_rows_of_a_synthetic_pool_are_rejected_and_no_others(tmp_path):
    write_pool(tmp_path / "pool", products=12, seed=3, workers=1, progress=False)
    (tmp_path / "pool" / "pool.parquet").rename(tmp_path / "pool" / "rows.parquet")
    answers = pq.read_table(tmp_path / "pool" / "answers.parquet").to_pylist()
    (tmp_path / "pool" / "answers.parquet").unlink()
    (tmp_path / "pool.parquet").symlink_to(tmp_path / "pool" / "rows.parquet")
    recipe = recipe_of(tmp_path, 'use = "decode"', shard_rows=50)
    (tmp_path / "images").symlink_to(tmp_path / "pool" / "images")
    run_recipe(recipe, local(), progress=False)
    assert sorted(column(recipe, "decode", "id", "rejects")) == sorted(row["id"] for row in answers if row["poison"])
    details = "\n".join(str(detail) for detail in column(recipe, "decode", "detail", "rejects"))
    assert "object at 0x7" not in details


def test_photos_are_all_kept(tmp_path):
    rows = pq.read_table(POOL / "pool.parquet").slice(0, 40).to_pylist()
    for row in rows:
        outcome = look(POOL / row["image"], min_side=100)
        assert outcome.kept.num_rows == 1
