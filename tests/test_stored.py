"""What stands in `tests/data` is small, says where it comes from, and is what its tests take it for."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.stored import DATA, release_counts

LARGEST = 6 << 20
"""All of it, in bytes: what every clone of the repository carries."""


def files() -> list[Path]:
    return [path for path in DATA.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_stored_data_stay_small():
    assert sum(path.stat().st_size for path in files()) < LARGEST


@pytest.mark.parametrize("folder", [path for path in sorted(DATA.iterdir()) if path.is_dir() and path.name[0] != "_"])
def test_each_folder_says_where_it_comes_from_and_how_it_is_made(folder):
    text = (folder / "README.md").read_text("utf-8")
    assert "licence" in text
    assert "python -m tests.data.make_" in text


def test_the_stored_photos_are_whole_and_ten_or_more():
    photos = sorted((DATA / "grocery" / "pool" / "images").glob("*.jpg"))
    for path in photos:
        with Image.open(path) as image:
            image.load()
            assert max(image.size) <= 320
    assert len(photos) >= 10


def test_answers_and_rows_of_the_stored_pool_belong_together():
    rows, answers = (pq.read_table(DATA / "grocery" / "pool" / f"{name}.parquet") for name in ("pool", "answers"))
    assert sorted(rows["id"].to_pylist()) == sorted(answers["id"].to_pylist())
    groups = [group for group in answers["dup_group"].to_pylist() if group is not None]
    assert {groups.count(group) for group in groups} == {2, 3}


def test_the_stored_release_has_every_kind_of_sample_in_both_splits():
    assert all(n >= 4 for kinds in release_counts().values() for n in kinds.values())


def test_golden_arrays_come_in_the_precision_in_which_they_were_recorded():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.stored import tensors

    assert {array.dtype for array in tensors("cope/xclip").values()} == {torch.float32}
    assert {array.dtype for array in tensors("clip4clip/clip").values()} == {torch.float16, torch.float32}
