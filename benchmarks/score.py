"""Scoring at the size of ROPE's validation split, beside bare matrix products and faiss, in one run.

    python benchmarks/score.py [--dims 128 768] [--noise 1.5 3]

Random clustered vectors: a Gaussian centre for each of 2,527 products, and Gaussian noise of `--noise` times its size
for each of 31,388 pages, 29,810 videos and 30,981 live clips. Every task runs in a process of its own, the vectors read
from disk, so that its peak memory is its own. Ratios are to the three bare float32 products of the same run.
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

import numpy as np
from rich.console import Console
from rich.table import Table

SIZES = {"page": 31_388, "video": 29_810, "live": 30_981}
N_PRODUCTS = 2_527
PAIRS = (("page", "video"), ("page", "live"), ("video", "live"))


def make_vectors(folder: Path, dim: int, noise: float) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_PRODUCTS, dim), dtype=np.float32)
    for domain, n in SIZES.items():
        products = np.sort(np.concatenate([np.arange(N_PRODUCTS), rng.integers(0, N_PRODUCTS, n - N_PRODUCTS)]))
        vectors = centres[products] + np.float32(noise) * rng.standard_normal((n, dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(folder / f"{domain}.npy", vectors)
        np.save(folder / f"{domain}_products.npy", products)


def load(folder: Path) -> tuple[dict, dict]:
    vectors = {domain: np.load(folder / f"{domain}.npy") for domain in SIZES}
    return vectors, {domain: np.load(folder / f"{domain}_products.npy") for domain in SIZES}


def task_bare_products(folder: Path) -> dict:
    """Three float32 products in blocks of 2,048 rows: the arithmetic that no exact method avoids."""
    vectors, _ = load(folder)
    out = np.empty((2048, max(SIZES.values())), np.float32)
    started = time.perf_counter()
    for a, b in PAIRS:
        for top in range(0, SIZES[a], 2048):
            rows = vectors[a][top : top + 2048]
            np.matmul(rows, vectors[b].T, out=out[: len(rows), : SIZES[b]])
    return {"seconds": time.perf_counter() - started}


def task_faiss_flat(folder: Path) -> dict:
    """`faiss.IndexFlatIP`, six directions, the nearest 50."""
    import faiss

    vectors, products = load(folder)
    started = time.perf_counter()
    result = {}
    for a, b in [*PAIRS, *((b, a) for a, b in PAIRS)]:
        index = faiss.IndexFlatIP(vectors[b].shape[1])
        index.add(vectors[b])
        found = products[b][index.search(vectors[a], 50)[1]] == products[a][:, None]
        result[f"{a}-{b}"] = float(found[:, 0].mean())
    return {"seconds": time.perf_counter() - started, "R@1": result}


def _sides(folder: Path) -> dict:
    from rope.bench.engine import Labelled
    from rope.bench.similarity import Vectors

    vectors, products = load(folder)
    return {domain: Labelled(Vectors.of(vectors.pop(domain)), products[domain]) for domain in SIZES}


def task_rope_bench_pairs(folder: Path) -> dict:
    """Certified ranks of all positives of the six pairs: R@k, recall@k, MRR, mAP, median rank."""
    from rope.bench.engine import Effort, rank_pair
    from rope.bench.metrics import score_queries, summarise

    warm_up()
    sides = _sides(folder)
    started = time.perf_counter()
    result, n_rechecked = {}, 0
    for a, b in PAIRS:
        forward, backward = rank_pair(sides[a], sides[b], Effort())
        result[f"{a}-{b}"] = summarise(score_queries(forward)).hit_rate[1]
        result[f"{b}-{a}"] = summarise(score_queries(backward)).hit_rate[1]
        n_rechecked += forward.n_rechecked + backward.n_rechecked
    return {"seconds": time.perf_counter() - started, "R@1": result, "rechecked": n_rechecked}


def task_rope_bench_numpy_alone(folder: Path) -> dict:
    """The same without numba."""
    sys.modules["numba"] = None  # type: ignore[assignment]
    return task_rope_bench_pairs(folder)


def task_rope_bench_everything(folder: Path) -> dict:
    """Six pairs, three same-domain pairs, macro means and 20 draws of one-shot classification."""
    from rope.bench.embeddings import DomainEmbeddings
    from rope.bench.engine import Effort
    from rope.bench.one_shot import Draws
    from rope.bench.score import by_product, score
    from rope.dataset.directory import Labels

    warm_up()
    vectors, products = load(folder)
    ids = {domain: [str(i) for i in range(n)] for domain, n in SIZES.items()}
    labels = {d: Labels(ids[d], [f"{p:05d}" for p in products[d]]) for d in SIZES}
    embeddings = {d: DomainEmbeddings(ids[d], vectors.pop(d), "float32") for d in SIZES}
    started = time.perf_counter()
    result = score(embeddings, {d: by_product(labels[d]) for d in SIZES}, Draws(seed=0), Effort())
    return {"seconds": time.perf_counter() - started, "headline": result.headline}


def warm_up() -> None:
    """Compile, where there is something to compile; once per installation, as the result is cached on disk."""
    from rope.bench.engine import Effort, Labelled, rank_pair
    from rope.bench.similarity import Vectors

    side = Labelled(Vectors.of(np.eye(64, dtype=np.float32) + np.float32(0.1)), np.arange(64) // 2)
    rank_pair(side, side, Effort())


TASKS = {
    "three bare products": task_bare_products,
    "faiss IndexFlatIP, six directions, k = 50": task_faiss_flat,
    "rope-bench, six pairs": task_rope_bench_pairs,
    "rope-bench, six pairs, without numba": task_rope_bench_numpy_alone,
    "rope-bench, everything": task_rope_bench_everything,
}


def run_in_process(name: str, folder: Path) -> dict:
    """Run one task in a fresh interpreter and return what it measured."""
    command = [sys.executable, __file__, "--task", name, "--folder", str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(finished.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 768])
    parser.add_argument("--noise", type=float, nargs="+", default=[1.5, 3.0], help="one for each dimension")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        measured = TASKS[options.task](options.folder)
        measured["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(measured))
        return
    console = Console(width=120)
    for dim, noise in zip(options.dims, options.noise, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            make_vectors(Path(folder), dim, noise)
            measured = {name: run_in_process(name, Path(folder)) for name in TASKS}
        bare = measured["three bare products"]["seconds"]
        table = Table(title=f"dimension {dim}, noise {noise:g}, {os.cpu_count()} cores", title_justify="left")
        for heading in ("task", "seconds", "ratio to bare products", "peak MB", "mean R@1", "rechecked"):
            table.add_column(heading, justify="left" if heading == "task" else "right")
        for name, row in measured.items():
            r_at_1 = np.mean(list(row["R@1"].values())) if "R@1" in row else row.get("headline")
            table.add_row(
                name,
                f"{row['seconds']:.1f}",
                f"{row['seconds'] / bare:.2f}",
                f"{row['peak_mb']:.0f}",
                "" if r_at_1 is None else f"{100 * r_at_1:.3f}",
                f"{row['rechecked']:,}" if "rechecked" in row else "",
            )
        console.print(table)


if __name__ == "__main__":
    main()
