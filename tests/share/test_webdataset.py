"""Tar files hold the samples, are read by webdataset, and are the same bytes however they came about."""

import gc
import io
import json
import tarfile
import warnings
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rope.dataset.build import build_dataset
from rope.dataset.directory import iter_samples
from rope.errors import DatasetError, UsageError
from rope.share.webdataset import escape_id, export_webdataset
from tests.dataset.conftest import sample, small_tables, write_tables
from tests.share.conftest import files_of
from tests.sources.other_releases import write_movingfashion
from tests.stored import RELEASE, release_counts

ODD_IDS = ["a.b", "c/d", "e f", "果", "%2E", "x" * 150]


@pytest.fixture
def odd(tmp_path):
    """The small dataset with pages whose ids are not file names."""
    tables = small_tables()
    tables["pages/train"] = [sample(name, "1", 1) for name in sorted(ODD_IDS, key=lambda name: (len(name), name))]
    return write_tables(tmp_path / "odd", tables, rows_per_shard=4)


def members(path):
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def read_with_webdataset(paths):
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset")
    urls = [f"file:{path}" for path in sorted(paths)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files open until they are collected
        samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("pil"))
        gc.collect()
    return samples


def test_a_sample_is_its_description_and_its_frames(small, tmp_path):
    export_webdataset(small, tmp_path / "tars")
    found = members(tmp_path / "tars" / "videos-train-000000.tar")
    assert list(found) == ["9.json", "9.0000.jpg", "9.0001.jpg", "9.0002.jpg", "12.json", "12.0000.jpg", "12.0001.jpg"]
    assert json.loads(found["9.json"]) == {
        "sample_id": "9",
        "product_id": "1",
        "text": "text of 9",
        "category": "fruit",
        "frame_times": [0, 30, 60],
        "domain": "video",
        "split": "train",
    }
    assert found["9.0002.jpg"] == small_tables()["videos/train"][0]["frames"][2]["bytes"]


def test_webdataset_groups_samples_whatever_their_ids(odd, tmp_path):
    export_webdataset(odd, tmp_path / "tars", shard_bytes=1000)
    read = read_with_webdataset((tmp_path / "tars").glob("pages-train-*.tar"))
    assert sorted(row["json"]["sample_id"] for row in read) == sorted(ODD_IDS)
    assert all(unquote(row["__key__"]) == row["json"]["sample_id"] for row in read)
    assert all(row["0000.jpg"].size == (12, 12) for row in read)


def test_photos_come_out_as_they_went_in(tmp_path):
    build_dataset(RELEASE, tmp_path / "grocery", progress=False)
    report = export_webdataset(tmp_path / "grocery", tmp_path / "tars", shard_bytes=4 << 20)
    counts = release_counts()
    assert report.n_samples == sum(kinds[kind] for kinds in counts.values() for kind in ("pages", "videos", "lives"))
    found = {}
    for path in sorted((tmp_path / "tars").glob("lives-*.tar")):
        found |= members(path)
    for split in ("train", "validation"):
        for batch in iter_samples(tmp_path / "grocery", "live", split, batch_size=16):
            for live in batch:
                frames = [found.pop(f"{live.sample_id}.{i:04d}.jpg") for i in range(len(live.frames))]
                assert frames == [frame.data for frame in live.frames]
                assert json.loads(found.pop(f"{live.sample_id}.json"))["text"] == live.text
    assert not found
    read = read_with_webdataset((tmp_path / "tars").glob("lives-validation-*.tar"))
    assert len(read) == counts["validation"]["lives"]


def test_time_owner_and_mode_say_nothing_about_the_machine(small, tmp_path):
    export_webdataset(small, tmp_path / "tars")
    with tarfile.open(tmp_path / "tars" / "pages-train-000000.tar") as tar:
        assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in tar} == {(0, 0, 0, "", "", 0o644)}


@pytest.mark.parametrize(("shard_bytes", "n_files"), [(1, 13), (2000, 7), (1 << 20, 6)])
def test_a_tar_file_ends_with_the_sample_that_fills_it(shard_bytes, n_files, small, tmp_path):
    report = export_webdataset(small, tmp_path / "tars", shard_bytes=shard_bytes)
    assert (report.n_files, report.n_samples) == (n_files, 13)
    index = json.loads((tmp_path / "tars" / "export.json").read_text())
    assert {name: entry["bytes"] for name, entry in index["files"].items()} == {
        path.name: path.stat().st_size for path in (tmp_path / "tars").glob("*.tar")
    }


@pytest.fixture
def stop_after(monkeypatch):
    """Makes the file after the n-th stop the program when it is about to get its name."""

    def arm(n_files: int) -> None:
        written, replace = [], Path.replace

        def stop(path, target):
            if len(written) == n_files:
                monkeypatch.undo()
                raise KeyboardInterrupt
            written.append(target)
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", stop)

    return arm


@pytest.mark.parametrize("n_files", [0, 1, 2, 3, 8, 13, 18, 19])  # a key, 9 tar files each with a record, the index
def test_an_export_that_was_stopped_anywhere_ends_with_the_same_bytes(n_files, odd, tmp_path, stop_after):
    export_webdataset(odd, tmp_path / "whole", shard_bytes=1500)
    stop_after(n_files)
    with pytest.raises(KeyboardInterrupt):
        export_webdataset(odd, tmp_path / "tars", shard_bytes=1500)
    assert not (tmp_path / "tars" / "export.json").exists()
    export_webdataset(odd, tmp_path / "tars", shard_bytes=1500)
    assert files_of(tmp_path / "tars") == files_of(tmp_path / "whole")
    assert not [path for path in (tmp_path / "tars").iterdir() if path.name.startswith(".")]


