"""A million queries against a million gallery samples, both ways, the vectors read from disk as they are needed.

    python benchmarks/million.py [--samples 1000000] [--dim 512] [--device cuda] [--all-positives]

Random clustered vectors, 10 samples a product on each side, written to two files of 2 GB in a temporary folder and
mapped into memory, so that no more of them has to be in memory than the blocks at work. Meant for an accelerator: a
product of this size is 10^15 operations.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_pair
from rope.bench.ranking.similarity import Vectors
from rope.console import progress_bar

PER_PRODUCT = 10
ROWS_AT_ONCE = 20_000


def write_vectors(path: Path, n: int, dim: int, seed: int) -> None:
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (n, dim))
    for start in range(0, n, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, n)
        centres = np.random.default_rng([0, start]).standard_normal((ROWS_AT_ONCE // PER_PRODUCT, dim), np.float32)
        noise = np.random.default_rng([seed, start]).standard_normal((stop - start, dim), np.float32)
        vectors[start:stop] = np.repeat(centres, PER_PRODUCT, axis=0)[: stop - start] + 3 * noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--all-positives", action="store_true", help="rank every positive, not the best alone")
    options = parser.parse_args()
    n, products = options.samples, np.arange(options.samples) // PER_PRODUCT
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for seed in (1, 2):
            path = Path(folder, f"{seed}.npy")
            write_vectors(path, n, options.dim, seed)
            sides.append(Labelled(Vectors.of(np.load(path, mmap_mode="r")), products))
        started = time.perf_counter()
        with progress_bar("ranking", n * n) as advance:
            compute = ComputeSettings(device=options.device, advance=advance)
            both = rank_pair(*sides, compute, best_only=not options.all_positives)
        seconds = time.perf_counter() - started
    for ranks in both:
        best = ranks.above[ranks.offsets[:-1]]
        print(f"R@1 {100 * np.mean(best == 0):.3f} %, {ranks.n_rechecked:,} rechecked")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n:,} x {n:,} at {options.dim} dimensions on {options.device}: {seconds:.1f} s, peak memory {peak:.1f} GB")


if __name__ == "__main__":
    main()
