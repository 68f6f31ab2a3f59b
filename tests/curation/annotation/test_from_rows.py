from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.annotation.from_rows import name_items, pair_items, read_gold, read_rows, with_gold
from rope.errors import UsageError


def row(name, domain="page", hint="h1", **more):
    frames = [{"bytes": None, "path": f"{name}-{i}.jpg"} for i in range(3)]
    return {
        "id": name, "domain": domain, "text": f"text of {name}", "frames": frames, "video": None,
        "category": "cups", "product_hint": hint, **more,
    }  # fmt: skip


def test_clips_are_shown_beside_the_page_of_their_hint():
    rows = [
        row("v2", "video"),
        row("p2"),
        row("p1"),
        row("l1", "live"),
        row("v9", "video", "alone"),
        row("x", hint=None),
    ]
    items = list(pair_items(rows))
    assert [item.item_id for item in items] == ["p1|l1", "p1|v2"]
    assert items[1].texts == {"page": "text of p1", "video": "text of v2"}
    assert items[1].media["video"] == ("v2-0.jpg", "v2-1.jpg", "v2-2.jpg")
    assert items == list(pair_items(rows[::-1]))


def test_a_page_that_comes_later_asks_nothing_again():
    before = [item.item_id for item in pair_items([row("p5"), row("v2", "video")])]
    now = [row("p5"), row("p1"), row("v2", "video"), row("v3", "video")]
    assert [item.item_id for item in pair_items(now, before)] == ["p5|v2", "p5|v3"]
    assert [item.item_id for item in pair_items(now[1:], before)] == ["p1|v2", "p1|v3"]


def test_frames_that_show_the_product_are_shown():
    (item,) = name_items([row("v1", "video", shown_frames=[0, 2], weight=12.5)])
    assert (item.media["video"], item.weight, item.stratum) == (("v1-0.jpg", "v1-2.jpg"), 12.5, "video/cups")


def test_the_digest_changes_with_the_media():
    same, again, other = (
        next(name_items([row("p1", media_sha256=h)])) for h in (list("abc"), list("abc"), list("abd"))
    )
    assert same.digest == again.digest != other.digest
    assert same.task_id == other.task_id


def test_media_inside_rows_become_files_once(tmp_path):
    frames = [{"bytes": b"x", "path": None}, {"bytes": None, "path": "/pool/a.jpg"}]
    rows = [row(name, frames=frames, video={"bytes": b"v", "path": None}) for name in ("p1", "p2", "p3")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for _ in range(2):
        items = list(name_items(read_rows([tmp_path / "rows.parquet"], tmp_path / "media", only={"p1", "p3"})))
    assert [item.item_id for item in items] == ["p1", "p3"]
    stored, given = items[0].media["page"]
    assert (Path(stored).read_bytes(), given) == (b"x", "/pool/a.jpg")
    assert Path(items[0].videos["page"]).read_bytes() == b"v"
    assert len([path for path in (tmp_path / "media").rglob("*") if path.is_file()]) == 2


def test_known_answers_are_put_on_their_items(tmp_path):
    path = tmp_path / "gold.csv"
    path.write_text("item_id,answer\np1|v1,same\np1|v2,\n")
    items = list(pair_items([row("p1"), row("v1", "video"), row("v2", "video")]))
    assert [item.gold for item in with_gold(items, read_gold(path))] == ["same", None]
    with pytest.raises(UsageError, match="known answers for 1 items that are not there"):
        with_gold(items, {"nobody": "same"})


def test_a_table_of_known_answers_has_two_columns(tmp_path):
    path = tmp_path / "gold.csv"
    path.write_text("id,answer\n")
    with pytest.raises(UsageError, match="expected the columns item_id and answer, got id, answer"):
        read_gold(path)
