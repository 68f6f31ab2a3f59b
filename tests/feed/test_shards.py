import pyarrow as pa
import pytest

from rope.dataset.directory import shard_paths
from rope.errors import DatasetError
from rope.feed.shards import to_sample
from rope.feed.table import SampleTable
from rope.media import choose_frames
from rope.schema import SAMPLE_SCHEMA
from tests.feed.conftest import SIZES


def rows(n_stored):
    frames = [{"bytes": bytes([i]), "path": f"{i}.jpg"} for i in range(n_stored)]
    return pa.Table.from_pylist([{"sample_id": "7", "text": None, "frames": frames}], SAMPLE_SCHEMA)


@pytest.mark.parametrize("n_stored", [0, 1, 3, 8, 9, 30])
def test_as_many_frames_are_read_as_are_decoded(n_stored):
    sample = to_sample(rows(n_stored), 0, "video", 8)
    assert len(sample.frames) == min(n_stored, 8)
    if n_stored:
        chosen = [sample.frames[i].data[0] for i in choose_frames(len(sample.frames), 8)]
        assert chosen == choose_frames(n_stored, 8)


def test_a_table_gives_the_sample_of_each_row(data):
    table = SampleTable(data, "live", "train")
    ids = [f"{product}-l{i}" for product, (_, _, n) in SIZES.items() for i in range(n)]
    assert [table.sample(row, 8).sample_id for row in range(len(table))] == ids
    assert table.sample(4, 8).domain == "live"


def test_a_split_that_is_not_there_is_refused(data):
    with pytest.raises(DatasetError, match="has no split validation; it has train"):
        shard_paths(data, "pages", "validation")
