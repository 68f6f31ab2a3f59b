from dataclasses import fields
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.dedup import stage
from rope.curation.dedup.near_duplicate_images import CopyRules
from rope.curation.dedup.stage import MergeRows, merge_rows, plan_merge
from rope.curation.operations.thumbnail import Thumbnail, make_thumbnails
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.errors import UsageError
from tests.curation.pools import column, local
from tests.stored import POOL


def write(path, rows):
    """Rows (id, domain, product, media, vector) as a stage keeps them."""
    columns = {
        "id": [row[0] for row in rows],
        "domain": [row[1] for row in rows],
        "product_hint": pa.array([row[2] for row in rows], pa.string()),
        "session": pa.nulls(len(rows), pa.string()),
        "media_sha256": [[row[3]] for row in rows],
        "embedding": pa.array([np.asarray(row[4], np.float32) for row in rows], pa.list_(pa.float32())),
        "brand": [row[5] if len(row) > 5 else None for row in rows],
    }
    pq.write_table(pa.table(columns), path)
    return path


UP, NEAR, SIDE = (1.0, 0.0), (0.999, 0.045), (0.0, 1.0)
ROWS = [
    ("p1", "page", "a", "m1", UP, "x"),
    ("p2", "page", "b", "m2", NEAR, "x"),
    ("p3", "page", None, "m3", SIDE, "x"),
    ("v1", "video", "c", "m4", UP, "y"),
    ("p4", "page", "d", "m3", SIDE, "x"),
]
NO_COPIES = MergeRows({"page-page": 0.99}, copies=False)


def groups(paths, options):
    rows = [row for outcome in merge_rows(paths, options) for row in outcome.kept.to_pylist()]
    return {row["id"]: row["product_id"] for row in rows}


def evidence(paths):
    rows = [row for outcome in merge_rows(paths, NO_COPIES) for row in outcome.kept.to_pylist()]
    return {row["id"]: row["ties"] for row in rows}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (NO_COPIES, {"p1": "a", "p2": "a", "p3": "d", "v1": "c", "p4": "d"}),
        (MergeRows({}, copies=False), {"p1": "a", "p2": "b", "p3": "e", "v1": "c", "p4": "d"}),
        (MergeRows(copies=False), {"p1": "a", "p2": "b", "p3": "d", "v1": "c", "p4": "d"}),
        (MergeRows({"page-video": 1.0}, copies=False), {"p1": "a", "p2": "b", "p3": "e", "v1": "a", "p4": "d"}),
        (
            MergeRows({"page-video": 1.0}, copies=False, vetoes=["brand"]),
            {"p1": "a", "p2": "b", "p3": "e", "v1": "c", "p4": "d"},
        ),
    ],
)
def test_evidence_gives_rows_one_product(options, expected, tmp_path):
    found = groups([write(tmp_path / "rows.parquet", ROWS)], options)
    merged = [{name for name, group in found.items() if group == one} for one in set(found.values())]
    wanted = [{name for name, group in expected.items() if group == one} for one in set(expected.values())]
    assert sorted(map(sorted, merged)) == sorted(map(sorted, wanted))


@pytest.mark.parametrize(("brands", "is_one"), [("xx", True), ("xy", False), ("xyy", True), ("xyx", False)])
def test_a_veto_needs_a_value_on_which_all_rows_of_a_product_agree(brands, is_one, tmp_path):
    pages = [("p1", "page", "a", "m1", UP), ("p2", "page", "b", "m2", NEAR), ("v1", "video", "a", "m3", SIDE)]
    rows = [(*row, brand) for row, brand in zip(pages, brands, strict=False)]
    for order in (rows, rows[::-1]):
        options = MergeRows({"page-page": 0.99}, copies=False, vetoes=["brand"])
        found = groups([write(tmp_path / "rows.parquet", order)], options)
        assert (found["p1"] == found["p2"]) == is_one


