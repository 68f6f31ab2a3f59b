"""Peak memory and time of the stage sample against the rows of a pool; each size in a process of its own.

python benchmarks/curation_sample_memory.py --rows 1e6 5e6          # minutes
python benchmarks/curation_sample_memory.py --rows 20e6 50e6        # half an hour, and 3 GB of disk
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

from rope.curation.sampling.stage import SampleRows, sample_rows

SHARD_ROWS = 50_000


def write_pool(folder: Path, n_rows: int) -> list[Path]:
    """Rows of products of some three rows each, in 200 categories."""
    paths = []
    for start in range(0, n_rows, SHARD_ROWS):
        n = min(SHARD_ROWS, n_rows - start)
        generator = np.random.default_rng(start)
        rows = {
            "id": pc.binary_join_element_wise("r", pc.cast(pa.array(np.arange(start, start + n)), pa.string()), ""),
            "domain": pa.array(["page", "video", "live"]).take(pa.array(generator.integers(0, 3, n))),
            "category": pc.cast(pa.array(generator.integers(0, 200, n)), pa.string()),
            "product_hint": pc.cast(pa.array(generator.integers(0, n_rows // 3 + 1, n)), pa.string()),
        }
        paths.append(folder / f"{start:012d}.parquet")
        pq.write_table(pa.table(rows), paths[-1])
    return paths


def measure(n_rows: int) -> None:
    """Sample a pool of so many rows in this process, and print a line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pool(Path(folder), n_rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.monotonic()
        n_kept = sum(outcome.kept.num_rows for outcome in sample_rows(paths, SampleRows(seed=0, rate=0.01)))
        taken = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {n_rows / 1e6:g} | {before:.0f} | {peak:.0f} | {peak - before:.0f} | {taken:.0f} | {n_kept:,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 5e6])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(int(arguments.rows[0]))
        return
    print(
        "| million rows | MiB before | MiB at the peak | MiB more | s | rows kept |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for n_rows in arguments.rows:
        subprocess.run([sys.executable, __file__, "--one", "--rows", str(n_rows)], check=True)


if __name__ == "__main__":
    main()
