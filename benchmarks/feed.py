"""Loading samples for training, beside the usual ways to read the same shards: 8 frames of 540 x 960 to 224 x 224.

    python benchmarks/feed.py [--samples 480] [--workers 2] [--rounds 3]

A seeded dataset of videos, one a product, is built in a temporary folder and also written as tar files for webdataset.
Every loader then makes shuffled batches of 16 videos with the same number of workers, in turns, several rounds; a
figure is the median of its rounds. The last table says what it costs to read one sample at random, without decoding.
"""

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import torch
import webdataset
from PIL import Image
from torch.utils.data import DataLoader

from rope.dataset.build import build_dataset
from rope.dataset.load import load_dataset
from rope.dataset.sample_table import SampleTable
from rope.feed import BalancedProducts, ClipReader, Feed, SampleStream

N_FRAMES = 8
SIZE = 224
BATCH = 16
HEIGHT, WIDTH = 960, 540
N_TARS = 8
SHUFFLED = 128
"""Samples in the shuffle buffers of the loaders that stream."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=480)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder) / "cache"
        datasets.disable_progress_bars()
        data, tars = make_data(Path(folder), options.samples)
        started = time.perf_counter()
        load_dataset(data, "videos", split="train")
        gigabytes = sum(path.stat().st_size for path in data.glob("videos/train*")) / 1e9
        print(f"{gigabytes:.2f} GB of shards; cache for random access made in {time.perf_counter() - started:.1f} s\n")
        compare_loaders(loaders(data, tars, options.workers), options.samples, options.rounds)
        compare_reads(data)


def make_data(folder: Path, n_samples: int) -> tuple[Path, list[Path]]:
    """Write a release, build it, and put the same images into tar files."""
    rng = np.random.default_rng(0)
    images = [noisy_jpeg(rng) for _ in range(64)]
    release = folder / "release"
    (release / "images").mkdir(parents=True)
    for i, image in enumerate(images):
        (release / "images" / f"{i}.jpg").write_bytes(image)
    for prefix, n in (("training", n_samples), ("test", 1)):
        write_split(release, prefix, n, len(images))
    build_dataset(release, folder / "data", shard_bytes=32 << 20, progress=False)  # a shard a row group
    tars = [folder / f"train-{i:03d}.tar" for i in range(N_TARS)]
    for i, path in enumerate(tars):
        with tarfile.open(path, "w") as tar:
            for sample in range(i, n_samples, N_TARS):
                for k in range(N_FRAMES):
                    add(tar, f"{sample:06d}.{k}.jpg", images[image_of(sample, k, len(images))])
    return folder / "data", tars


def noisy_jpeg(rng: np.random.Generator) -> bytes:
    """A picture with large and small structure, of about 100 KB."""
    coarse = Image.fromarray(rng.integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), np.uint8))
    pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += rng.integers(-12, 12, pixels.shape, np.int16)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def image_of(sample: int, frame: int, n_images: int) -> int:
    return (sample * 5 + frame) % n_images


def write_split(release: Path, prefix: str, n_products: int, n_images: int) -> None:
    """One page, one video of 8 frames and one live clip of one frame per product."""
    start = 0 if prefix == "training" else 10_000_000
    for place, (kind, texts, images) in enumerate(
        (
            ("pages", "page_titles", "page_images"),
            ("videos", "video_asrs", "video_frames"),
            ("lives", "live_asrs", "live_clips"),
        )
    ):
        ids = [start + 1_000_000 * (place + 1) + i for i in range(n_products)]
        pairs = "".join(f"{start + i}, {sample}\n" for i, sample in enumerate(ids))
        (release / f"{prefix}_product_{kind}_pair.txt").write_text(pairs)
        (release / f"{prefix}_{texts}.txt").write_text("".join(f"{sample}, a text\n" for sample in ids))
        n_frames = N_FRAMES if kind == "videos" else 1
        rows = [
            f"{sample}, {'' if kind == 'pages' else f'{30 * k}, '}{image_of(i, k, n_images)}.jpg\n"
            for i, sample in enumerate(ids)
            for k in range(n_frames)
        ]
        (release / f"{prefix}_{images}.txt").write_text("".join(rows))


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def loaders(data: Path, tars: list[Path], n_workers: int) -> dict[str, Callable[[], Iterator[int]]]:
    """Name -> an epoch, as the numbers of samples in its batches."""
    reader = ClipReader(n_frames=N_FRAMES, size=SIZE)
    options = {"reader": reader, "seed": 0, "batch_size": BATCH}
    balanced = BalancedProducts(data, "train", domains=["video"], **options)
    stream = SampleStream(data, "video", "train", groups_a_block=4, **options)
    rows = load_dataset(data, "videos", split="train").select_columns(["sample_id", "frames"])
    streamed = load_dataset(data, "videos", split="train", streaming=True).select_columns(["sample_id", "frames"])
    tarred = (
        webdataset.WebDataset([str(path) for path in tars], shardshuffle=N_TARS, seed=0)
        .shuffle(SHUFFLED, seed=0)
        .map(from_tar)
        .batched(BATCH, collation_fn=torch.utils.data.default_collate)
    )

    def batches(dataset: object, **more: object) -> Iterator[int]:
        for batch in DataLoader(dataset, num_workers=n_workers, **more):
            yield len(batch["frames"])

    return {
        "rope, SampleStream": lambda: (len(b.frames) for b in Feed(stream, num_workers=n_workers)),
        "rope, BalancedProducts": lambda: (len(b.product_ids) for b in Feed(balanced, num_workers=n_workers)),
        "datasets, DataLoader": lambda: batches(rows.with_transform(from_rows), batch_size=BATCH, shuffle=True),
        "datasets, streaming": lambda: batches(
            streamed.shuffle(seed=0, buffer_size=SHUFFLED).map(from_row), batch_size=BATCH
        ),
        "webdataset": lambda: batches(tarred, batch_size=None),
    }


def to_tensor(images: list[Image.Image]) -> torch.Tensor:
    """uint8 [8, 3, 224, 224], resized as `ClipReader` does."""
    resized = [np.asarray(i.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for i in images]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).contiguous()


def from_row(row: dict) -> dict:
    return {"sample_id": row["sample_id"], "frames": to_tensor(row["frames"])}


def from_rows(rows: dict) -> dict:
    return {"sample_id": rows["sample_id"], "frames": [to_tensor(frames) for frames in rows["frames"]]}


def from_tar(sample: dict) -> dict:
    images = [Image.open(io.BytesIO(sample[f"{k}.jpg"])) for k in range(N_FRAMES)]
    return {"sample_id": sample["__key__"], "frames": to_tensor(images)}


def compare_loaders(epochs: dict[str, Callable[[], Iterator[int]]], n_samples: int, n_rounds: int) -> None:
    """Elapsed time, and the time of all processes together, which other users of the machine disturb less."""
    elapsed: dict[str, list[float]] = {name: [] for name in epochs}
    busy: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(n_rounds):
        for name, epoch in epochs.items():
            started, used = time.perf_counter(), cpu_seconds()
            n_loaded = sum(epoch())
            elapsed[name].append(time.perf_counter() - started)
            busy[name].append(cpu_seconds() - used)
            assert n_loaded == n_samples, (name, n_loaded)
    seconds = {name: (statistics.median(elapsed[name]), statistics.median(busy[name])) for name in epochs}
    peers = [taken for name, taken in seconds.items() if not name.startswith("rope")]
    best = [min(column) for column in zip(*peers, strict=True)]
    print("| loader | samples/s | ratio to the best peer | CPU ms a sample | ratio to the best peer |")
    print("|---|---|---|---|---|")
    for name, (wall, cpu) in seconds.items():
        rate, cost = n_samples / wall, cpu / n_samples * 1e3
        print(f"| {name} | {rate:.1f} | {best[0] / wall:.2f} | {cost:.1f} | {cpu / best[1]:.2f} |")
    print(f"\n(load average {os.getloadavg()[0]:.1f})\n")


def cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def compare_reads(data: Path) -> None:
    """One video at random, encoded: from the cache of `datasets`, and from row groups of several sizes in memory.

    Processor time, since other users of the machine disturb it less.
    """
    table = SampleTable(data, "video", "train")
    rows = np.random.default_rng(0).permutation(len(table))[:100].tolist()
    started = time.process_time()
    for row in rows:
        table.sample(row, N_FRAMES)
    cached = (time.process_time() - started) / len(rows) * 1e3
    print("| one video at random from | MB read | ms |\n|---|---|---|")
    whole = pq.read_table([*data.glob("videos/train-*")], columns=["sample_id", "text", "frames"])
    mb_a_row = whole.nbytes / len(whole) / 1e6
    print(f"| the cache of datasets | {mb_a_row:.1f} | {cached:.2f} |")
    for megabytes in (2, 4, 8, 16, 32):
        n_rows = max(1, round(megabytes / mb_a_row))
        path = data.parent / "grouped.parquet"
        pq.write_table(whole, path, row_group_size=n_rows, compression="none", use_dictionary=False)
        with pq.ParquetFile(path, memory_map=True) as shard:
            started = time.process_time()
            for row in rows[:20]:
                shard.read_row_group(row // n_rows)
            taken = (time.process_time() - started) / 20 * 1e3
        print(f"| a row group of {megabytes} MB | {min(n_rows, len(whole)) * mb_a_row:.1f} | {taken:.2f} |")


if __name__ == "__main__":
    main()
