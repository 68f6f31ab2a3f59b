"""Scoring at the size of ROPE's validation split, beside bare matrix products and faiss, in one run.

    python benchmarks/score.py [--dims 128 768] [--noise 1.5 3] [--peers]

Random clustered vectors: a Gaussian centre for each of 2,527 products, and Gaussian noise of `--noise` times its size
for each of 31,388 pages, 29,810 videos and 30,981 live clips. Every task runs in its own process, the vectors read
from disk, so that its peak memory is its own. Ratios are to the three bare float32 products of the same run. Whole
commands are timed from their start to their files, everything else once vectors and libraries are there.

With `--peers`, the pair of pages and videos alone, both directions, beside the search paths of other evaluators, which
keep the nearest 50: torch, ranx, pytorch-metric-learning and mteb (`pip install 'rope-bench[peers]'`). Ratios are then
to the quick score of rope-bench.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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


def task_whole_command(folder: Path) -> dict:
    """`rope-bench score`, with start, reading and writing."""
    return _command(folder, "--json", str(folder / "result.json"))


def task_whole_quick_command(folder: Path) -> dict:
    """`rope-bench score --quick`, with start and reading."""
    return _command(folder, "--quick")


def _command(folder: Path, *options: str) -> dict:
    program = Path(sys.executable).with_name("rope-bench")
    words = [program, "score", folder / "embeddings.parquet", "--data", folder / "dataset", *options]
    started = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}


def make_dataset(folder: Path) -> None:
    """The dataset of the vectors, without media, and the vectors as a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from rope.dataset.build import build_dataset

    release = folder / "release"
    release.mkdir()
    tables = []
    for domain, texts, images in (
        ("page", "page_titles", "page_images"),
        ("video", "video_asrs", "video_frames"),
        ("live", "live_asrs", "live_clips"),
    ):
        vectors = np.load(folder / f"{domain}.npy")
        products = [f"{product:05d}" for product in np.load(folder / f"{domain}_products.npy")]
        ids, time_of = [f"{domain}{i:06d}" for i in range(len(vectors))], "" if domain == "page" else " 0,"
        for split, own in (
            ("training", [("train", f"{domain}-train")]),
            ("test", list(zip(products, ids, strict=True))),
        ):
            lines = {
                f"{split}_product_{domain}s_pair.txt": [f"{product}, {i}" for product, i in own],
                f"{split}_{texts}.txt": [f"{i}, text" for _, i in own],
                f"{split}_{images}.txt": [f"{i},{time_of} {i}.jpg" for _, i in own],
            }
            for name, text in lines.items():
                (release / name).write_text("\n".join(text) + "\n", "utf-8")
        numbers = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        tables.append(pa.table({"domain": [domain] * len(ids), "sample_id": ids, "embedding": numbers}))
    build_dataset(release, folder / "dataset", media="reference", progress=False)
    pq.write_table(pa.concat_tables(tables), folder / "embeddings.parquet", row_group_size=4096)


def _sides(folder: Path) -> dict:
    from rope.bench.ranking.engine import Labelled
    from rope.bench.ranking.similarity import Vectors

    vectors, products = load(folder)
    return {domain: Labelled(Vectors.of(vectors.pop(domain)), products[domain]) for domain in SIZES}


def _rank(folder: Path, pairs: tuple, **options: object) -> dict:
    """Certified ranks of some pairs, in both directions."""
    from rope.bench.ranking.engine import ComputeSettings, rank_pair

    best_only = bool(options.pop("best_only", False))
    warm_up()
    sides = _sides(folder)
    started = time.perf_counter()
    result, n_rechecked = {}, 0
    for a, b in pairs:
        both = rank_pair(sides[a], sides[b], ComputeSettings(**options), best_only=best_only)
        for name, ranks in zip((f"{a}-{b}", f"{b}-{a}"), both, strict=True):
            best = ranks.above[ranks.offsets[:-1][np.diff(ranks.offsets) > 0]]
            result[name] = float((best == 0).mean())
            n_rechecked += ranks.n_rechecked
    return {"seconds": time.perf_counter() - started, "R@1": result, "rechecked": n_rechecked}


def task_quick(folder: Path) -> dict:
    """The best positive of each query in the six pairs: R@k, MRR and median rank; 16 bits where that pays."""
    return _rank(folder, PAIRS, best_only=True)


def task_all_positives(folder: Path) -> dict:
    """All positives of the six pairs: R@k, recall@k, MRR, mAP, median rank."""
    return _rank(folder, PAIRS)


def task_all_positives_in_float32(folder: Path) -> dict:
    """The same with float32 products alone."""
    from rope.bench.ranking.backends import Float32

    return _rank(folder, PAIRS, arithmetics=[Float32()])


def task_numpy_alone(folder: Path) -> dict:
    """The same without numba."""
    sys.modules["numba"] = None  # type: ignore[assignment]
    return _rank(folder, PAIRS)


