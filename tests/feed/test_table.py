import pytest

from rope.dataset.directory import shard_paths
from rope.dataset.sample_table import SampleTable
from rope.errors import DatasetError
from tests.feed.conftest import SIZES


def test_a_table_gives_the_sample_of_each_row(data):
    table = SampleTable(data, "live", "train")
    ids = [f"{product}-l{i}" for product, (_, _, n) in SIZES.items() for i in range(n)]
    assert [table.sample(row, 8).sample_id for row in range(len(table))] == ids
    assert table.sample(4, 8).domain == "live"


def test_a_split_that_is_not_there_is_refused(data):
    with pytest.raises(DatasetError, match="has no split validation; it has train"):
        shard_paths(data, "pages", "validation")
