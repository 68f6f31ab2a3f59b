from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.errors import DatasetError, UsageError
from rope.feed import Feed, ProcessShare, SampleStream
from rope.feed.streaming import RowGroup, plan_blocks, plan_reads
from tests.feed.conftest import SIZES, write_products
from tests.feed.readers import READER

# The tests want several workers on any machine.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

VIDEOS = [f"{product}-v{i}" for product, (_, n, _) in SIZES.items() for i in range(n)]


def stream(data, **options):
    defaults = {"domain": "video", "split": "train", "reader": READER, "seed": 3, "batch_size": 4, "groups_a_block": 3}
    return SampleStream(data, **(defaults | options))


def ids(feed):
    return [sample_id for batch in feed for sample_id in batch.sample_ids]


@given(st.lists(st.integers(0, 5), min_size=1).filter(any), st.integers(0, 200), st.integers(0, 60))
def test_reads_are_the_rows_asked_for_in_turn(block_rows, start, length):
    rows = [(block, row) for block, n in enumerate(block_rows) for row in range(n)]
    expected = [rows[place % len(rows)] for place in range(start, start + length)]
    reads = plan_reads(block_rows, start, start + length)
    assert [(read.block, row) for read in reads for row in range(read.first, read.last)] == expected


@given(st.integers(0, 20), st.integers(1, 6), st.integers(0, 5))
def test_blocks_hold_every_row_group_once(n, groups_a_block, epoch):
    groups = [RowGroup(Path("a.parquet"), number, 1) for number in range(n)]
    blocks = plan_blocks(groups, 0, epoch, groups_a_block)
    assert sorted(group.number for block in blocks for group in block) == list(range(n))
    assert all(len(block) == groups_a_block for block in blocks[:-1])


def test_every_sample_comes_once_an_epoch_in_another_order(data):
    feed = Feed(stream(data))
    first, second = ids(feed), ids(feed)
    assert sorted(first) == sorted(second) == sorted(VIDEOS)
    assert len({tuple(first), tuple(second), tuple(VIDEOS), tuple(ids(Feed(stream(data, seed=4))))}) == 4
    assert ids(Feed(stream(data))) == first


def test_a_sample_comes_with_its_own_text_and_frames(data):
    for batch in Feed(stream(data)):
        rows = [VIDEOS.index(sample_id) for sample_id in batch.sample_ids]
        assert batch.frames[:, 0].tolist() == rows
        assert batch.texts == [None if row % 3 == 0 else f"text of {VIDEOS[row]}" for row in rows]


def test_rows_mix_inside_a_block_and_not_beyond(data):
    order = ids(Feed(stream(data)))
    groups = [{VIDEOS.index(sample) // 12 * 3 + VIDEOS.index(sample) % 12 // 4 for sample in order[:10]}]
    assert len(groups[0]) == 3
    assert len({VIDEOS.index(sample) // 4 for sample in ids(Feed(stream(data, groups_a_block=1)))[:4]}) == 1


def test_rows_of_one_group_come_in_another_order_each_epoch(tmp_path):
    feed = Feed(stream(write_products(tmp_path / "data", {"a": (1, 4, 1)})))
    assert len({tuple(ids(feed)) for _ in range(10)}) > 3


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n_workers", [0, 2])
def test_ranks_and_workers_do_not_overlap(n_workers, drop_last, data):
    feeds = [
        Feed(stream(data, share=ProcessShare(rank, 4), drop_last=drop_last), num_workers=n_workers) for rank in range(4)
    ]
    parts = [ids(feed) for feed in feeds]
    assert [len(part) for part in parts] == [16 if drop_last else 17] * 4
    together = [sample for part in parts for sample in part]
    assert len(set(together)) == (64 if drop_last else 66)
    assert together[:64] == ids(Feed(stream(data)))[:64] or not drop_last
    assert together[66:] == ([] if drop_last else together[:2])
    assert [len(feed) for feed in feeds] == [4 if drop_last else 5] * 4


def test_damaged_samples_are_left_out_and_counted(tmp_path):
    damaged = {"p02-v0", "p04-v3", "p04-v4"}
    data = write_products(tmp_path / "data", SIZES, damaged)
    feed = Feed(stream(data, on_damaged="skip"), num_workers=1)
    sound = [sample for sample in ids(Feed(stream(write_products(tmp_path / "sound", SIZES)))) if sample not in damaged]
    assert ids(feed) == sound
    assert feed.n_damaged == 3
    with pytest.raises(DatasetError, match=r"video p0\d-v\d: embedded frame: cannot be decoded"):
        ids(Feed(stream(data)))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_without_a_readable_sample_is_left_out_and_counted(num_workers, tmp_path):
    data = write_products(tmp_path / "data", {"a": (1, 5, 1)}, {"a-v0", "a-v1", "a-v2", "a-v3"})
    feed = Feed(stream(data, on_damaged="skip", batch_size=1), num_workers=num_workers)
    assert ids(feed) == ["a-v4"]
    assert (feed.n_damaged, feed.epoch) == (4, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"on_damaged": "ignore"}, "unknown on_damaged 'ignore'; choose one of raise, skip"),
        ({"split": "test"}, "unknown split 'test'; choose one of train"),
        ({"domain": "videos"}, "unknown domain 'videos'; choose one of page, video, live"),
    ],
)
def test_a_value_that_no_option_has_is_refused_with_those_that_exist(options, expected, data):
    with pytest.raises(UsageError, match=expected):
        stream(data, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected a whole number, at least 1"),
        ({"groups_a_block": 0}, "groups_a_block is 0; expected a whole number, at least 1"),
        (
            {"batch_size": 40, "share": ProcessShare(0, 2), "drop_last": True},
            "66 videos do not make one step of 40 for each",
        ),
    ],
)
def test_options_out_of_range_are_refused(options, expected, data):
    with pytest.raises(UsageError, match=expected):
        stream(data, **options)


def test_a_domain_without_samples_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="the split train has no videos"):
        stream(write_products(tmp_path / "data", {"a": (1, 0, 1)}))


def test_a_shard_that_is_damaged_is_named(tmp_path):
    data = write_products(tmp_path / "data", {"a": (1, 1, 1)})
    (data / "videos/train-00000-of-00001.parquet").write_bytes(b"no shard")
    with pytest.raises(DatasetError, match=r"videos/train-00000-of-00001.parquet: cannot be read as Parquet"):
        stream(data)
