from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.domain import Frame
from rope.errors import DatasetError, UsageError
from rope.media.frames import decode_frame
from rope.synthetic.copies import TRANSFORMS
from rope.synthetic.planting import POISONS
from rope.synthetic.pool import ANSWER_SCHEMA, POOL_SCHEMA, write_pool
from tests.synthetic.folders import hashes

Record = dict[str, Any]


@pytest.fixture(scope="session")
def rows(pool) -> list[Record]:
    """Rows of the pool and their answers in one record each, ordered by id."""
    answers = {row["id"]: row for row in pq.read_table(pool / "answers.parquet").to_pylist()}
    both = [row | answers[row["id"]] for row in pq.read_table(pool / "pool.parquet").to_pylist()]
    return sorted(both, key=lambda row: row["id"])


def _thumbnail(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((16, 16)), dtype=float).ravel()


def test_the_files_have_the_documented_columns_and_the_same_ids(pool):
    table, answers = pq.read_table(pool / "pool.parquet"), pq.read_table(pool / "answers.parquet")
    assert table.schema.equals(POOL_SCHEMA)
    assert answers.schema.equals(ANSWER_SCHEMA)
    assert sorted(table["id"].to_pylist()) == sorted(set(answers["id"].to_pylist()))
    assert table["id"].to_pylist() != sorted(table["id"].to_pylist())


def test_the_number_of_workers_does_not_change_a_byte(tmp_path):
    for workers in (1, 2):
        write_pool(tmp_path / str(workers), products=4, seed=1, workers=workers, progress=False)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")


def test_the_planted_shares_are_as_documented_and_no_row_has_two_faults(rows):
    n_samples = sum(row["dup_role"] != "copy" for row in rows)
    assert sum(row["dup_role"] == "copy" for row in rows) == round(0.1 * n_samples)
    assert sum(row["is_mismatch"] for row in rows) == round(0.1 * n_samples)
    assert {row["poison"] for row in rows} == {None, *POISONS}
    assert all(row["is_mismatch"] + bool(row["dup_role"]) + bool(row["poison"]) <= 1 for row in rows)


def test_a_wrong_text_is_the_true_text_of_another_product(rows):
    owners = defaultdict(set)
    for row in rows:
        owners[row["domain"], row["true_text"]].add((row["product"], row["category"]))
    for row in rows:
        if not row["is_mismatch"]:
            assert row["text"] == row["true_text"]
            continue
        donors = owners[row["domain"], row["text"]]
        same_category = row["mismatch_kind"] == "near"
        assert any(p != row["product"] and (c == row["category"]) == same_category for p, c in donors)


def test_every_transform_occurs_and_a_copy_looks_like_its_original(pool, rows):
    copies = [row for row in rows if row["dup_role"] == "copy"]
    originals = {row["dup_group"]: row for row in rows if row["dup_role"] == "original"}
    assert {row["transform"] for row in copies} == set(TRANSFORMS)
    for row in copies:
        original = originals[row["dup_group"]]
        assert (row["product"], row["domain"], row["text"]) == tuple(original[k] for k in ("product", "domain", "text"))
        pairs = zip(row["frames"], original["frames"], strict=True)
        likeness = [np.corrcoef(_thumbnail(pool / a), _thumbnail(pool / b))[0, 1] for a, b in pairs]
        assert min(likeness) > 0.8


def test_the_poisoned_frames_and_no_others_cannot_be_read(pool, rows):
    unreadable = set()
    for path in (path for row in rows for path in row["frames"]):
        try:
            decode_frame(Frame(path=str(pool / path)))
        except DatasetError:
            unreadable.add(path)
    assert unreadable == {row["poison_frame"] for row in rows if row["poison"]}


def test_the_pictures_on_disk_are_those_named_but_for_the_missing(pool, rows):
    named = Counter(path for row in rows for path in row["frames"])
    missing = {row["poison_frame"] for row in rows if row["poison"] == "missing"}
    assert set(named.values()) == {1}
    assert {f"images/{path.name}" for path in (pool / "images").iterdir()} == set(named) - missing


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_pool(tmp_path, products=2, seed=0, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
