"""Every fault of a dataset directory is found, with its place."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.dataset.manifest import read_manifest
from rope.dataset.validate import OFFICIAL_COUNTS, validate
from rope.errors import DatasetError
from tests.dataset.conftest import jpeg, small_tables, write_tables

PAGES = "pages/train-00000-of-00002.parquet"


def found(directory, **options):
    return [(problem.where, problem.what) for problem in validate(directory, **options)]


def change_manifest(directory, **changes):
    path = directory / "rope.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_sound_dataset_has_no_problem(small):
    assert found(small, decode=True) == []


@pytest.mark.parametrize(
    ("table", "row", "changes", "where", "what"),
    [
        ("pages/train", 1, {"text": " \t"}, "pages/train", "1 texts are blank or the mark 空.*: 10"),
        ("lives/train", 1, {"text": "空"}, "lives/train", "1 texts are blank or the mark 空.*: 6"),
        ("pages/train", 2, {"product_id": None}, "pages/train", "1 rows have a null or blank .*00001.* row 0"),
        ("pages/train", 2, {"product_id": "7"}, "pages/train", "1 samples are not listed with their product.*: 11"),
        ("videos/train", 1, {"product_id": "1"}, "products/train", "1 listed video ids are not in videos/train.*: 12"),
        ("lives/validation", 0, {"category": "x"}, "lives/validation", "1 samples have another category.*: 31"),
        ("pages/train", 2, {"sample_id": "8"}, "pages/train", "1 rows are out of canonical order .*: 8"),
        ("products/train", 1, {"product_id": "0"}, "products/train", "1 rows are out of canonical order .*: 0"),
        ("pages/train", 1, {"sample_id": "9"}, "pages", "1 sample_ids appear more than once.*: 9"),
        ("pages/validation", 0, {"sample_id": "11"}, "pages", "1 sample_ids appear more than once.*: 11"),
        ("products/train", 1, {"product_id": "21"}, "products", "1 product_ids appear more than once.*: 21"),
        ("products/train", 1, {"live_ids": []}, "products", "1 products have no live .the manifest declares 0.: 2"),
        ("videos/train", 0, {"frames": [], "frame_times": []}, "videos/train", "1 samples have no frames: 9"),
        ("videos/train", 0, {"frame_times": [0, 9]}, "videos/train", "1 samples have other numbers of frames .*: 9"),
        ("videos/train", 0, {"frame_times": [0, 9, 5]}, "videos/train", "1 samples have frame_times .* ascend: 9"),
        ("videos/train", 0, {"frame_times": None}, "videos/train", "1 samples have other numbers of frames .*: 9"),
    ],
)
def test_a_wrong_row_is_named(table, row, changes, where, what, spoilt):
    import re

    problems = found(spoilt(table, row, changes))
    assert any(place.startswith(where) and re.search(what, text) for place, text in problems), problems


@pytest.mark.parametrize(
    ("image", "decode", "is_found"),
    [
        ({"bytes": b"no image", "path": "a.jpg"}, False, "no image of a known format; begins with b'no image'"),
        ({"bytes": None, "path": "a.jpg"}, False, "no bytes"),
        ({"bytes": jpeg(3, size=64)[:-20], "path": "a.jpg"}, True, "truncated"),
        ({"bytes": jpeg(3, size=64)[:-20], "path": "a.jpg"}, False, None),
    ],
)
def test_images_are_read_by_header_or_to_the_end(image, decode, is_found, spoilt):
    problems = found(spoilt("pages/train", 0, {"frames": [image]}), decode=decode)
    if is_found is None:
        assert problems == []
    else:
        [(where, what)] = problems
        assert where == PAGES
        assert what.startswith("1 images cannot be read: 9 frame 0 (")
        assert is_found in what


def test_a_page_has_one_frame(spoilt):
    frames = [{"bytes": jpeg(1), "path": "a"}] * 2
    [(where, what)] = found(spoilt("pages/train", 0, {"frames": frames, "frame_times": [0, 1]}))
    assert (where, what) == (PAGES, "1 pages have more than one frame: 9")


def test_files_of_a_dataset_by_reference_must_exist(tmp_path):
    tables = small_tables()
    for rows in tables.values():
        for row in rows:
            for frame in row.get("frames", []):
                image = tmp_path / frame["path"]
                image.write_bytes(frame["bytes"])
                frame |= {"bytes": None, "path": str(image)}
    directory = write_tables(tmp_path / "d", tables, media="reference")
    assert found(directory, decode=True) == []
    (tmp_path / "10-0.jpg").unlink()
    [(where, what)] = found(directory)
    assert where == PAGES
    assert "10 frame 0" in what
    assert "No such file" in what


def test_missing_and_extra_files_are_listed_but_hidden_ones_are_left_alone(small):
    (small / "README.md").unlink()
    (small / ".git").mkdir()
    for name in ("pages/.x.part", ".git/index", *(f"{i}.txt" for i in range(5))):
        (small / name).write_text("")
    what = "6 files are not in the manifest, so no part of the dataset: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, …"
    assert found(small) == [("README.md", "is missing; build the dataset again"), (str(small), what)]


def test_a_missing_shard_stops_only_the_comparison_of_rows(small):
    (small / PAGES).unlink()
    (small / "notes.txt").write_text("")
    problems = found(small)
    assert [where for where, _ in problems] == [PAGES, str(small), str(small)]
    assert "ids were not compared" in problems[-1][1]


def test_changed_bytes_are_found_by_size_and_by_hash(small):
    data = bytearray((small / PAGES).read_bytes())
    data[len(data) // 2] ^= 1
    (small / PAGES).write_bytes(data)
    assert any(where == PAGES and "SHA-256" in what for where, what in found(small))
    (small / PAGES).write_bytes(b"PAR1")
    whats = [what for where, what in found(small) if where == PAGES]
    assert "has 4 bytes" in whats[0]
    assert "not a readable Parquet" in whats[1]


def test_a_shard_of_another_schema_is_described_column_by_column(small):
    table = pq.read_table(small / PAGES)
    times = table.column_names.index("frame_times")
    changed = table.set_column(times, "frame_times", pa.array([["0"], ["0"]])).drop_columns("category")
    pq.write_table(changed.append_column("price", pa.array([1, 2])).replace_schema_metadata(None), small / PAGES)
    whats = " ".join(what for where, what in found(small) if where == PAGES)
    for part in ("column frame_times is list", "has no column category", "unknown column price", "`datasets`"):
        assert part in whats


def test_counts_must_agree_with_the_shards(small):
    manifest = json.loads((small / "rope.json").read_text())
    manifest["counts"]["train"]["pages"] = 4
    manifest["shards"][PAGES]["rows"] = 1
    change_manifest(small, counts=manifest["counts"], shards=manifest["shards"])
    assert found(small) == [
        ("rope.json", "pages/train: shards have 2 rows, counts say 4"),
        (PAGES, "has 2 rows, the manifest says 1"),
    ]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(1, []), (3, [("products", "1 products have no live (the manifest declares 3): 2")])],
)
def test_products_without_a_domain_are_no_problem_where_the_manifest_counts_them(declared, expected, tmp_path):
    tables = small_tables()
    tables["products/train"][1]["live_ids"] = []
    del tables["lives/train"][1]
    directory = write_tables(tmp_path / "d", tables)
    change_manifest(directory, faults={"no_live": declared})
    assert found(directory) == expected


def test_a_fingerprint_of_other_rows_is_found(small):
    change_manifest(small, fingerprint="0" * 64)
    [(where, what)] = found(small)
    assert where == "rope.json"
    assert what.startswith(f"fingerprint is {'0' * 64}, but the rows give ")


def test_official_sizes_are_compared_one_by_one(small):
    problems = found(small, official=True)
    assert len(problems) == 8
    assert ("products/train", "has 2 rows; ROPE as published has 187,431") in problems
    assert ("lives/validation", "has 2 rows; ROPE as published has 30,981") in problems


def test_official_sizes_are_those_of_the_paper():
    train, validation = OFFICIAL_COUNTS["train"], OFFICIAL_COUNTS["validation"]
    assert train["products"] + validation["products"] == 189_958
    assert train["videos"] + validation["videos"] == 5_867_526


def test_all_problems_come_at_once_and_examples_are_few(tmp_path):
    tables = small_tables()
    tables["pages/train"] = [
        tables["pages/train"][0] | {"sample_id": str(100 + i), "text": "", "frames": [], "frame_times": []}
        for i in range(7)
    ]
    problems = dict(found(write_tables(tmp_path / "d", tables, rows_per_shard=9)))
    assert problems["pages/train-00000-of-00001.parquet"] == "7 samples have no frames: 100, 101, 102, 103, 104, …"
    assert "products/train" in problems


def test_progress_is_told_of_all_bytes(small):
    seen: list[int] = []
    validate(small, advance=seen.append)
    assert sum(seen) == sum(shard.bytes for shard in read_manifest(small).shards.values())


def test_without_a_manifest_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(DatasetError, match="not a finished dataset"):
        validate(tmp_path)