def test_rows_keep_the_evidence_with_its_rows_score_rule_and_verdict(tmp_path):
    """p2 and v1 resemble p1; v1 is of another brand; p3 shows the files of p4."""
    options = MergeRows({"page-page": 0.99, "page-video": 0.95}, copies=False, vetoes=["brand"])
    ties = {
        row["id"]: [tuple(tie.values()) for tie in row["ties"]]
        for outcome in merge_rows([write(tmp_path / "rows.parquet", ROWS)], options)
        for row in outcome.kept.to_pylist()
        if row["ties"]
    }
    pages, videos = "a cosine of 0.99 or more (page-page)", "a cosine of 0.95 or more (page-video)"
    assert ties["p1"] == [
        ("c", "v1", "embedding", 1.0, videos, "veto: brand", "x and y"),
        ("b", "p2", "embedding", 0.999, pages, "merged", None),
    ]
    assert ties["v1"] == [
        ("a", "p1", "embedding", 1.0, videos, "veto: brand", "y and x"),
        ("b", "p2", "embedding", 0.999, videos, "veto: brand", "y and x"),
    ]
    assert ("d", "p4", "same media", 1.0, "the same files") in [tie[:5] for tie in ties["p3"]]
    assert ("p3", "p3", "same media", 1.0, "the same files") in [tie[:5] for tie in ties["p4"]]


def test_the_order_of_the_rows_changes_no_product(tmp_path):
    whole = groups([write(tmp_path / "rows.parquet", ROWS)], NO_COPIES)
    parts = [write(tmp_path / f"{i}.parquet", part) for i, part in enumerate((ROWS[3:][::-1], ROWS[:3]))]
    assert groups(parts, NO_COPIES) == whole
    assert evidence(parts) == evidence([write(tmp_path / "rows.parquet", ROWS)])


def test_what_an_option_needs_has_to_be_there(tmp_path):
    path = write(tmp_path / "rows.parquet", ROWS)
    with pytest.raises(UsageError, match="no column 'thumbnail'"):
        plan_merge([path], MergeRows())


def test_the_column_of_vectors_is_the_one_named(tmp_path):
    path = write(tmp_path / "rows.parquet", ROWS)
    table = pq.read_table(path)
    pq.write_table(table.append_column("other", pa.array([UP] * len(ROWS), pa.list_(pa.float32()))), path)
    thresholds = {"page-page": 0.99}
    assert len(set(groups([path], MergeRows(thresholds, copies=False)).values())) == 3
    assert len(set(groups([path], MergeRows(thresholds, "other", copies=False)).values())) == 2
    with pytest.raises(UsageError, match="no column 'others' of vectors"):
        plan_merge([path], MergeRows(thresholds, "others", copies=False))
    with pytest.raises(UsageError, match="the column 'brand' holds string; expected lists of float32"):
        plan_merge([path], MergeRows(thresholds, "brand", copies=False))


def test_every_rule_of_copies_is_an_option():
    given = {f"copy_{field.name}": field.default for field in fields(CopyRules)}
    changed = {name: value - 0.01 if isinstance(value, float) else value + 1 for name, value in given.items()}
    assert MergeRows(**given).copy_rules() == CopyRules()
    found = MergeRows(**changed).copy_rules()
    assert {f"copy_{field.name}": getattr(found, field.name) for field in fields(CopyRules)} == changed
    with pytest.raises(UsageError, match="copy_candidates is 50 and max_neighbours 50; expected more"):
        MergeRows(copy_candidates=50)


