"""Building a dataset of a million samples and ten million image rows, beside plainer ways to read the same files.

    python benchmarks/build.py [--samples 1000000] [--image-rows 10000000]

A seeded release with shuffled rows, Chinese titles with commas in them and 40-character image names is made in a
temporary folder, and built with `media="reference"`, which reads no image. Every task runs in its own process, so
that its peak memory is its own. Beside it, in the same run: a scan of the bytes for line ends, `read_csv` of DuckDB
(reading alone, no join and no checks), and the whole job as one would write it with pandas, which checks nothing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARES = {"page": 0.35, "video": 0.4, "live": 0.25}
"""Of the samples. Every page has one image row; videos and live clips share the rest evenly."""

FILES = {
    "page": ("product_pages_pair", "page_titles", "page_images"),
    "video": ("product_videos_pair", "video_asrs", "video_frames"),
    "live": ("product_lives_pair", "live_asrs", "live_clips"),
}
SAMPLES_A_PRODUCT = 40
VALIDATION_SHARE = 0.02


def task_make(folder: Path, n_samples: int, n_image_rows: int) -> dict:
    """Write the eighteen files, column-wise."""
    import numpy as np

    rng = np.random.default_rng(0)
    first_id = 1_000_000
    n_pages = round(n_samples * SHARES["page"])
    frames_a_clip = (n_image_rows - n_pages) / (n_samples - n_pages)
    for domain, share in SHARES.items():
        for prefix, part in (("training", 1 - VALIDATION_SHARE), ("test", VALIDATION_SHARE)):
            n = round(n_samples * share * part)
            ids = np.arange(first_id, first_id + n)
            first_id += n
            products = rng.integers(0, max(1, round(n_samples * part / SAMPLES_A_PRODUCT)), n)
            products += 10_000_000 if prefix == "training" else 90_000_000
            n_frames = 1 if domain == "page" else frames_a_clip
            write_domain(folder, prefix, domain, ids, products, n_frames, rng)
    sizes = [path.stat().st_size for path in folder.glob("*.txt")]
    return {"bytes": sum(sizes)}


def write_domain(folder: Path, prefix: str, domain: str, ids, products, frames_a_sample: float, rng) -> None:
    """The three files of one domain and split, each in its own order."""
    import numpy as np

    pair_name, text_name, image_name = FILES[domain]
    order = rng.permutation(len(ids))
    write_lines(folder / f"{prefix}_{pair_name}.txt", [products[order], ids[order]])
    order = rng.permutation(len(ids))
    texts = some_texts(rng)
    write_lines(folder / f"{prefix}_{text_name}.txt", [ids[order], texts.take(rng.integers(0, len(texts), len(ids)))])
    n_rows = round(len(ids) * frames_a_sample)
    owners = np.arange(n_rows) % len(ids)
    times = 30 * (1 + np.arange(n_rows) // len(ids))
    order = rng.permutation(n_rows)
    columns = [ids[owners][order], image_names(n_rows, rng)]
    if domain != "page":
        columns.insert(1, times[order])
    write_lines(folder / f"{prefix}_{image_name}.txt", columns)


def some_texts(rng):
    """Ten thousand texts of 10 to 60 characters, a tenth of them the empty mark, half of them with commas."""
    import pyarrow as pa

    words = ["蓝色", "杯子", "加厚", "家用", "双层", "玻璃", "新款", "cup", "500ml", "a, b", "今天给大家", "，", "好用"]
    texts = [" ".join(rng.choice(words, rng.integers(3, 15))) for _ in range(10_000)]
    return pa.array([text if i % 10 else "空" for i, text in enumerate(texts)])


def image_names(n: int, rng):
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    halves = [pc.cast(pa.array(rng.integers(10**17, 10**18, n, np.int64)), pa.string()) for _ in range(2)]
    return pc.binary_join_element_wise(*halves, ".jpg", "")


def write_lines(path: Path, columns) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = [pc.cast(pa.array(column), pa.string()) for column in columns]
    lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*fields, ", "), "\n", "")
    with path.open("wb") as file:
        file.write(lines.buffers()[2])  # the lines back to back are the file


def task_scan_of_the_bytes(folder: Path) -> dict:
    """Read every byte and count the line ends, as `wc -l` does."""
    started = time.perf_counter()
    n_lines = 0
    for path in sorted(folder.glob("*.txt")):
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                n_lines += piece.count(b"\n")
    return {"seconds": time.perf_counter() - started, "lines": n_lines}


def task_duckdb_read_csv(folder: Path) -> dict:
    """Load the files as tables with DuckDB's own reader, each text line as one column."""
    import duckdb

    with tempfile.TemporaryDirectory() as scratch, duckdb.connect(f"{scratch}/tables.duckdb") as connection:
        connection.execute("SET memory_limit = '1GiB'")
        started = time.perf_counter()
        for path in sorted(folder.glob("*.txt")):
            delimiter = "\x01" if path.stem.endswith(("titles", "asrs")) else ","
            connection.execute(
                f"CREATE TABLE {path.stem} AS SELECT * FROM "
                f"read_csv('{path}', delim = '{delimiter}', header = false, all_varchar = true, quote = '')"
            )
        return {"seconds": time.perf_counter() - started}