def task_everything(folder: Path) -> dict:
    """Six pairs, three same-domain pairs, macro means and 20 draws of one-shot classification."""
    from rope.bench.io.embeddings import DomainEmbeddings
    from rope.bench.one_shot import Draws
    from rope.bench.ranking.engine import ComputeSettings
    from rope.bench.score import by_product, score
    from rope.dataset.directory import SampleLabels

    warm_up()
    vectors, products = load(folder)
    ids = {domain: [str(i) for i in range(n)] for domain, n in SIZES.items()}
    labels = {d: SampleLabels(ids[d], [f"{p:05d}" for p in products[d]]) for d in SIZES}
    embeddings = {d: DomainEmbeddings(ids[d], vectors.pop(d), "float32") for d in SIZES}
    started = time.perf_counter()
    result = score(embeddings, {d: by_product(labels[d]) for d in SIZES}, Draws(seed=0), ComputeSettings())
    return {"seconds": time.perf_counter() - started, "headline": result.headline}


def task_one_pair(folder: Path) -> dict:
    """What rope-bench makes of one pair: all positives."""
    return _rank(folder, PAIRS[:1])


def task_one_pair_quick(folder: Path) -> dict:
    """What rope-bench makes of one pair: the best positives."""
    return _rank(folder, PAIRS[:1], best_only=True)


def _both_ways(folder: Path, search: Callable) -> dict:
    """R@1 of one pair in both directions by a function of (queries, gallery, their products)."""
    vectors, products = load(folder)
    (a, b), result = PAIRS[0], {}
    started = time.perf_counter()
    for x, y in ((a, b), (b, a)):
        result[f"{x}-{y}"] = search(vectors[x], vectors[y], products[x], products[y])
    return {"seconds": time.perf_counter() - started, "R@1": result}


def task_faiss_pair(folder: Path) -> dict:
    """`faiss.IndexFlatIP`."""

    def search(queries, gallery, query_products, gallery_products):
        found = gallery_products[_faiss_search(queries, gallery)[1]]
        return float((found[:, 0] == query_products).mean())

    return _both_ways(folder, search)


