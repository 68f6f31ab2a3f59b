"""A dataset directory at an address of fsspec: in memory, and on a local server of S3."""

import datasets
import fsspec
import pytest

from rope.dataset.directory import iter_samples, read_labels
from rope.dataset.info import describe
from rope.dataset.load import load_dataset
from rope.dataset.locate import as_directory, locate_here
from rope.dataset.validate import validate
from rope.errors import DatasetError, UsageError
from rope.feed import ClipReader, Feed, SampleStream


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


@pytest.fixture
def in_memory(small):
    address = f"memory://bucket-{small.parent.name}/OUT"
    fsspec.filesystem("memory").put(str(small), address, recursive=True)
    return address


@pytest.fixture
def on_s3(small, bucket):
    fsspec.filesystem("s3", skip_instance_cache=True).put(str(small), f"{bucket}/OUT", recursive=True)
    return f"{bucket}/OUT"


@pytest.fixture(params=["in_memory", "on_s3"])
def address(request):
    return request.getfixturevalue(request.param)


def test_everything_that_only_reads_works(address):
    directory = as_directory(address)
    assert validate(directory) == []
    assert describe(directory).manifest.counts["train"]["pages"] == 3
    assert read_labels(directory, "train")["page"].sample_ids == ["9", "10", "11"]
    assert [
        sample.sample_id for batch in iter_samples(directory, "page", "train", batch_size=2) for sample in batch
    ] == [
        "9",
        "10",
        "11",
    ]
    for streaming in (False, True):
        rows = list(load_dataset(address, "pages", split="train", streaming=streaming))
        assert (rows[0]["sample_id"], rows[0]["frames"][0].size) == ("9", (12, 12))
    stream = SampleStream(address, "page", "train", reader=ClipReader(n_frames=1, size=8), seed=0, batch_size=2)
    assert sorted(name for batch in Feed(stream) for name in batch.sample_ids) == ["10", "11", "9"]


def test_what_is_wrong_with_an_address_is_one_sentence(in_memory):
    with pytest.raises(DatasetError, match=r"memory://elsewhere/OUT: no rope.json here"):
        load_dataset("memory://elsewhere/OUT")
    with pytest.raises(UsageError, match=r"nonsense://x: addresses of this kind cannot be read"):
        load_dataset("nonsense://x")
    with pytest.raises(UsageError, match="needs a dataset directory on this machine"):
        locate_here(in_memory)


def test_a_remote_address_is_never_expanded(small, tmp_path):
    system = fsspec.filesystem("memory")
    for name in ("run[12]", "run1", "a*b", "aXb"):
        system.put(str(small), f"memory://odd-{tmp_path.name}/{name}/OUT", recursive=True)
    system.rm(f"/odd-{tmp_path.name}/run1/OUT/README.md")
    for name in ("run[12]", "a*b"):
        assert validate(as_directory(f"memory://odd-{tmp_path.name}/{name}/OUT")) == []
