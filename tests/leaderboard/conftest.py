"""A dataset, three submissions and a site, made once for all tests of the leaderboard."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from leaderboard.checked_board import check
from leaderboard.site import build_site
from leaderboard.submit import submit
from rope.bench.io.writer import write_embeddings
from rope.dataset.build import build_dataset
from rope.dataset.directory import read_labels
from rope.domain import DOMAINS
from tests.releases import tiny_release, write_release

N_PRODUCTS = 40


def card(identity: str, **changes: object) -> dict[str, object]:
    modalities = {domain: ["image"] for domain in DOMAINS}
    modalities["page"] = ["image", "text"]
    return {
        "id": identity,
        "name": f"Model {identity}",
        "version": "1.0",
        "paper": None,
        "code": "https://example.org/code",
        "weights": None,
        "licence": "MIT",
        "parameters": 151_000_000,
        "modalities": modalities,
        "training_data": ["nothing"],
        "contact": None,
        "command": "rope-bench run --model x:Y",
    } | changes


def make_embeddings(path: Path, data: Path, noise: float, seed: int, split: str = "validation") -> Path:
    """Vectors of 16 numbers: one direction per product, and noise."""
    given = {}
    for i, (domain, labels) in enumerate(read_labels(data, split).items()):
        numbers = {product: n for n, product in enumerate(sorted(set(labels.product_ids)))}
        centres = np.random.default_rng(1).normal(size=(len(numbers), 16))
        spread = np.random.default_rng([seed, i]).normal(size=(len(labels.sample_ids), 16))
        vectors = centres[[numbers[product] for product in labels.product_ids]] + noise * spread
        given[domain] = (labels.sample_ids, vectors)
    write_embeddings(path, given)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Forty products with three samples in each domain."""
    folder = tmp_path_factory.mktemp("board")
    lines = tiny_release()
    for kind, texts, images in (
        ("pages", "page_titles", "page_images"),
        ("videos", "video_asrs", "video_frames"),
        ("lives", "live_asrs", "live_clips"),
    ):
        time = "" if kind == "pages" else " 0,"
        rows = [(f"b{100 + n // 3}", f"{n}") for n in range(3 * N_PRODUCTS)]
        lines[f"test_product_{kind}_pair.txt"] = [f"{product}, {sample}" for product, sample in rows]
        lines[f"test_{texts}.txt"] = [f"{sample}, 空" for _, sample in rows]
        lines[f"test_{images}.txt"] = [f"{sample},{time} shared.jpg" for _, sample in rows]
    build_dataset(write_release(folder / "release", lines), folder / "dataset", progress=False)
    return folder / "dataset"


@pytest.fixture(scope="session")
def models(data):
    """Name -> its file of embeddings: two good models that are alike, and a bad one."""
    noises = {"alpha": 0.9, "beta": 0.91, "gamma": 2.0}
    return {
        name: make_embeddings(data.parent / f"{name}.parquet", data, noise, seed)
        for seed, (name, noise) in enumerate(noises.items())
    }


@pytest.fixture(scope="session")
def results(data, models, tmp_path_factory):
    """A folder of results with three models; read-only, copy it to change it."""
    folder = tmp_path_factory.mktemp("results")
    for name, file in models.items():
        submit([file], card(name), data, folder)
    return folder


@pytest.fixture(scope="session")
def checked(results, data):
    """The three models, checked."""
    return check(results, [data])


@pytest.fixture(scope="session")
def site(checked, tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    build_site(checked, out)
    return out


@pytest.fixture
def card_file(tmp_path):
    """Writes a card, and returns its path."""

    def write(name: str, **changes: object) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(card(name, **changes)), "utf-8")
        return path

    return write
