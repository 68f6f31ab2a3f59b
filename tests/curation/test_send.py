"""A dataset that is published to an address of fsspec: in memory, and on a local server of S3."""

import os
import signal
import subprocess
import sys

import fsspec
import pytest

from rope.curation.pipeline.runner import run_recipe
from rope.curation.publish import publish
from rope.curation.send import send_dataset
from rope.dataset.load import load_dataset
from rope.dataset.locate import as_directory
from rope.dataset.manifest import MANIFEST_NAME, read_manifest
from rope.dataset.validate import validate
from rope.errors import DatasetError, UsageError
from tests.curation.pools import POISON, local, recipe_of
from tests.curation.test_publish import HALVE, bytes_of, write_pictures
from tests.stores import wait_for_files


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A recipe that was run, and what it publishes on this machine."""
    folder = tmp_path_factory.mktemp("pool")
    write_pictures(folder, n_products=3)
    recipe = recipe_of(folder, POISON + 'rejects = ["p0-live"]', HALVE, shard_rows=4)
    run_recipe(recipe, local(1), progress=False)
    publish(recipe.work.with_suffix(".toml"), recipe, folder / "here", progress=False)
    return recipe, folder / "here"


def sent(place):
    """Every file at an address, by its name below it."""
    start = len(place.path.strip("/")) + 1
    return {name.strip("/")[start:]: place.fs.cat_file(name) for name in place.fs.find(place.path)}


def publish_to(made, address, **options):
    recipe, _ = made
    place = as_directory(address)
    return place, publish(recipe.work.with_suffix(".toml"), recipe, place, progress=False, **options)


def test_what_is_published_elsewhere_are_the_bytes_of_what_is_published_here(made, tmp_path):
    place, report = publish_to(made, "memory://b/out")
    assert report.is_new
    assert sent(place) == bytes_of(made[1])
    assert validate(place, decode=True) == []
    assert len(load_dataset("memory://b/out", "pages", split="train")) == 2
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]  # nothing stays here
    again, report = publish_to(made, "memory://b/out")
    assert (report.is_new, sent(again)) == (False, bytes_of(made[1]))


class Breaks:
    """A store that stops answering after some files."""

    def __init__(self, fs, n_files):
        self.fs, self.left, self.order = fs, n_files, []

    def __getattr__(self, name):
        return getattr(self.fs, name)

    def put_file(self, source, target):
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("no answer")
        self.order.append(target)
        self.fs.put_file(source, target)


class At:
    """An address in a store that breaks."""

    def __init__(self, place, store):
        self.place, self.fs, self.path = place, store, place.path

    def __truediv__(self, name):
        return self.place / name

    def __str__(self):
        return str(self.place)


@pytest.mark.parametrize("n_files", [0, 1, 4, 8])
def test_a_send_that_ends_anywhere_is_no_dataset_and_goes_on_to_the_same_bytes(n_files, made):
    place, here = as_directory("memory://b/out"), made[1]
    n_all = len(bytes_of(here))
    with pytest.raises(DatasetError, match=r"b/out: the store does not do .* .ConnectionError: no answer.; check"):
        send_dataset(here, At(place, Breaks(place.fs, n_files)), progress=False)
    with pytest.raises(DatasetError, match=r"no rope\.json here, so this is not a finished dataset"):
        read_manifest(place)
    store = Breaks(place.fs, n_all)
    assert send_dataset(here, At(place, store), progress=False)
    assert sent(place) == bytes_of(here)
    assert (len(store.order), store.order[-1]) == (n_all - n_files, f"/b/out/{MANIFEST_NAME}")


def test_half_a_file_is_sent_again(made):
    place, here = as_directory("memory://b/out"), made[1]
    with pytest.raises(DatasetError, match=r"b/out: the store does not do .* .ConnectionError: no answer.; check"):
        send_dataset(here, At(place, Breaks(place.fs, 7)), progress=False)
    torn = next(name for name in sent(place) if name.endswith(".parquet"))
    (place / torn).write_bytes(sent(place)[torn][:40])
    send_dataset(here, place, progress=False)
    assert sent(place) == bytes_of(here)


def test_a_store_that_loses_a_file_gets_no_manifest(made, monkeypatch):
    place = as_directory("memory://b/out")
    put = type(place.fs).put_file
    lost = "pages/train-00000-of-00001.parquet"
    monkeypatch.setattr(
        type(place.fs), "put_file", lambda self, *paths: None if paths[1].endswith(lost) else put(self, *paths)
    )
    with pytest.raises(DatasetError, match=r"train-00000-of-00001.parquet: has 0 of [\d,]+ bytes after it was sent"):
        send_dataset(made[1], place, progress=False)
    assert MANIFEST_NAME not in sent(place)


def test_what_is_there_already_is_left_alone(made, tmp_path):
    place, here = as_directory("memory://b/out"), made[1]
    (place / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"memory://b/out: holds notes\.txt, and not a dataset; choose a folder"):
        publish_to(made, "memory://b/out")
    place.fs.rm_file("/b/out/notes.txt")
    with pytest.raises(DatasetError, match=r"b/out: the store does not do .* .ConnectionError: no answer.; check"):
        send_dataset(here, At(place, Breaks(place.fs, 3)), progress=False)
    other = tmp_path / "other"
    publish(made[0].work.with_suffix(".toml"), made[0], other, progress=False)
    (other / "README.md").write_text("another card")
    with pytest.raises(UsageError, match="holds an unfinished dataset of something else; repeat the command"):
        send_dataset(other, place, progress=False)
    assert send_dataset(other, place, overwrite=True, progress=False)
    assert sent(place) == bytes_of(other)
    send_dataset(here, place, progress=False)  # the same dataset under another card
    assert sent(place) == bytes_of(here)
    (place / MANIFEST_NAME).write_text("{}")
    with pytest.raises(UsageError, match="a dataset is there already, from another run or with other options"):
        send_dataset(here, place, progress=False)


def test_what_no_other_process_could_read_or_write_is_refused(made, curate):
    recipe = made[0].work.with_suffix(".toml")
    for address, said in (
        ("memory://b/out", "memory of one process"),
        ("https://shop.example/out", "cannot be written to"),
        ("nowhere://b/out", "addresses of this kind cannot be read"),
    ):
        code, _, err = curate("publish", recipe, "--out", address)
        assert (code, said in err, err.count("\n")) == (2, True, 1)


@pytest.mark.slow
def test_a_publish_to_s3_that_is_killed_goes_on_to_the_bytes_of_a_local_one(bucket, made):
    recipe, here = made
    place = as_directory(f"{bucket}/out")
    code = (
        "import sys, time; from s3fs import S3FileSystem as S; put = S.put_file\n"
        "S.put_file = lambda *a, **k: (time.sleep(0.3), put(*a, **k))\n"
        "from rope.curation.pipeline import places; places._REQUESTS = 1\n"
        "from rope.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "curate", "publish", str(recipe.work.with_suffix(".toml")), "--out"]
    for n_files in (2, 5):
        process = subprocess.Popen([*command, f"{bucket}/out"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for_files(place, n_files, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        with pytest.raises(DatasetError, match="is not a finished dataset"):
            load_dataset(f"{bucket}/out", "pages", split="train")
    done = subprocess.run([*command, f"{bucket}/out"], capture_output=True, text=True, check=False)
    assert (done.returncode, "published; train 2 products" in done.stdout) == (0, True), done.stderr
    assert sent(place) == bytes_of(here)
    assert len(load_dataset(f"{bucket}/out", "pages", split="train")) == 2
    assert validate(place) == []
