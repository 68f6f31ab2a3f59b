"""A whole recipe on millions of rows with planted answers: seconds and memory of each stage, and what was found.

    python -m benchmarks.curation_full [--rows 5000000] [--workers 2] [--folder FOLDER]

The pool has five rows a product hint: a page, two videos, two live clips. Of the products, a fifth are in planted
groups of 2 to 6 duplicates (half of the groups show one file on their pages, half show pages with a cosine of 0.9 or
more); 3 % are on curves along which neighbours are near and others are not; 0.3 % show one placeholder. A tenth of the
clips have a text that does not fit, and 0.1 % of the rows name no domain. Similarities, hashes and vectors are given:
they are computed from the ids by two stages of this file, instead of decoding and a model.

The recipe: pool, signals, filter, sample (a fifth of the hints), vectors, merge, split (2,527 products at five million
rows), and at the end the audits. Seconds of a stage are the times at which its last manifests were written; memory is
that of all processes together, looked at ten times a second (shared pages count for each).
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.pipeline.accounting import audit, kept_files, reject_files
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.operation import MapOperation, Outcome, divide
from rope.curation.pipeline.recipe import CurationRecipe, read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe
from rope.curation.splitting.recipe_leaks import audit_split
from tests.curation.planted import n_pairs, pair_scores

DOMAINS = ("page", "video", "video", "live", "live")
ROWS_A_PRODUCT = len(DOMAINS)
BLOCK = np.repeat(np.arange(5), (2, 3, 4, 5, 6))  # twenty products in a row: five groups
STEP_COSINE = 0.988  # of neighbours on a curve, so that a fifth of them are 0.94 apart, like the chains of the notes
DIM = 64
CUT = 0.25
ROWS_A_FILE = 250_000

Ints = np.ndarray
RECIPE = """
work = "work"
[pool]
path = "pool"
shard_rows = 50000
[limits]
batch_rows = 8192
[leaks]
near = 0.9
[[stage]]
use = "benchmarks.curation_full:SIGNALS"
[[stage]]
use = "filter"
minimum = {cut}
[[stage]]
use = "sample"
seed = 0
rate = 0.2
[[stage]]
use = "benchmarks.curation_full:VECTORS"
n_products = {n_products}
[[stage]]
use = "merge"
thresholds = {{ page-page = 0.9 }}
copies = false
[[stage]]
use = "split"
seed = 0
n_validation = {n_validation}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="Where to work, and what to continue; a temporary one else.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options.folder or Path(folder), options.rows, options.workers)


