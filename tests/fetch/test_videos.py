"""Video files of releases that list them, with the guarantees that images have."""

import shutil

import pytest

from rope.dataset.build import build_dataset
from rope.errors import UsageError
from rope.fetch.fetch import fetch_images, fetch_status
from rope.fetch.report import sentences
from tests.fetch.conftest import ledger_of, limits
from tests.fetch.server import body_of
from tests.sources.other_releases import MP4, write_movingfashion

VIDEOS = ["test0_0", "test0_1", "test1_0", "train0_0", "train0_1", "train1_0"]


@pytest.fixture
def release(tmp_path):
    """A release with its text files alone, and the folder with everything next to it."""
    write_movingfashion(tmp_path / "whole")
    (tmp_path / "release").mkdir()
    for split in ("train", "test"):
        shutil.copy(tmp_path / "whole" / f"{split}.json", tmp_path / "release")
    return tmp_path / "release"


def body(name):
    return MP4 if name.endswith(".mp4") else body_of(name)


def fetch(release, to, server, **options):
    changes = options.pop("changes", {})
    settings = {"limits": limits(**changes), "release_format": "movingfashion", "progress": False}
    return fetch_images(release, to, prefix=server.prefix, **settings, **options)


def test_videos_come_with_the_images_and_are_built_from(release, serve, tmp_path):
    server = serve(bodies=body)
    report = fetch(release, tmp_path / "to", server)
    assert (report.n_fetched, report.lost.total()) == (10, 0)
    images = [f"imgs/{split}{i}.jpg" for split in ("train", "test") for i in range(2)]
    assert report.n_bytes == 6 * len(MP4) + sum(len(body_of(name)) for name in images)
    assert sorted(path.stem for path in (tmp_path / "to" / "videos").iterdir()) == VIDEOS
    assert all(path.read_bytes() == MP4 for path in (tmp_path / "to" / "videos").iterdir())
    assert list((tmp_path / "to" / ".fetch" / "incoming").iterdir()) == []
    status = fetch_status(release, tmp_path / "to", release_format="movingfashion")
    assert sentences(status, tmp_path / "to") == [
        f"{tmp_path / 'to'}: 10 of 10 images and videos are there, 0 are missing"
    ]
    built = build_dataset(
        release, tmp_path / "out", release_format="movingfashion", image_root=tmp_path / "to", progress=False
    )
    assert built.manifest.counts["validation"]["videos"] == 3
    assert built.faults == build_dataset(tmp_path / "whole", tmp_path / "whole-out", progress=False).faults
    assert fetch(release, tmp_path / "to", server).n_fetched == 0
    assert server.requests.total() == 10


@pytest.mark.parametrize(
    ("fate", "changes", "reason", "tries"),
    [
        ("html", {}, "not_a_video", 1),
        ("another", {}, "not_a_video", 1),
        ("damaged", {}, "not_a_video", 1),
        ("truncated_file", {}, "truncated", 3),
        ("truncated", {}, "truncated", 3),
        ("404", {}, "http_status", 1),
        ("good", {"max_video_bytes": 200}, "too_large", 1),
        ("large_undeclared", {"max_video_bytes": 200_000}, "too_large", 1),
        ("slow", {"video_total_s": 0.2, "grace_s": 30.0}, "timeout", 3),
        ("reset", {}, "connection", 3),
    ],
)
def test_a_video_that_is_none_is_given_up_with_its_reason(fate, changes, reason, tries, release, serve, tmp_path):
    bodies = {"another": body_of("an image"), "damaged": MP4[:40] + bytes(len(MP4) - 40)}
    server = serve(
        behave=lambda name: fate if name == "videos/test0_1.mp4" and fate not in bodies else "good",
        bodies=lambda name: bodies.get(fate, MP4) if name == "videos/test0_1.mp4" else body(name),
    )
    report = fetch(release, tmp_path / "to", server, changes=changes)
    lost = {one.image: one for one in ledger_of(tmp_path / "to")}
    assert (lost["videos/test0_1.mp4"].reason, lost["videos/test0_1.mp4"].tries) == (reason, tries)
    assert len(lost) == (6 if fate == "good" else 1)
    assert report.n_fetched == 10 - len(lost)
    assert not (tmp_path / "to" / "videos" / "test0_1.mp4").exists()
    assert list((tmp_path / "to" / ".fetch" / "incoming").iterdir()) == []


def test_a_video_is_compared_with_the_list_of_checksums(release, serve, tmp_path):
    (tmp_path / "sums").write_text(f"{'0' * 64}  videos/test0_1.mp4\n")
    fetch(release, tmp_path / "to", serve(bodies=body), checksums=tmp_path / "sums")
    assert [(one.image, one.reason) for one in ledger_of(tmp_path / "to")] == [("videos/test0_1.mp4", "wrong_checksum")]


def test_what_a_killed_fetch_left_of_a_video_is_not_taken_for_one(release, serve, tmp_path):
    incoming = tmp_path / "to" / ".fetch" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "video-0").write_bytes(MP4[:100])
    assert fetch(release, tmp_path / "to", serve(bodies=body)).n_fetched == 10
    assert list(incoming.iterdir()) == []


def test_videos_do_not_go_into_tar_shards(release, serve, tmp_path):
    server = serve(bodies=body)
    with pytest.raises(UsageError, match="video files, which do not go into tar shards; fetch with --layout files"):
        fetch(release, tmp_path / "to", server, layout="tar")
    assert server.requests.total() == 0


def test_without_pyav_the_extra_is_named_before_anything_is_asked_for(release, serve, tmp_path, monkeypatch):
    server = serve(bodies=body)
    monkeypatch.setattr("rope.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"checking videos .*rope-bench\[video\]"):
        fetch(release, tmp_path / "to", server)
    assert server.requests.total() == 0
