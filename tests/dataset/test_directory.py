"""Labels, products and samples of a dataset directory."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rope.dataset.directory import SampleLabels, iter_samples, read_labels, read_products
from rope.domain import Frame
from rope.errors import DatasetError
from tests.dataset.conftest import sample, small_tables, write_tables


def test_labels_hold_the_ids_of_a_split_in_canonical_order(small):
    assert read_labels(small, "train") == {
        "page": SampleLabels(["9", "10", "11"], ["1", "1", "2"]),
        "video": SampleLabels(["9", "12"], ["1", "2"]),
        "live": SampleLabels(["5", "6"], ["1", "2"]),
    }


def test_products_have_a_category_or_none(spoilt):
    directory = spoilt("products/validation", 1, {"category": None})
    assert read_products(directory, "validation") == {"21": "fruit", "22": None}


def test_a_sample_has_its_text_and_its_frames_in_order(small):
    [[first, second]] = iter_samples(small, "video", "train", batch_size=5)
    assert (first.sample_id, first.domain, first.text) == ("9", "video", "text of 9")
    assert first.frames == tuple(
        Frame(frame["bytes"], frame["path"]) for frame in small_tables()["videos/train"][0]["frames"]
    )
    assert [len(s.frames) for s in (first, second)] == [3, 2]


def test_frames_may_be_paths_and_texts_absent(spoilt):
    directory = spoilt("pages/train", 0, {"text": None, "frames": [{"bytes": None, "path": "/images/a.jpg"}]})
    first = next(iter_samples(directory, "page", "train", batch_size=1))[0]
    assert (first.text, first.frames) == (None, (Frame(path="/images/a.jpg"),))


@pytest.fixture(scope="module")
def eleven(tmp_path_factory):
    """Eleven pages in shards of four, in row groups of one."""
    rows = [sample(str(i), "1", 1) for i in range(10, 21)]
    return write_tables(tmp_path_factory.mktemp("d"), small_tables() | {"pages/train": rows}, rows_per_shard=4)


@given(start=st.integers(0, 13), batch_size=st.integers(1, 13))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batches_from_any_row_are_cut_at_multiples_of_the_batch_size(start, batch_size, eleven):
    rows = range(11)
    cuts = range(0, 11, batch_size)
    whole = [[str(10 + row) for row in rows[cut : cut + batch_size] if row >= start] for cut in cuts]
    batches = iter_samples(eleven, "page", "train", start=start, batch_size=batch_size)
    assert [[s.sample_id for s in batch] for batch in batches] == [batch for batch in whole if batch]


def test_row_groups_before_the_start_are_not_read(eleven, monkeypatch):
    import pyarrow.parquet as pq

    read: list[int] = []
    original = pq.ParquetFile.iter_batches

    def noted(self, batch_size, row_groups, columns):
        read.extend(row_groups)
        return original(self, batch_size, row_groups=row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    list(iter_samples(eleven, "page", "train", start=6, batch_size=2))
    assert read == [2, 3, 0, 1, 2]


@pytest.mark.parametrize(("start", "batch_size"), [(-1, 1), (0, 0)])
def test_impossible_batches_are_refused(start, batch_size, small):
    with pytest.raises(ValueError, match=f"got {start} and {batch_size}"):
        next(iter_samples(small, "page", "train", start=start, batch_size=batch_size))


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path):
    tables = {key: rows for key, rows in small_tables().items() if key.endswith("train")}
    directory = write_tables(tmp_path / "d", tables)
    with pytest.raises(DatasetError, match="has no split validation; it has train"):
        read_labels(directory, "validation")


@pytest.mark.parametrize("damage", ["remove", "truncate"])
def test_a_damaged_shard_is_named(damage, small):
    shard = small / "pages" / "train-00001-of-00002.parquet"
    if damage == "remove":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"train-00001-of-00002.parquet: cannot be read.*rope validate"):
        read_labels(small, "train")
    with pytest.raises(DatasetError, match=r"train-00001-of-00002.parquet: cannot be read"):
        list(iter_samples(small, "page", "train", batch_size=2))