def test_a_killed_export_leaves_no_rest_in_the_end(small, tmp_path, start):
    program = """
import os, sys
from pathlib import Path
from rope.share.webdataset import export_webdataset
replace = Path.replace
Path.replace = lambda path, target: os._exit(9) if target.name == "videos-train-000000.tar" else replace(path, target)
export_webdataset(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    process = start(program, small, tmp_path / "tars")
    process.communicate(timeout=60)
    assert process.returncode == 9
    assert list((tmp_path / "tars").glob(".*.part"))
    export_webdataset(small, tmp_path / "tars")
    export_webdataset(small, tmp_path / "whole")
    assert files_of(tmp_path / "tars") == files_of(tmp_path / "whole")
    assert not list((tmp_path / "tars").glob(".*"))


def test_what_is_written_is_not_written_again(small, tmp_path):
    assert export_webdataset(small, tmp_path / "tars").is_new
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tars").iterdir()}
    assert not export_webdataset(small, tmp_path / "tars").is_new
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tars").iterdir()} == before


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("notes.txt", "mine", "holds notes.txt, and not an unfinished export"),
        (
            ".export/key.json",
            "{}",
            "holds an unfinished export of something else: .* format is missing there",
        ),
        ("export.json", "{}", "another export is there already"),
    ],
)
def test_a_folder_in_use_is_left_alone(path, content, message, small, tmp_path):
    (tmp_path / "tars" / path).parent.mkdir(parents=True)
    (tmp_path / "tars" / path).write_text(content)
    with pytest.raises(UsageError, match=message):
        export_webdataset(small, tmp_path / "tars")
    assert [file.name for file in (tmp_path / "tars").iterdir()] == [path.split("/")[0]]


def test_the_commands_say_what_they_wrote(small, rope, tmp_path):
    to = tmp_path / "tars"
    line = f"{to}: webdataset written; 13 samples in 6 files\n"
    assert rope("export", small, "--format", "webdataset", "--out", to) == (0, line, "")
    assert rope("export", small, "--out", to)[1] == line.replace("written", "is up to date")
    assert rope("export", small, "--out", to, "--shard-size", "1K")[0] == 2
    assert rope("croissant", small) == (0, f"wrote {small / 'croissant.json'}\n", "")


def png(size):
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, format="PNG")
    return buffer.getvalue()


def test_the_extension_is_that_of_the_content(tmp_path):
    tables = small_tables()
    tables["pages/train"][0]["frames"] = [{"bytes": png((3, 2)), "path": "misnamed.jpg"}]
    export_webdataset(write_tables(tmp_path / "mixed", tables), tmp_path / "tars")
    assert "9.0000.png" in members(tmp_path / "tars" / "pages-train-000000.tar")
    read = read_with_webdataset([tmp_path / "tars" / "pages-train-000000.tar"])
    assert read[0]["0000.png"].size == (3, 2)


def test_paths_are_read_into_the_tar_file_and_a_missing_one_is_named(tmp_path):
    tables = small_tables()
    (tmp_path / "there.png").write_bytes(png((3, 2)))
    for key in tables:
        for row in tables[key] if not key.startswith("products") else []:
            row["frames"] = [{"bytes": None, "path": str(tmp_path / "there.png")} for _ in row["frames"]]
    directory = write_tables(tmp_path / "paths", tables, media="reference")
    export_webdataset(directory, tmp_path / "tars")
    assert members(tmp_path / "tars" / "lives-train-000000.tar")["5.0000.png"] == png((3, 2))
    (tmp_path / "there.png").unlink()
    with pytest.raises(DatasetError, match=r"page 9, frame 0: its file cannot be read \(.*there\.png"):
        export_webdataset(directory, tmp_path / "again")


@pytest.mark.parametrize(
    ("shard", "message"),
    [(b"no parquet", "cannot be read as Parquet"), (None, "cannot be read as Parquet")],
)
def test_a_damaged_shard_is_named(shard, message, small, tmp_path):
    path = small / "videos" / "train-00000-of-00001.parquet"
    path.unlink() if shard is None else path.write_bytes(shard)
    with pytest.raises(DatasetError, match=f"videos/train-00000.*{message}"):
        export_webdataset(small, tmp_path / "tars")
    assert not (tmp_path / "tars" / "export.json").exists()


@given(st.text(min_size=1))
def test_a_key_gives_its_id_back_and_has_no_dot_or_slash(sample_id):
    key = escape_id(sample_id)
    assert unquote(key) == sample_id
    assert not set(key) & set("./")
    assert key.isascii()


def test_a_video_file_comes_out_as_it_went_in(tmp_path):
    release = write_movingfashion(tmp_path / "release")
    build_dataset(release, tmp_path / "dataset", progress=False)
    export_webdataset(tmp_path / "dataset", tmp_path / "tars")
    (samples,) = iter_samples(tmp_path / "dataset", "video", "validation", batch_size=9)
    found = members(tmp_path / "tars" / "videos-validation-000000.tar")
    assert [content for name, content in found.items() if name.endswith(".mp4")] == [
        sample.video.data for sample in samples
    ]
    assert len(found) == 2 * len(samples) > 0