def task_pandas_whole_job(folder: Path) -> dict:
    """Read, join, sort, group and write with pandas, everything in memory."""
    import pandas as pd

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        for domain, (pair_name, text_name, image_name) in FILES.items():
            for prefix in ("training", "test"):
                options = {"header": None, "skipinitialspace": True, "dtype": str}
                pairs = pd.read_csv(folder / f"{prefix}_{pair_name}.txt", names=["product_id", "sample_id"], **options)
                lines = pd.read_csv(folder / f"{prefix}_{text_name}.txt", sep="\x01", names=["line"], **options)
                texts = lines["line"].str.split(",", n=1, expand=True).set_axis(["sample_id", "text"], axis=1)
                columns = ["sample_id", "image"] if domain == "page" else ["sample_id", "time", "image"]
                images = pd.read_csv(folder / f"{prefix}_{image_name}.txt", names=columns, **options)
                images["time"] = 0 if domain == "page" else images["time"].astype("int64")
                grouped = images.sort_values(["sample_id", "time"]).groupby("sample_id")[["image", "time"]].agg(list)
                samples = pairs.merge(texts, on="sample_id", how="left").merge(grouped, on="sample_id")
                samples["size"] = samples["sample_id"].str.len()
                samples = samples.sort_values(["size", "sample_id"]).drop(columns="size")
                samples.to_parquet(f"{out}/{prefix}_{domain}.parquet", compression="zstd")
    return {"seconds": time.perf_counter() - started}


def task_rope_build(folder: Path) -> dict:
    """`rope build --media reference` with its default limit of 1 GiB for the database."""
    from rope.dataset.build import build_dataset

    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        report = build_dataset(folder, Path(out) / "dataset", media="reference", progress=False)
        seconds = time.perf_counter() - started
    if report.faults:
        raise SystemExit(f"the release should be sound, but: {report.faults}")
    counts = report.manifest.counts.values()
    return {"seconds": seconds, "samples": sum(count[c] for count in counts for c in ("pages", "videos", "lives"))}


TASKS = {
    "scan of the bytes": task_scan_of_the_bytes,
    "DuckDB read_csv, reading alone": task_duckdb_read_csv,
    "pandas, whole job, no checks": task_pandas_whole_job,
    "rope build": task_rope_build,
}


def run_in_process(task: str, folder: Path, options: argparse.Namespace) -> dict:
    """Run one task in a fresh interpreter and return what it measured."""
    command = [sys.executable, __file__, "--task", task, "--folder", str(folder)]
    command += ["--samples", str(options.samples), "--image-rows", str(options.image_rows)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    return json.loads(finished.stdout.splitlines()[-1])


def run_task(options: argparse.Namespace) -> dict:
    if options.task == "make":
        return task_make(options.folder, options.samples, options.image_rows)
    measured = TASKS[options.task](options.folder)
    return measured | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def print_table(measured: dict[str, dict], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("task", "seconds", "rows/s", "ratio to read_csv", "ratio to pandas", "peak MB"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    n_rows = measured["scan of the bytes"]["lines"]
    for name, row in measured.items():
        ratios = [row["seconds"] / measured[peer]["seconds"] for peer in list(TASKS)[1:3]]
        cells = [f"{row['seconds']:.1f}", f"{n_rows / row['seconds']:,.0f}", *(f"{ratio:.2f}" for ratio in ratios)]
        table.add_row(name, *cells, f"{row['peak_mb']:,.0f}")
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--image-rows", type=int, default=10_000_000)
    parser.add_argument("--task", choices=["make", *TASKS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(run_task(options)))
        return
    with tempfile.TemporaryDirectory() as name:
        made = run_in_process("make", Path(name), options)
        measured = {task: run_in_process(task, Path(name), options) for task in TASKS}
    samples, lines = measured["rope build"]["samples"], measured["scan of the bytes"]["lines"]
    size = f"{made['bytes'] / 1e6:,.0f} MB"
    print_table(measured, f"{samples:,} samples, {lines:,} lines, {size}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