def measure(folder: Path, n_rows: int, workers: int) -> None:
    """Make the pool, run the recipe, and print what became of the planted."""
    n_products = n_rows // ROWS_A_PRODUCT
    write_pool(folder / "pool", n_products)
    text = RECIPE.format(cut=CUT, n_products=n_products, n_validation=max(2527 * n_rows // 5_000_000, 1))
    (folder / "recipe.toml").write_text(text)
    recipe = read_recipe(folder / "recipe.toml")
    began = time.time()
    with watched() as memory:
        run_recipe(recipe, lambda needs_gpu: local_engine(workers), progress=False)
        audited = list(audits(recipe))
    print(f"{n_rows:,} rows, {n_products:,} product hints, {workers} workers\n")
    print("| stage | rows in | kept | seconds | peak of all processes, MiB |\n|---|---|---|---|---|")
    for name, told, ended in [*stage_rows(recipe), *audited]:
        peak = max((size for at, size in memory if began < at <= ended), default=0)
        print(f"| {name} | {told} | {ended - began:.1f} | {peak >> 20:,} |")
        began = ended
    print()
    for name, value in answers(recipe, n_products).items():
        print(f"* {name}: {value}")


def write_pool(folder: Path, n_products: int) -> None:
    """The raw rows, in files of `ROWS_A_FILE`; leaves a pool that is there alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, n_products * ROWS_A_PRODUCT, ROWS_A_FILE):
        path = folder / f"{start // ROWS_A_FILE:05d}.parquet"
        if not path.exists():
            rows = np.arange(start, min(start + ROWS_A_FILE, n_products * ROWS_A_PRODUCT))
            pq.write_table(raw_rows(rows), path)


def raw_rows(rows: Ints) -> pa.Table:
    product, place = np.divmod(rows, ROWS_A_PRODUCT)
    lost = uniform(rows, 1) < 0.001
    names = np.array([*DOMAINS, "nowhere"])
    in_stream = (place >= 3) & (uniform(product // 20, 2) < 0.3)
    return pa.table(
        {
            "id": _names("r", rows),
            "domain": pa.array(names[np.where(lost, len(DOMAINS), place)]),
            "text": _names("offer of h", product),
            "frames": _names("media/", rows),
            "category": _names("c", (200 * uniform(product, 3) ** 3).astype(np.int64)),
            "product_hint": _names("h", product),
            "session": pc.if_else(pa.array(in_stream), _names("s", product // 20), None),
        }
    )


def _names(prefix: str, numbers: Ints) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), 8, "0"), "")


def uniform(numbers: Ints, purpose: int) -> np.ndarray:
    """From 0 to 1, by a hash (splitmix64) of whole numbers and what it is for."""
    x = numbers.astype(np.uint64) + np.uint64((purpose * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) / 2.0**64


def directions(numbers: Ints, purpose: int) -> np.ndarray:
    """A unit vector of each number; float64 [n, DIM]."""
    entries = uniform((numbers.astype(np.uint64) * np.uint64(DIM))[:, None] + np.arange(DIM, dtype=np.uint64), purpose)
    return unit(entries - 0.5)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def numbers_of(column: pa.Array, prefix: int) -> Ints:
    return pc.cast(pc.utf8_slice_codeunits(column, prefix), pa.int64()).to_numpy()


def planted_group(product: Ints, n_products: int) -> Ints:
    """The group of each product, -1 for none."""
    group = 5 * (product // 20) + BLOCK[product % 20]
    return np.where(product < grouped(n_products), group, -1)


def grouped(n_products: int) -> int:
    """Products that are in groups; the first ones."""
    return n_products // 100 * 20


def is_misfit(rows: Ints) -> np.ndarray:
    """Clips whose text does not fit."""
    return (rows % ROWS_A_PRODUCT > 0) & (uniform(rows, 4) < 0.1)


@dataclass(frozen=True)
class NoOptions:
    """None."""


def signals(batch: pa.RecordBatch, _: NoOptions) -> Outcome:
    """Add `similarity`."""
    rows = numbers_of(batch["id"], 1)
    similarity = np.where(is_misfit(rows), 0.0, CUT) + CUT * uniform(rows, 5)
    return divide(batch.append_column("similarity", pa.array(similarity)), [None] * len(rows))


@dataclass(frozen=True)
class PoolSize:
    """How many products the pool has."""

    n_products: int


def vectors(batch: pa.RecordBatch, options: PoolSize) -> Outcome:
    """Add `media_sha256`, `embedding`, and `brand`, which the members of a group share."""
    rows, product = numbers_of(batch["id"], 1), numbers_of(batch["product_hint"], 1)
    n, is_page = options.n_products, rows % ROWS_A_PRODUCT == 0
    group = planted_group(product, n)
    same_file = is_page & (group >= 0) & (group % 2 == 0)
    media = np.where(same_file, -1 - group, rows)
    media = np.where(is_page & (product >= n - n * 3 // 1000), -1_000_000_000, media)
    hashes = pc.binary_join_element_wise("m", pc.cast(pa.array(media), pa.string()), "")
    lists = pa.ListArray.from_arrays(pa.array(np.arange(len(rows) + 1), pa.int32()), hashes)
    found = np.where((is_page & ~same_file)[:, None], page_vectors(product, group, n), directions(rows, 6))
    found[same_file] = directions(group[same_file], 7)  # one file has one vector
    flat = pa.array(unit(found).astype(np.float32).ravel())
    embeddings = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, DIM), pa.int32()), flat)
    brand = _names("b", (200 * uniform(np.where(group >= 0, group, product), 8)).astype(np.int64))
    added = {"media_sha256": lists, "embedding": embeddings, "brand": brand}
    for name, column in added.items():
        batch = batch.append_column(name, column)
    return divide(batch, [None] * len(rows))


def page_vectors(product: Ints, group: Ints, n_products: int) -> np.ndarray:
    """Near those of the group; on a curve; or alone."""
    noise = (0.1 + 0.11 * uniform(product, 9))[:, None]  # two noises of 0.21 leave a cosine of 0.916 at least
    members = directions(group, 10) + noise * directions(product, 11)
    curve = product - grouped(n_products)
    on_curve = (curve >= 0) & (curve < n_products * 3 // 100)
    found = np.where((group >= 0)[:, None], members, directions(product, 12))
    return np.where(on_curve[:, None], on_curves(curve), found)


def on_curves(step: Ints) -> np.ndarray:
    """Points of curves of 1,500 steps, whose cosine falls with the square of their distance along the curve."""
    number, at = np.divmod(step, 1500)
    pace = np.sqrt(-2 * np.log(STEP_COSINE))
    frequencies = pace * np.random.default_rng(0).standard_normal(DIM // 2)
    phases = 2 * np.pi * uniform((number * DIM)[:, None] + np.arange(DIM // 2), 13)
    turned = at[:, None] * frequencies + phases
    return np.concatenate([np.cos(turned), np.sin(turned)], axis=1)


SIGNALS = MapOperation(version=1, options=NoOptions, apply=signals)
VECTORS = MapOperation(version=1, options=PoolSize, apply=vectors)


@contextmanager
def watched() -> Iterator[list[tuple[float, int]]]:
    """Note the time, and the memory of this process and all below it, ten times a second."""
    memory: list[tuple[float, int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            memory.append((time.time(), resident(os.getpid())))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


def resident(root: int) -> int:
    """Bytes that a process and those below it hold."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
    family, size = {root}, -1
    while len(family) > size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return sum(_resident(one) for one in family)


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def stage_rows(recipe: CurationRecipe) -> Iterator[tuple[str, str, float]]:
    """Name, rows in and rows kept, and when the last manifest was written."""
    for name, shards in finished_stages(recipe).items():
        kept = sum(part.kept.rows for _, manifest in shards for part in manifest.parts)
        ended = max(path.stat().st_mtime for path in (recipe.work / "stages" / name).glob("*.json"))
        yield name, f"{sum(manifest.rows_in for _, manifest in shards):,} | {kept:,}", ended


def audits(recipe: CurationRecipe) -> Iterator[tuple[str, str, float]]:
    """Name, what it has found, and when it ended."""
    accounting = audit(recipe)
    yield (
        "audit of the row accounting",
        f"{accounting.n_raw:,} | {', '.join(accounting.problems) or 'it adds up'}",
        time.time(),
    )
    leaks = audit_split(recipe, finished_stages(recipe))
    canaries = sum(recall.found for recall in leaks.recalls), sum(recall.canaries for recall in leaks.recalls)
    found = ", ".join(f"{kind} {n}" for kind, n in leaks.leaking().items() if n) or "none"
    yield "audit of leaks", f"{canaries[0]:,} of {canaries[1]:,} canaries | leaking: {found}", time.time()


def answers(recipe: CurationRecipe, n_products: int) -> Mapping[str, str]:
    """What was found of the planted."""
    stages = finished_stages(recipe)
    rejected = numbers_of(_column(reject_files(stages, "filter"), "id"), 1)
    judged = np.concatenate([rejected, numbers_of(_column(kept_files(stages, "filter"), "id"), 1)])
    merged = pa.table({name: _column(kept_files(stages, "split"), name) for name in ("product_hint", "product_id")})
    merged = merged.append_column("split", _column(kept_files(stages, "split"), "split"))
    domains = _column(kept_files(stages, "split"), "domain")
    pages = merged.filter(pc.equal(domains, "page"))
    product, group_id = (numbers_of(pages[name], 1) for name in ("product_hint", "product_id"))
    truth = planted_group(product, n_products)
    precision, recall = pair_scores(group_id, truth)
    in_groups = truth >= 0
    own_precision, _ = pair_scores(group_id[in_groups], truth[in_groups])
    sides = merged.group_by("product_id").aggregate([("split", "count_distinct")])["split_count_distinct"]
    straddling = pc.sum(pc.cast(pc.greater(sides, 1), pa.int64())).as_py()
    validation = pc.count_distinct(merged.filter(pc.equal(merged["split"], "validation"))["product_id"]).as_py()
    return {
        "misfits rejected": f"{is_misfit(rejected).sum():,} of {is_misfit(judged).sum():,}, others rejected: "
        f"{(~is_misfit(rejected)).sum():,}",
        "planted pairs of sampled products": f"{n_pairs(truth[in_groups]):,}",
        "pair recall": f"{recall:.5f}",
        "pair precision": f"{precision:.4f}; among products in planted groups alone {own_precision:.4f}",
        "largest group": f"{sizes(group_id).max()}, planted {sizes(truth[in_groups]).max()}; "
        f"members of a planted group in a larger one: {unexpected_members(group_id, truth):,}",
        "validation products": f"{validation:,}; products on both sides: {straddling:,}",
    }


def _column(paths: Sequence[Path], name: str) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for path in paths for chunk in pq.read_table(path, columns=[name])[name].chunks])


def sizes(labels: Ints) -> Ints:
    return np.unique(labels, return_counts=True)[1]


def unexpected_members(found: Ints, truth: Ints) -> int:
    """Products of planted groups that share a group with a product of none, or of another."""
    _, at, size = np.unique(found, return_inverse=True, return_counts=True)
    _, own, own_size = np.unique(np.stack([at, truth]), axis=1, return_inverse=True, return_counts=True)
    return int(((truth >= 0) & (size[at] > own_size[own.ravel()])).sum())


if __name__ == "__main__":
    main()
