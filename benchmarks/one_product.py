"""Time and peak memory where one product has very many samples, which makes the square of that many positives.

    python benchmarks/one_product.py [--samples 100000] [--others 5000] [--dim 64] [--full]

Two domains. In each, one product has `--samples` samples, and `--others` samples belong to a thousand more. Vectors are
random and clustered. `rope-bench score --quick`, and with `--full` the whole score, is computed in a process of its
own, on vectors read from disk.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DOMAINS = ("page", "video")


def make_vectors(folder: Path, samples: int, others: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1001, dim), dtype=np.float32)
    for domain in DOMAINS:
        products = np.sort(np.concatenate([np.full(samples, 500), rng.choice(np.delete(np.arange(1001), 500), others)]))
        noise = rng.standard_normal((len(products), dim), dtype=np.float32)
        np.save(folder / f"{domain}.npy", centres[products] + 2 * noise)
        np.save(folder / f"{domain}_products.npy", products)


def measure(folder: Path, memory: int | None, full: bool) -> dict:
    from rope.bench.io.embeddings import DomainEmbeddings
    from rope.bench.one_shot import Draws
    from rope.bench.quick import quick_score
    from rope.bench.ranking.engine import ComputeSettings
    from rope.bench.score import score
    from rope.dataset.directory import SampleLabels

    labels, embeddings = {}, {}
    for domain in DOMAINS:
        vectors, products = np.load(folder / f"{domain}.npy"), np.load(folder / f"{domain}_products.npy")
        ids = [str(i) for i in range(len(products))]
        labels[domain] = SampleLabels(ids, [f"{product:05d}" for product in products])
        embeddings[domain] = DomainEmbeddings(ids, vectors, "float32")
    compute = ComputeSettings(memory)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    if full:
        scored = score(embeddings, labels, Draws(seed=0), compute)
        found = {name: pair.micro.hit_rate[1] for name, pair in scored.pairs.items() if pair.micro is not None}
    else:
        found = {name: pair.hit_rate[1] for name, pair in quick_score(embeddings, labels, compute).pairs.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "what": "everything" if full else "quick",
        "seconds": round(time.perf_counter() - started, 1),
        "vectors and labels, MB": before // 1024,
        "peak MB": peak // 1024,
        "R@1": {name: round(100 * value, 3) for name, value in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--others", type=int, default=5_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--memory", type=int, help="bytes, as --memory of rope-bench score")
    parser.add_argument("--full", action="store_true", help="also the whole score")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder, options.memory, options.full)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_vectors(Path(folder), options.samples, options.others, options.dim)
        for full in (False, True)[: 1 + options.full]:
            command = [sys.executable, __file__, "--folder", folder, *(["--full"] if full else [])]
            if options.memory:
                command += ["--memory", str(options.memory)]
            print(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
