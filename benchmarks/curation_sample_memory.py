"""Peak memory and time of the stage sample against the rows of a pool; each size in a process of its own.

python benchmarks/curation_sample_memory.py --rows 1e6 5e6          # minutes
python benchmarks/curation_sample_memory.py --rows 20e6 50e6        # half an hour, and 4 GB of disk

What is measured is all that a worker does for the stage: compare the hashes of its files, draw, write the kept rows and
the others.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.curation.pipeline.worker import execute
from rope.files import sha256_of

SHARD_ROWS = 50_000


def write_pool(folder: Path, n_rows: int) -> list[PoolSlice]:
    """Rows of products of some three rows each, in 200 categories."""
    slices = []
    for start in range(0, n_rows, SHARD_ROWS):
        n = min(SHARD_ROWS, n_rows - start)
        generator = np.random.default_rng(start)
        rows = {
            "id": pc.binary_join_element_wise("r", pc.cast(pa.array(np.arange(start, start + n)), pa.string()), ""),
            "domain": pa.array(["page", "video", "live"]).take(pa.array(generator.integers(0, 3, n))),
            "category": pc.cast(pa.array(generator.integers(0, 200, n)), pa.string()),
            "product_hint": pc.cast(pa.array(generator.integers(0, n_rows // 3 + 1, n)), pa.string()),
        }
        path = folder / f"{start:012d}.parquet"
        pq.write_table(pa.table(rows), path)
        slices.append(PoolSlice(path, 0, n, sha256_of(path)))
    return slices


def measure(n_rows: int, rate: float) -> None:
    """Sample a pool of so many rows in this process, and print a line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        sources = tuple(write_pool(Path(folder), n_rows))
        options = {"seed": 0, "rate": rate}
        out = Path(folder) / "out"
        job = ShardJob("sample", "0", "key", "sample", options, sources, out, 1024, 1e6, 0.0, False, True)
        before, began, spent = peak_mib(), time.monotonic(), time.process_time()
        execute(ShardAttempt(job))
        taken, spent, more = time.monotonic() - began, time.process_time() - spent, peak_mib() - before
        manifest = job.manifest()
        assert manifest is not None
        n_kept = sum(part.kept.rows for part in manifest.parts)
        numbers = f"{n_rows / 1e6:g} | {rate:g} | {before:.0f} | {before + more:.0f} | {more:.0f} | {spent:.0f}"
        print(f"| {numbers} | {taken:.0f} | {n_kept:,} |", flush=True)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 5e6])
    parser.add_argument("--rate", type=float, default=0.01, help="Share of the keys that is drawn.")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(int(options.rows[0]), options.rate)
        return
    head = "million rows | rate | MiB before | MiB at the peak | MiB more | CPU s | s | rows kept"
    print(f"| {head} |\n{'|---' * 8}|", flush=True)
    for n_rows in options.rows:
        command = [sys.executable, __file__, "--one", "--rows", str(n_rows), "--rate", str(options.rate)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