def test_above_some_size_the_notes_of_the_merge_say_how_much_its_index_has_found(tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    path, options = (
        write(tmp_path / "rows.parquet", ROWS),
        MergeRows({"page-page": 0.99, "page-video": 0.9}, copies=False),
    )
    (small,) = merge_rows([path], options)
    monkeypatch.setattr(stage, "_LARGEST_UNINDEXED", 2)
    (large,) = merge_rows([path], options)
    assert {name: note["method"] for name, note in small.notes.items()} == {
        "search for near pairs, page-page": "exact",
        "search for near pairs, page-video": "exact",
    }
    (pages, videos) = large.notes.values()
    assert (pages["method"], pages["found"], pages["recall"]) == ("ivf", 2, 1.0)
    assert (videos["method"], videos["found"], videos["pairs"]) == ("ivf", 2, 2)
    assert large.kept.equals(small.kept)


def test_the_search_for_copies_is_measured_too(tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    path = write(tmp_path / "rows.parquet", ROWS)
    pixels = np.random.default_rng(0).integers(0, 256, (len(ROWS), 8, 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    thumbnails = pa.array([one.astype(np.uint8).tobytes() for one in pixels[[0, 0, 1, 2, 2]]])
    pq.write_table(pq.read_table(path).append_column("thumbnail", thumbnails), path)
    monkeypatch.setattr(stage, "_LARGEST_UNINDEXED", 1)
    (outcome,) = merge_rows([path], MergeRows())
    notes = {name: (note["method"], note["found"], note["pairs"]) for name, note in outcome.notes.items()}
    assert notes["search for near pairs, copies"][0] == "ivf"
    assert notes["search for near pairs, copies"][1] == notes["search for near pairs, copies"][2]
    assert notes["search for near pairs, mirrored copies"][0] == "ivf"


def test_options_out_of_range():
    with pytest.raises(UsageError, match="thresholds has 'page_page'"):
        MergeRows({"page_page": 0.9})


def test_thumbnails_are_of_the_frame_that_shows_the_product(tmp_path):
    for i, colour in enumerate(("red", "blue", "lime")):
        Image.new("RGB", (50, 40), colour).save(tmp_path / f"{i}.png")
    frames = [{"bytes": None, "path": str(tmp_path / f"{i}.png")} for i in range(3)]
    rows = pa.RecordBatch.from_pylist(
        [
            {"id": "1", "domain": "video", "frames": frames, "video": None, "shown_frames": [2]},
            {"id": "2", "domain": "video", "frames": frames, "video": None, "shown_frames": None},
            {
                "id": "3",
                "domain": "page",
                "frames": [{"bytes": b"?", "path": None}],
                "video": None,
                "shown_frames": [0],
            },
        ]
    )
    outcome = make_thumbnails(rows, Thumbnail())
    pixels = [tuple(np.frombuffer(row["thumbnail"], np.uint8)[:3]) for row in outcome.kept.to_pylist()]
    assert pixels == [(0, 255, 0), (0, 0, 255)]
    assert outcome.rejects["reason"].to_pylist() == ["unreadable_media"]


def test_copies_in_a_real_pool_become_one_product(tmp_path):
    pq.write_table(
        (pool := pq.read_table(POOL / "pool.parquet")).set_column(0, "id", pool["id"].cast(pa.string())),
        tmp_path / "pool.parquet",
    )
    (tmp_path / "images").symlink_to(POOL / "images")
    (tmp_path / "recipe.toml").write_text(
        '[pool]\npath = "pool.parquet"\ncolumns = { text = "title", frames = "image" }\n'
        '[[stage]]\nuse = "decode"\n'
        '[[stage]]\nuse = "rope.curation.operations.thumbnail:THUMBNAIL"\n'
        '[[stage]]\nuse = "rope.curation.dedup.stage:MERGE"\n'
    )
    recipe = read_recipe(tmp_path / "recipe.toml")
    run_recipe(recipe, local(2), progress=False)
    owner = dict(zip(column(recipe, "merge", "id"), column(recipe, "merge", "product_id"), strict=True))
    answers = {str(row["id"]): row["dup_group"] for row in pq.read_table(POOL / "answers.parquet").to_pylist()}
    planted = {
        frozenset(pair)
        for pair in combinations(answers, 2)
        if answers[pair[0]] is not None and answers[pair[0]] == answers[pair[1]]
    }
    found = {frozenset(pair) for pair in combinations(owner, 2) if owner[pair[0]] == owner[pair[1]]}
    assert len(owner) == len(answers)
    assert (len(found & planted) / len(found), len(found & planted) / len(planted)) == (1.0, 1.0)
