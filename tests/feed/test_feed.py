"""The whole way: a release, built, fed to a training loop."""

import random
import subprocess
import sys
from pathlib import Path

import torch

from rope.dataset.build import build_dataset
from rope.feed import BalancedProducts, ClipReader, Feed, SampleStream
from rope.synthetic.release import write_release
from tests.feed.readers import plain
from tests.releases import tiny_release
from tests.releases import write_release as write_tiny
from tests.stored import RELEASE, release_counts

READER = ClipReader(n_frames=8, size=32)


def sources(data):
    return [
        BalancedProducts(data, "train", reader=READER, seed=0, batch_size=2),
        SampleStream(data, "video", "train", reader=READER, seed=0, batch_size=2),
    ]


def everything(data):
    return [[plain(batch) for _ in range(3) for batch in Feed(source)] for source in sources(data)]


def test_the_order_of_the_rows_of_a_release_changes_nothing(tmp_path):
    lines = tiny_release()
    shuffled = {name: random.Random(name).sample(rows, len(rows)) for name, rows in lines.items()}
    fed = []
    for name, content in (("a", lines), ("b", shuffled)):
        build_dataset(write_tiny(tmp_path / name, content), tmp_path / f"{name}-data", name="tiny", progress=False)
        fed.append(everything(tmp_path / f"{name}-data"))
    assert shuffled != lines
    assert fed[0] == fed[1]


def test_a_synthetic_release_is_fed_whole(tmp_path):
    write_release(tmp_path / "release", products=8, seed=0, mp4=False, workers=1, progress=False)
    data = tmp_path / "data"
    manifest = build_dataset(tmp_path / "release", data, progress=False).manifest
    (by_product, by_sample) = sources(data)
    batches = list(Feed(by_product, num_workers=2))
    assert {tuple(b.samples["live"].frames.shape) for b in batches} == {(2, 8, 3, 32, 32)}
    assert {tuple(b.samples["page"].frames.shape) for b in batches} == {(2, 1, 3, 32, 32)}
    assert len({product for b in batches for product in b.product_ids}) == manifest.counts["train"]["products"]
    videos = {sample_id for b in Feed(by_sample, num_workers=2) for sample_id in b.sample_ids}
    assert len(videos) == manifest.counts["train"]["videos"]
    assert all(b.samples["video"].frames.dtype is torch.uint8 for b in batches)


def test_without_torch_the_extra_is_named():
    program = "import sys; sys.modules['torch'] = None; import rope.feed"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (
        "MissingExtraError: rope.feed needs torch, which is not installed: pip install 'rope-bench[torch]'"
        in done.stderr
    )


def test_real_photos_are_fed(tmp_path):
    build_dataset(RELEASE, tmp_path / "data", progress=False)
    by_product, _ = sources(tmp_path / "data")
    products = [product for batch in Feed(by_product, num_workers=2) for product in batch.product_ids]
    assert len(products) == len(set(products)) == release_counts()["train"]["products"]
