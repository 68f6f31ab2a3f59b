import duckdb
import pytest

from rope.dataset.rows import Images, product_batches, sample_batches
from rope.sources.rope_release import find_release, stage_release
from tests.releases import tiny_release, write_release


@pytest.fixture
def staged(tmp_path):
    """Stages a release with 600 training videos: every seventh has no text, each has 1, 2 or 3 frames."""
    lines = tiny_release()
    for i in range(600):
        lines["training_product_videos_pair.txt"].append(f"a{1 + i % 2}, {i}")
        lines["training_video_asrs.txt"].append(f"{i}, {'' if i % 7 == 0 or i > 400 else f'text {i}'}")
        lines["training_video_frames.txt"] += [f"{i}, {30 * t}, {(i + t) % 50}.jpg" for t in range(1 + i % 3)]
    release = find_release(write_release(tmp_path, lines))
    with duckdb.connect() as connection:
        stage_release(connection, release, lambda _: None)
        yield connection


def videos(connection, folder, start, media="embed"):
    read = sample_batches(connection, "train", "video", Images(media, folder / "images"), "pairs.txt")
    return list(read(start))


@pytest.mark.parametrize("first", [1, 2, 3])
def test_batches_are_the_same_from_wherever_reading_begins(first, staged, tmp_path):
    """Otherwise a build that goes on would cut its shards elsewhere."""
    whole = videos(staged, tmp_path, 0)
    start = sum(batch.n_source_rows for batch in whole[:first])
    rest = videos(staged, tmp_path, start)
    assert [batch.payload_bytes for batch in rest] == [batch.payload_bytes for batch in whole[first:]]
    assert [batch.table.to_pylist() for batch in rest] == [batch.table.to_pylist() for batch in whole[first:]]


def test_a_batch_with_images_has_at_most_256_frames(staged, tmp_path):
    n_frames = [sum(map(len, batch.table["frames"].to_pylist())) for batch in videos(staged, tmp_path, 0)]
    assert len(n_frames) > 3
    assert all(253 < n <= 256 for n in n_frames[:-1])


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
