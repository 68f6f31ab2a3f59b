import duckdb
import pytest

from rope.errors import ReleaseError, UsageError
from rope.fetch.plan import make_plan
from rope.fetch.tables import connect, keep_one
from rope.sources.formats import find_source
from tests.releases import tiny_release, write_release


def planned(release, to, n_frames=None):
    make_plan(find_source(release), to, n_frames, 256 << 20, lambda _: None)
    with duckdb.connect(str(to / ".fetch" / "plan.duckdb"), read_only=True) as connection:
        return [image for (image,) in connection.execute("SELECT image FROM wanted").fetchall()]


@pytest.fixture
def release(tmp_path):
    lines = tiny_release()
    lines["training_video_frames.txt"] += ["va1, 1000, va2-30.jpg", "nobody, 0, nobody.jpg"]
    return write_release(tmp_path / "release", lines)


def test_images_are_listed_once_in_the_order_in_which_a_build_reads_them(release, tmp_path):
    names = planned(release, tmp_path / "to")
    of_pages, of_first_video = ["pa1-0.jpg", "pa2-0.jpg"], ["va1-30.jpg", "va1-90.jpg", "va1-120.jpg", "va2-30.jpg"]
    assert names[:8] == [*of_pages, *of_first_video, "va2-90.jpg", "va2-120.jpg"]
    assert len(names) == len(set(names)) == 28
    assert "nobody.jpg" not in names


def test_a_release_of_which_nothing_can_be_read_is_refused(release, tmp_path):
    path = release / "training_video_frames.txt"
    path.write_text(path.read_text().replace(", ", "\t"))
    with pytest.raises(ReleaseError, match=r"training_video_frames.txt: .* separated by tabs"):
        planned(release, tmp_path / "to")
    write_release(release, tiny_release())
    assert len(planned(release, tmp_path / "to")) == 28


def test_an_encoding_that_is_given_is_that_of_the_list(release, tmp_path):
    for path in release.glob("*.txt"):
        path.write_bytes(path.read_text("utf-8").replace("pa1-0.jpg", "标题商品.jpg").encode("gb18030"))
    make_plan(find_source(release, encoding="gb18030"), tmp_path / "to", None, 256 << 20, lambda _: None)
    with duckdb.connect(str(tmp_path / "to" / ".fetch" / "plan.duckdb"), read_only=True) as connection:
        assert ("标题商品.jpg",) in connection.execute("SELECT image FROM wanted").fetchall()


def test_frames_are_sorted_by_number_before_they_are_chosen(release, tmp_path):
    assert [name for name in planned(release, tmp_path / "to", 1) if name.startswith("v")] == [
        "va1-120.jpg",
        "va2-90.jpg",
        "vb1-90.jpg",
        "vb2-90.jpg",
    ]


def test_a_plan_is_made_again_only_when_release_or_frames_have_changed(release, tmp_path):
    made = tmp_path / "to" / ".fetch" / "plan.duckdb"
    planned(release, tmp_path / "to")
    first = made.stat().st_mtime_ns
    planned(release, tmp_path / "to")
    assert made.stat().st_mtime_ns == first
    planned(release, tmp_path / "to", 2)
    assert made.stat().st_mtime_ns > first


def test_strings_beyond_the_limit_of_memory_go_to_the_disk(tmp_path):
    """A million names of 100 bytes where 64 MiB are allowed."""
    with connect(tmp_path / "x.duckdb", 64 << 20) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT sha256(i::VARCHAR) || repeat('x', 36) AS image FROM range(1000000) r(i)"
        )
        keep_one(connection, "t", "kept", "image")
        assert connection.execute("SELECT count(*) FROM kept").fetchall() == [(1_000_000,)]


def test_too_little_memory_is_said_in_a_sentence(tmp_path):
    sentence = r"1 MiB of memory are not enough .*; allow more with --memory"
    with pytest.raises(UsageError, match=sentence), connect(None, 1 << 20) as connection:
        connection.execute("SELECT list(i) FROM range(10000000) r(i)").fetchall()
