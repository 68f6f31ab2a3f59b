"""Seconds and memory of sampling 5,000,000 rows, of splitting 189,958 products into 187,431 and 2,527, and of the
search for near pairs before the split and of the leak audit after it, among 920,071 samples.

    python benchmarks/curation_split.py [--rows 5000000] [--products 189958] [--samples 920071] [--dim 64]

Rows have a key of 1,000,000, one of 1,396 long-tailed categories and a domain. Products have Zipf categories, 9 % of
them are in leakage groups of 2 to 8, and 35 % have all three domains. Each measurement runs in its own process, so
that its peak memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from rope.curation.dedup.measured_search import SearchRules, measured_near_pairs
from rope.curation.dedup.neighbours import near_pairs_between
from rope.curation.sampling.sample import SampleSize, draw_sample, join_units, make_units
from rope.curation.splitting.leak_audit import SplitSide, audit_leaks, exact_search, index_search
from rope.curation.splitting.split import Products, split_products

CATEGORIES = 1396
SHARDS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--products", type=int, default=189_958)
    parser.add_argument("--samples", type=int, default=920_071)
    parser.add_argument("--dim", type=int, default=64, help="Numbers a vector.")
    parts = {
        "sample": lambda: sample(options.rows),
        "split": lambda: split(options.products),
        "near": lambda: near(options.samples, options.dim),
        "leaks": lambda: leaks(options.samples, options.dim),
    }
    parser.add_argument("--part", choices=parts, help="this one alone, in this process")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(parts[options.part]()))
        return
    for part in parts:
        command = [sys.executable, str(Path(__file__)), "--part", part]
        command += ["--rows", str(options.rows), "--products", str(options.products)]
        command += ["--samples", str(options.samples), "--dim", str(options.dim)]
        measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in measured.items()))


def sample(n_rows: int) -> dict[str, object]:
    """1 % of the keys of all rows, which come in shards that are not kept."""
    category = zipf(np.random.default_rng(0), n_rows // 5).astype(str)
    parts, hashing = [], 0.0
    for shard in range(SHARDS):
        rows = shard_rows(category, n_rows // SHARDS, shard)
        start = time.perf_counter()
        parts.append(make_units(rows["key"], rows["category"], rows["domain"], seed=0))
        hashing += time.perf_counter() - start
    start = time.perf_counter()
    units = join_units(parts)
    drawn = {floor: draw_sample(units, SampleSize(rate=0.01, floor=floor)) for floor in (2, 1)}
    drawing = time.perf_counter() - start
    larger = draw_sample(units, SampleSize(rate=0.02))
    return {
        "keys": len(units.hashes),
        "strata": len(drawn[2].strata),
        "drawn": len(drawn[2].units.hashes),
        "drawn with a floor of 1": len(drawn[1].units.hashes),
        "nested in 2 %": bool(np.isin(drawn[2].units.hashes, larger.units.hashes).all()),
        "sum of weights": round(float(drawn[2].weight.sum()), 3),
        "seconds to hash": round(hashing, 2),
        "seconds to draw twice": round(drawing, 2),
        "peak MiB": peak_mib(),
    }


def shard_rows(category: np.ndarray, n: int, shard: int) -> dict[str, pa.Array]:
    rng = np.random.default_rng([0, shard])
    key = rng.integers(len(category), size=n)
    domain = pa.DictionaryArray.from_arrays(rng.integers(3, size=n), ["page", "video", "live"])
    return {"key": pa.array(key.astype(str)), "category": pa.array(category[key]), "domain": domain}


def split(n: int) -> dict[str, object]:
    """The split of three permutations, and of 1 % more products with and without the earlier set frozen."""
    ids, categories, complete, group = planted(n)
    n_validation = round(n * 2527 / 189_958)
    chosen, seconds = [], []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(n)
        given = Products(ids[order].tolist(), categories[order].tolist(), complete[order], group[order])
        start = time.perf_counter()
        found = split_products(given, n_validation, seed=1)
        seconds.append(round(time.perf_counter() - start, 2))
        chosen.append(set(ids[order][found.validation].tolist()))
    more = planted(n // 100, first=n)
    grown = Products(
        ids.tolist() + more[0].tolist(),
        categories.tolist() + more[1].tolist(),
        np.concatenate([complete, more[2]]),
        np.concatenate([group, more[3] + int(group.max()) + 1]),
    )
    after = split_products(grown, n_validation, seed=1).validation
    pinned = split_products(grown, n_validation + 25, seed=1, frozen=chosen[0]).validation
    straddling = np.intersect1d(given.group[found.validation], given.group[~found.validation])
    return {
        "validation": len(chosen[0]),
        "train": n - len(chosen[0]),
        "straddling groups": len(straddling),
        "incomplete": int((~given.complete[found.validation]).sum()),
        "permutations agree": chosen[0] == chosen[1] == chosen[2],
        "largest deviation": round(float(np.abs(found.taken - found.target).max()), 2),
        "total variation": round(float(np.abs(found.taken - found.target).sum() / 2 / n_validation), 4),
        "that of rounding alone": round(rounding_alone(found.target, n_validation), 4),
        "unchanged after 1 % more": round(len(chosen[0] & names_of(grown, after)) / n_validation, 4),
        "unchanged when frozen": round(len(chosen[0] & names_of(grown, pinned)) / n_validation, 4),
        "seconds": min(seconds),
        "peak MiB": peak_mib(),
    }


def near(n: int, dim: int) -> dict[str, object]:
    """Near pairs (0.9) through the index, and what comparing every two rows would take, from 5,000 of the rows."""
    vectors = planted_vectors(n, dim)
    start = time.process_time()
    _, note = measured_near_pairs(vectors, 0.9, SearchRules("ivf", queries=2000), limit=200)
    index = time.process_time() - start
    start = time.process_time()
    near_pairs_between(vectors[:5000], vectors, 0.9, limit=200, method="exact")
    exact = (time.process_time() - start) * n / 5000 / 2  # of one set, half of the pairs are compared
    return {"numbers a vector": dim} | note.json() | seconds_of(index, exact)


def leaks(n: int, dim: int) -> dict[str, object]:
    """The leak audit of 30,000 of the samples against the others through the index, and what comparing all would take,
    from 5,000 of them.
    """
    vectors = planted_vectors(n, dim)  # the near ones of the first are the last
    sides = [
        SplitSide([str(i) for i in range(len(part))], ["page"] * len(part), part, {})
        for part in (vectors[:30_000], vectors[30_000:])
    ]
    start = time.process_time()
    found = audit_leaks(*sides, threshold=0.9, seed=0, search=index_search)
    index = time.process_time() - start
    start = time.process_time()
    exact_search(vectors[:5000], vectors[30_000:], 0.9)
    exact = (time.process_time() - start) * 6
    recall = found.recalls[0]
    return {
        "numbers a vector": dim,
        "leaking": found.leaking()["near"],
        "canaries": f"{recall.found} of {recall.canaries}",
        "pairs of random samples": f"{recall.pairs_found} of {recall.pairs}",
    } | seconds_of(index, exact)


def seconds_of(index: float, exact: float) -> dict[str, object]:
    return {
        "CPU seconds": round(index, 1),
        "CPU seconds of comparing everything, extrapolated": round(exact),
        "times faster": round(exact / index, 1),
        "peak MiB": peak_mib(),
    }


def planted_vectors(n: int, dim: int) -> np.ndarray:
    """Vectors around 1,396 centres, float32 [n, dim]; 9 % of them have a near one, by a cosine of 0.98."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CATEGORIES, dim), np.float32)
    vectors = centres[zipf(rng, n)] + rng.standard_normal((n, dim), np.float32)
    twins = int(0.045 * n)
    vectors[-twins:] = vectors[:twins] + 0.3 * rng.standard_normal((twins, dim), np.float32)
    return vectors


def zipf(rng: np.random.Generator, n: int) -> np.ndarray:
    share = 1 / np.arange(1, CATEGORIES + 1)
    return rng.choice(CATEGORIES, n, p=share / share.sum())


def planted(n: int, *, first: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, categories, completeness and groups."""
    rng = np.random.default_rng([0, first])
    order, sizes = rng.permutation(n), []
    while sum(sizes) < 0.09 * n:
        sizes.append(int(rng.integers(2, 9)))
    group = np.arange(n)
    group[order[: sum(sizes)]] = n + np.repeat(np.arange(len(sizes)), sizes)
    names = np.array([f"category {c}" for c in zipf(rng, n)])
    return (first + np.arange(n)).astype(str), names, rng.random(n) < 0.35, group


def rounding_alone(target: np.ndarray, n: int) -> float:
    """Total variation of largest remainders, which no choice of whole products can beat."""
    taken = np.floor(target)
    taken[np.argsort(taken - target)[: n - int(taken.sum())]] += 1
    return float(np.abs(taken - target).sum() / 2 / n)


def names_of(products: Products, chosen: np.ndarray) -> set[str]:
    return {products.ids[i] for i in np.flatnonzero(chosen)}


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