def _faiss_search(queries: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    return index.search(queries, 50)


def task_torch_pair(folder: Path) -> dict:
    """`torch.topk` over blocks of 1,024 queries."""
    import torch

    def search(queries, gallery, query_products, gallery_products):
        gallery, hits = torch.from_numpy(gallery), 0
        for top in range(0, len(queries), 1024):
            nearest = torch.topk(torch.from_numpy(queries[top : top + 1024]) @ gallery.T, 50, dim=1).indices[:, 0]
            hits += (gallery_products[nearest.numpy()] == query_products[top : top + 1024]).sum()
        return float(hits / len(queries))

    return _both_ways(folder, search)


def task_ranx_pair(folder: Path) -> dict:
    """ranx on the nearest 50 that faiss finds: a run and qrels made of dictionaries, hit rate and MRR."""
    import ranx

    metrics = ["hit_rate@1", "hit_rate@5", "hit_rate@10", "hit_rate@50", "mrr"]
    tiny = {"q": {"d": 1}}
    ranx.evaluate(ranx.Qrels(tiny), ranx.Run({"q": {"d": 1.0}}), metrics)  # compiles, for half a minute

    def search(queries, gallery, query_products, gallery_products):
        scores, nearest = _faiss_search(queries, gallery)
        names = [str(i) for i in range(len(gallery))]
        run = {
            str(q): dict(zip([names[i] for i in row], of_row.tolist(), strict=True))
            for q, (row, of_row) in enumerate(zip(nearest, scores, strict=True))
        }
        qrels = ranx.Qrels(_qrels(query_products, gallery_products))
        return float(ranx.evaluate(qrels, ranx.Run(run), metrics)["hit_rate@1"])

    return _both_ways(folder, search)


def _qrels(query_products: np.ndarray, gallery_products: np.ndarray) -> dict[str, dict[str, int]]:
    first = np.searchsorted(gallery_products, query_products)
    last = np.searchsorted(gallery_products, query_products, "right")
    return {str(q): {str(i): 1 for i in range(start, stop)} for q, (start, stop) in enumerate(zip(first, last))}  # noqa: B905


def task_metric_learning_pair(folder: Path) -> dict:
    """pytorch-metric-learning's AccuracyCalculator: precision at 1 with k = 50."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=("precision_at_1",), k=50, device=torch.device("cpu"))

    def search(queries, gallery, query_products, gallery_products):
        given = (torch.from_numpy(array) for array in (queries, query_products, gallery, gallery_products))
        return float(calculator.get_accuracy(*given, ref_includes_query=False)["precision_at_1"])

    return _both_ways(folder, search)


def task_mteb_pair(folder: Path) -> dict:
    """mteb's search over the whole gallery and its retrieval metrics, on vectors that are given, k = 50."""
    import datasets
    import mteb
    from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores
    from mteb.models.search_wrappers import chunked_full_corpus_search
    from mteb.similarity_functions import cos_sim

    metadata = mteb.get_task("NFCorpus").metadata  # any retrieval task; it names what is logged

    def search(queries, gallery, query_products, gallery_products):
        names = [str(i) for i in range(len(gallery))]
        corpus = datasets.Dataset.from_dict({"id": names, "text": names, "title": names})
        heaps = chunked_full_corpus_search(
            task_corpus=corpus,
            corpus_chunk_size=50_000,
            query_idx_to_id={q: str(q) for q in range(len(queries))},
            query_embeddings=queries,
            task_metadata=metadata,
            hf_subset="default",
            hf_split="test",
            top_k=50,
            encode_kwargs={"show_progress_bar": False, "batch_size": 32},
            encode_fn=lambda *_, **__: gallery,
            similarity_fn=cos_sim,
        )
        found = {query: {name: score for score, name in heap} for query, heap in heaps.items()}
        qrels = _qrels(query_products, gallery_products)
        return float(calculate_retrieval_scores(found, qrels, [1, 5, 10, 20, 50]).hit_rate["HitRate@1"])

    return _both_ways(folder, search)


def warm_up() -> None:
    """Compile and load libraries, where there is something to compile or load; that takes as long for any size."""
    from rope.bench.ranking.engine import INT16_PAYS, ComputeSettings, Labelled, rank_pair
    from rope.bench.ranking.similarity import Vectors

    n = 8192
    assert n * n >= INT16_PAYS, "fewer samples would not need all that is to be loaded"
    rng = np.random.default_rng(0)
    side = Labelled(Vectors.of(rng.standard_normal((n, 64), np.float32)), np.arange(n) // 2)
    rank_pair(side, side, ComputeSettings(), drawn=(np.ones((n, 1), np.uint64),) * 2)


SPLIT_TASKS = {
    "three bare products": task_bare_products,
    "faiss IndexFlatIP, six directions, k = 50": task_faiss_flat,
    "rope-bench, quick": task_quick,
    "rope-bench, all positives": task_all_positives,
    "rope-bench, all positives, float32 alone": task_all_positives_in_float32,
    "rope-bench, all positives, without numba": task_numpy_alone,
    "rope-bench, everything": task_everything,
    "rope-bench score, whole command": task_whole_command,
    "rope-bench score --quick, whole command": task_whole_quick_command,
}
PAIR_TASKS = {
    "rope-bench, quick": task_one_pair_quick,
    "rope-bench, all positives": task_one_pair,
    "faiss IndexFlatIP": task_faiss_pair,
    "torch.topk": task_torch_pair,
    "pytorch-metric-learning": task_metric_learning_pair,
    "ranx (after faiss)": task_ranx_pair,
    "mteb": task_mteb_pair,
}


def run_in_process(name: str, folder: Path, peers: bool) -> dict:
    """Run one task in a fresh interpreter and return what it measured."""
    command = [sys.executable, __file__, "--task", name, "--folder", str(folder), *(["--peers"] if peers else [])]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 768])
    parser.add_argument("--noise", type=float, nargs="+", default=[1.5, 3.0], help="one for each dimension")
    parser.add_argument("--peers", action="store_true", help="one pair beside other evaluators")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    tasks = PAIR_TASKS if options.peers else SPLIT_TASKS
    if options.task:
        measured = tasks[options.task](options.folder)
        measured.setdefault("peak_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps(measured))
        return
    console = Console(width=120)
    for dim, noise in zip(options.dims, options.noise, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own, as a process begins with the peak memory of the one that starts it.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(make_vectors, Path(folder), dim, noise).result()
                if not options.peers:
                    pool.submit(make_dataset, Path(folder)).result()
            measured = {name: run_in_process(name, Path(folder), options.peers) for name in tasks}
        first = next(iter(measured))
        table = Table(title=f"dimension {dim}, noise {noise:g}, {os.cpu_count()} cores", title_justify="left")
        for heading in ("task", "seconds", f"ratio to {first}", "peak MB", "mean R@1", "rechecked"):
            table.add_column(heading, justify="left" if heading == "task" else "right")
        for name, row in measured.items():
            r_at_1 = np.mean(list(row["R@1"].values())) if "R@1" in row else row.get("headline")
            table.add_row(
                name,
                f"{row['seconds']:.1f}",
                f"{row['seconds'] / measured[first]['seconds']:.2f}",
                f"{row['peak_mb']:.0f}",
                "" if r_at_1 is None else f"{100 * r_at_1:.3f}",
                f"{row['rechecked']:,}" if "rechecked" in row else "",
            )
        console.print(table)


if __name__ == "__main__":
    main()
