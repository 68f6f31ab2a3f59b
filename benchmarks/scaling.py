"""What a score costs as galleries and dimensions grow: one pair, both directions, beside the bare product.

    python benchmarks/scaling.py [--sizes 10000 30000 100000] [--dims 64 128 256 512 1024]

Random clustered vectors of 12 samples a product on each side, made in memory. Sizes are measured at 128 dimensions, and
dimensions at 30,000 samples. Every row is one process, its tasks one after the other; ratios are to the bare product of
the same row.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from score import warm_up

PER_PRODUCT = 12
HEADINGS = (
    "samples",
    "dimension",
    "bare product, s",
    "quick",
    "all positives",
    "and one-shot expectation",
    "faiss, k = 50",
    "peak MB",
)


def timed(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def measure(n: int, dim: int) -> list[float]:
    """Seconds of the bare product, then ratios to it, then the peak memory before faiss in MB."""
    import faiss

    from rope.bench.one_shot import Draws, support_bits
    from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_pair
    from rope.bench.ranking.similarity import Vectors

    rng = np.random.default_rng(0)
    products = np.arange(n) // PER_PRODUCT
    centres = rng.standard_normal((n // PER_PRODUCT + 1, dim), dtype=np.float32)
    sides = []
    for _ in range(2):
        vectors = centres[products] + np.float32(dim**0.5 / 8) * rng.standard_normal((n, dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        sides.append(Labelled(Vectors.of(vectors), products))
    a, b = sides
    bits = support_bits(products, Draws(seed=0))
    warm_up()

    def product() -> None:
        out = np.empty((2048, n), np.float32)
        for top in range(0, n, 2048):
            rows = a.vectors.raw[top : top + 2048]
            np.matmul(rows, b.vectors.raw.T, out=out[: len(rows)])

    def search() -> None:
        for queries, gallery in ((a, b), (b, a)):
            index = faiss.IndexFlatIP(dim)
            index.add(gallery.vectors.raw)
            index.search(queries.vectors.raw, 50)

    bare = timed(product)
    ours = [
        timed(lambda: rank_pair(a, b, ComputeSettings(), best_only=True)),
        timed(lambda: rank_pair(a, b, ComputeSettings())),
        timed(lambda: rank_pair(a, b, ComputeSettings(), drawn=(bits, bits))),
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [bare, *(seconds / bare for seconds in [*ours, timed(search)]), peak]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--row", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(*options.row)))
        return
    table = Table(title=f"one pair, both directions, {os.cpu_count()} cores; ratios to the bare product")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for n, dim in [*((n, 128) for n in options.sizes), *((30_000, dim) for dim in options.dims)]:
        command = [sys.executable, __file__, "--row", str(n), str(dim)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        bare, *ratios, peak = json.loads(finished.stdout.splitlines()[-1])
        table.add_row(f"{n:,}", str(dim), f"{bare:.2f}", *(f"{ratio:.2f}" for ratio in ratios), f"{peak:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
