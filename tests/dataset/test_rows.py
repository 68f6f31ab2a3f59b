from itertools import pairwise

import duckdb
import pytest

from rope.dataset import reading, rows
from rope.dataset.rows import Images, product_batches, sample_batches
from rope.sources.rope_release import find_release, stage_release
from tests.releases import tiny_release, write_release


@pytest.fixture
def staged(tmp_path):
    """Stages a release with 600 training videos: every seventh has no text, each has 1, 2 or 3 frames that are kept."""
    lines = tiny_release()
    for i in range(600):
        lines["training_product_videos_pair.txt"].append(f"a{1 + i % 2}, {i}")
        lines["training_video_asrs.txt"].append(f"{i}, {'' if i % 7 == 0 or i > 400 else f'text {i}'}")
        lines["training_video_frames.txt"] += [f"{i}, {30 * t}, {(i + t) % 50}.jpg" for t in range(1 + i % 3)]
    # What is left out of a table must not shift where reading begins.
    lines["training_video_frames.txt"] += ["1, 90, x.jpg", "1, 90, y.jpg", "of-none, 30, x.jpg", "2, 30, ../x.jpg"]
    release = find_release(write_release(tmp_path, lines))
    with duckdb.connect() as connection:
        stage_release(connection, release, lambda _: None)
        yield connection


GROUP_BYTES = 100_000


def videos(connection, folder, start, media="embed", group_bytes=GROUP_BYTES):
    images = Images(media, folder / "images")
    read = sample_batches(connection, "train", "video", images, "pairs.txt", group_bytes=group_bytes)
    return list(read(start))


def disk_bytes(batch):
    """What counts for a row group: the bytes of texts and images of each row."""
    rows = batch.table.to_pylist()
    return [len((row["text"] or "").encode()) + sum(len(frame["bytes"]) for frame in row["frames"]) for row in rows]


@pytest.mark.parametrize("first", [1, 2, 3])
def test_batches_are_the_same_from_wherever_reading_begins(first, staged, tmp_path):
    """Otherwise a build that goes on would cut its shards elsewhere."""
    whole = videos(staged, tmp_path, 0)
    start = sum(batch.n_source_rows for batch in whole[:first])
    rest = videos(staged, tmp_path, start)
    assert [batch.payload_bytes for batch in rest] == [batch.payload_bytes for batch in whole[first:]]
    assert [batch.table.to_pylist() for batch in rest] == [batch.table.to_pylist() for batch in whole[first:]]


@pytest.mark.parametrize(("group_bytes", "frames_a_read"), [(GROUP_BYTES, 256), (GROUP_BYTES, 7), (700, 256), (1, 256)])
def test_a_row_group_ends_before_the_row_that_would_be_too_much(
    group_bytes, frames_a_read, staged, tmp_path, monkeypatch
):
    monkeypatch.setitem(reading._FRAMES_A_READ, "embed", frames_a_read)
    sizes = [disk_bytes(batch) for batch in videos(staged, tmp_path, 0, group_bytes=group_bytes)]
    assert len(sizes) > 3
    for group, following in pairwise(sizes):
        assert len(group) == 1 or sum(group) <= group_bytes
        assert sum(group) + following[0] > group_bytes


def test_paths_and_texts_count_where_images_are_not_copied(staged, tmp_path):
    batches = videos(staged, tmp_path, 0, "reference", 3000)
    assert len(batches) > 3
    assert all(batch.payload_bytes <= 3000 + batch.table.num_rows * 3 for batch in batches)


def test_a_row_group_has_at_most_so_many_rows(staged, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "_GROUP_ROWS", 100)
    assert [batch.table.num_rows for batch in videos(staged, tmp_path, 0, group_bytes=1 << 30)] == [100] * 6 + [2]


def test_a_sample_of_more_than_can_be_held_is_left_out_by_name(staged, tmp_path, monkeypatch):
    (whole,) = videos(staged, tmp_path, 0, group_bytes=1 << 30)
    most = max(sum(len(frame["bytes"]) for frame in frames) for frames in whole.table["frames"].to_pylist())
    monkeypatch.setattr(reading, "MAX_BYTES", most - 1)
    (batch,) = videos(staged, tmp_path, 0, group_bytes=1 << 30)
    too_large = [fault for fault in batch.faults if fault.kind == "too_large"]
    assert 0 < len(too_large) == batch.n_source_rows - batch.table.num_rows
    assert {fault.subject for fault in too_large}.isdisjoint(batch.table["sample_id"].to_pylist())
    assert [f.subject for f in batch.faults if f.kind == "no_readable_image"] == [f.subject for f in too_large]
    assert all(fault.line for fault in too_large)


def test_the_payload_is_the_bytes_of_images_names_and_texts(staged, tmp_path):
    batch = videos(staged, tmp_path, 0)[0]
    expected = sum(
        len((row["text"] or "").encode()) + sum(len(f["bytes"]) + len(f["path"]) for f in row["frames"])
        for row in batch.table.to_pylist()
    )
    assert batch.payload_bytes == expected


def test_products_list_their_samples_in_order_and_not_those_dropped(staged):
    dropped = {"page": [], "video": ["7", "va2"], "live": ["la1"]}
    n_products, read = product_batches(staged, "train", dropped)
    first, second = [row for batch in read(0) for row in batch.table.to_pylist()]
    assert n_products == 2
    assert first["live_ids"] == []
    expected = ["va1", *(str(i) for i in range(0, 600, 2))]
    assert first["video_ids"] == sorted(expected, key=lambda sample_id: (len(sample_id), sample_id))
    assert "7" not in second["video_ids"]
    assert "va2" not in second["video_ids"]
    assert [row for batch in product_batches(staged, "train", dropped)[1](1) for row in batch.table.to_pylist()] == [
        second
    ]
