"""A small dataset, vectors of it, and the command."""

import sys

import pytest

from baselines.handcrafted import Handcrafted
from rope.bench.cli import main
from rope.bench.running.run import run_embedder
from rope.dataset.build import build_dataset
from tests.releases import tiny_release, write_release


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Two products with a dozen samples each, over the three domains; read-only."""
    folder = tmp_path_factory.mktemp("data")
    lines = tiny_release()
    for kind, images in (("pages", "page_images"), ("videos", "video_frames"), ("lives", "live_clips")):
        lines[f"test_product_{kind}_pair.txt"] += [f"b{1 + i % 2}, {i}" for i in range(10)]
        time = "" if kind == "pages" else " 0,"
        lines[f"test_{images}.txt"] += [f"{i},{time} {kind}{i}.jpg" for i in range(10)]
    build_dataset(write_release(folder / "release", lines), folder / "dataset", progress=False)
    return folder / "dataset"


@pytest.fixture(scope="session")
def embeddings(dataset):
    """The file of vectors of a baseline on it."""
    return run_embedder(Handcrafted(), dataset, dataset.parent / "embeddings.parquet", progress=False)


@pytest.fixture
def rope_bench(monkeypatch, capsys):
    """Runs a command; returns its exit code and what it wrote to stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rope-bench", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run
