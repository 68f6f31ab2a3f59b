"""Sound files beside frames: from a folder to a dataset, and out again."""

import tarfile

import pytest

pytest.importorskip("av")

import pyarrow.parquet as pq
from datasets import load_dataset

from rope.dataset.build import build_dataset
from rope.dataset.directory import iter_samples
from rope.dataset.validate import validate
from rope.domain import Audio
from rope.media.audio import decode_audio
from rope.share.webdataset import export_webdataset
from tests.dataset.conftest import jpeg
from tests.media.sounds import tone, write

SOUND = write(tone(0.5), codec="flac", container="flac", n_frames=0)


def release(folder, **more):
    """A page, and a live clip of two frames with a sound; `more` are other files of the folder."""
    files = {"samples.csv": b"domain,sample_id,product_id\npage,p,1\nlive,l,1\n", "pages/p.jpg": jpeg(1)}
    files |= {"lives/l/1.jpg": jpeg(2), "lives/l/2.jpg": jpeg(3), "lives/l.flac": SOUND}
    for name, content in (files | more.get("files", {})).items():
        path = folder / "release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "release"


def live(directory):
    return next(iter_samples(directory, "live", "validation", batch_size=9))[0]


@pytest.mark.parametrize("media", ["embed", "reference"])
def test_a_sound_comes_with_its_frames(media, tmp_path):
    build_dataset(release(tmp_path), tmp_path / "out", media=media, progress=False)
    assert validate(tmp_path / "out", decode=True) == []
    sample = live(tmp_path / "out")
    path = tmp_path / "release" / "lives" / "l.flac"
    assert sample.audio == (Audio(SOUND, "lives/l.flac") if media == "embed" else Audio(None, str(path)))
    assert len(sample.frames) == 2
    assert len(decode_audio(sample.audio, 16_000)) == 8000


def test_the_column_is_there_only_where_it_is_needed(tmp_path):
    build_dataset(release(tmp_path), tmp_path / "out", progress=False)
    names = {config: pq.read_schema(next((tmp_path / "out" / config).iterdir())).names for config in ("pages", "lives")}
    assert names["lives"] == [*names["pages"], "audio"]
    assert "| `audio` | audio or null |" in (tmp_path / "out" / "README.md").read_text()


def test_it_loads_without_this_package(tmp_path):
    build_dataset(release(tmp_path), tmp_path / "out", progress=False)
    rows = load_dataset(str(tmp_path / "out"), "lives", split="validation", cache_dir=str(tmp_path / "cache"))
    assert rows[0]["audio"] == {"bytes": SOUND, "path": "lives/l.flac"}


def test_a_file_that_is_no_sound_is_named_and_the_sample_stays(tmp_path):
    build_dataset(release(tmp_path, files={"lives/l.flac": b"<html>"}), tmp_path / "out", progress=False)
    assert "lives/l.flac\t0\tunreadable_audio\tl" in (tmp_path / "out" / "faults.tsv").read_text()
    assert (live(tmp_path / "out").audio, len(live(tmp_path / "out").frames)) == (None, 2)


@pytest.mark.parametrize("other", ["lives/l.wav", "lives/l.mp4"])
def test_two_sounds_are_one_too_many(other, tmp_path):
    build_dataset(release(tmp_path, files={other: SOUND}), tmp_path / "out", progress=False)
    assert "ambiguous_media\tl" in (tmp_path / "out" / "faults.tsv").read_text()


def test_a_damaged_sound_is_found_when_all_is_decoded(tmp_path):
    damaged = SOUND[: len(SOUND) // 2] + bytes(2000) + SOUND[len(SOUND) // 2 + 2000 :]
    build_dataset(release(tmp_path, files={"lives/l.flac": damaged}), tmp_path / "out", progress=False)
    assert validate(tmp_path / "out") == []
    (problem,) = validate(tmp_path / "out", decode=True)
    assert problem.what.startswith("1 sounds cannot be read: l (lives/l.flac: its sound cannot be decoded")


def test_a_sound_is_exported_beside_its_frames(tmp_path):
    build_dataset(release(tmp_path), tmp_path / "out", progress=False)
    export_webdataset(tmp_path / "out", tmp_path / "tar", shard_bytes=1 << 20)
    members = {}
    for path in (tmp_path / "tar").rglob("*.tar"):
        with tarfile.open(path) as tar:
            members |= {one.name: tar.extractfile(one).read() for one in tar.getmembers()}
    assert members["l.flac"] == SOUND
