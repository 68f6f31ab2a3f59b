"""Is `rope curate plan` right? Ten recipes on drawn pools: its 95 % intervals beside what a run really makes.

    python -m benchmarks.curation_plan [--recipes 1,2] [--rows 4000] [--seed 0] [--workers 1] [--share 0.001]

Pools have products of very different sizes, rare categories, rows without a hint, repeated ids and faulty rows. A plan
draws about 500 rows; then the recipe is run in full. Compared are the rows that each stage keeps, the bytes of all
files, the processor time of the workers, and the time of the clock, which depends on what else the machine does. A
stage that the plan says it has not measured is left out on both sides, except of the clock, which is judged only where
there is none. Plan and run each have a process of their own, as two commands have.
"""

import argparse
import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from rope.curation.forecast import Forecast, Range, forecast
from rope.curation.measure import measure_stages
from rope.curation.pipeline.costs import read_costs
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.operation import GlobalOperation, MapOperation, Outcome, divide, rejects_of
from rope.curation.pipeline.recipe import CurationRecipe, read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe

HEAD = '[pool]\npath = "pool.parquet"\nkeep = ["price", "brand"]\nshard_rows = {shard_rows}\n'
DECODE = '[[stage]]\nuse = "decode"\n'
FILTER = '[[stage]]\nuse = "filter"\nname = "cheap"\ncolumn = "price"\nminimum = 30\ndomains = {{ live = 60 }}\n'
GIVE_VECTORS = '[[stage]]\nuse = "benchmarks.curation_plan:VECTORS"\n'
PLAIN_MERGE = '[[stage]]\nuse = "merge"\ncopies = false\n'


@dataclass(frozen=True)
class Nothing:
    """No options."""


def vectors(batch: pa.RecordBatch, _: Nothing) -> Outcome:
    """A vector for each row that depends on its brand, and so on its product, and on its id."""
    found = []
    for brand, row_id in zip(batch["brand"].to_pylist(), batch["id"].to_pylist(), strict=True):
        base = np.random.default_rng(abs(int(brand or 0))).standard_normal(32)
        noise = np.random.default_rng(int(row_id[1:])).standard_normal(32)
        found.append(((base + 0.3 * noise) / np.linalg.norm(base + 0.3 * noise)).astype(np.float32))
    return divide(batch.append_column("embedding", pa.array(found, pa.list_(pa.float32()))), [None] * len(found))


def every_other(paths: list[Path], _: Nothing):
    """Keep products whose hint ends in an even digit: a stage of somebody's own that must see all rows."""
    for path in paths:
        table = pq.read_table(path)
        is_even = pc.match_substring_regex(pc.fill_null(table["product_hint"], "0"), "[02468]$")
        kept, others = (table.filter(one).combine_chunks() for one in (is_even, pc.invert(is_even)))
        yield Outcome(_batch(kept), rejects_of(_batch(others.select(["id", "domain"])), "odd"))


def _batch(table: pa.Table) -> pa.RecordBatch:
    return (table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)])[0]


VECTORS = MapOperation(version=1, options=Nothing, apply=vectors)
EVEN = GlobalOperation(version=1, options=Nothing, apply=every_other)

RECIPES = {
    "cuts by domain, shards of 50": (50, DECODE + FILTER),
    "cuts by domain, shards of 2,000": (2000, DECODE + FILTER),
    "repeated ids, then a cut": (300, '[[stage]]\nuse = "deduplicate"\nprefer = ["price"]\n' + FILTER),
    "a small rate, floors decide": (500, '[[stage]]\nuse = "sample"\nseed = 1\nrate = 0.02\nfloor = 4\n'),
    "a count of products": (250, FILTER + '[[stage]]\nuse = "sample"\nseed = 2\ncount = 200\nfloor = 1\n'),
    "a sample before the expensive stages": (
        100,
        '[[stage]]\nuse = "sample"\nseed = 3\nrate = 0.15\n' + DECODE + '[[stage]]\nuse = "quality"\n',
    ),
    "strata of two columns": (
        400,
        DECODE
        + '[[stage]]\nuse = "sample"\nseed = 4\nrate = 0.3\nstrata = ["category", "brand"]\nfloor = 1\n'
        + FILTER,
    ),
    "merge by vectors, then split": (
        200,
        FILTER
        + GIVE_VECTORS
        + PLAIN_MERGE
        + 'thresholds = {{ page-page = 0.97 }}\n[[stage]]\nuse = "split"\nn_validation = 20\nseed = 0\n',
    ),
    "a stage of one's own that sees all rows": (300, '[[stage]]\nuse = "benchmarks.curation_plan:EVEN"\n' + FILTER),
    "words, pictures and a sample": (
        150,
        '[[stage]]\nuse = "quality"\n[[stage]]\nuse = "filter"\ncolumn = "script"\nallowed = ["latin"]\n'
        '[[stage]]\nuse = "thumbnail"\n[[stage]]\nuse = "sample"\nseed = 5\nrate = 0.4\n' + PLAIN_MERGE,
    ),
}
"""What varies -> rows of a shard, and the stages."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.001)
    parser.add_argument("--recipes", help="Numbers of some, from 1; all of them else.")
    options = parser.parse_args()
    chosen = [int(n) for n in options.recipes.split(",")] if options.recipes else range(1, len(RECIPES) + 1)
    titles = " | ".join(f"{what}: truth, plan | within" for what in ("rows", "MB", "processor s", "clock s"))
    print(f"| recipe | {titles} |")
    print("|---|---|---|---|---|---|---|---|---|")
    sums = np.zeros(7)
    for number in chosen:
        name = list(RECIPES)[number - 1]
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(options.rows, options.seed * 1000 + number, options.workers, options.share)
            sums += compare(name, Path(folder), settings)
    n, hits = len(chosen), sums.astype(int)
    print(f"\nwithin their 95 % interval: rows of the last stage {hits[0]} of {n}, bytes {hits[1]} of {n}, ", end="")
    print(f"processor time {hits[2]} of {n}, time of the clock {hits[3]} of {hits[5]}; ", end="")
    print(f"rows of all stages in {hits[4]} of {n} recipes; mean width of processor time {sums[6] / n:.2f} of the plan")


@dataclass(frozen=True)
class Settings:
    rows: int
    seed: int
    workers: int
    share: float


T = TypeVar("T")


def alone(function: Callable[..., T], *arguments: object) -> T:
    """What a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def plan_of(path: Path, settings: Settings) -> Forecast:
    measures = measure_stages(read_recipe(path), settings.share, progress=False)
    return forecast(measures, workers=settings.workers, gpus=0)


def run(path: Path, workers: int) -> float:
    """Seconds of the clock of a run."""
    recipe, began = read_recipe(path), time.perf_counter()
    run_recipe(recipe, lambda _: local_engine(workers), progress=False)
    return time.perf_counter() - began


def compare(name: str, folder: Path, settings: Settings) -> np.ndarray:
    """Plan, run, and print a line.

    Returns:
        Whether rows, bytes, processor time, the time of the clock and the rows of all stages are in theirs; whether the
        clock is judged; and the width of the interval of processor time, in plans.
    """
    shard_rows, stages = RECIPES[name]
    pq.write_table(draw_pool(settings.rows, settings.seed), folder / "pool.parquet")
    (folder / "recipe.toml").write_text((HEAD + stages).format(shard_rows=shard_rows))
    recipe = read_recipe(folder / "recipe.toml")
    made = alone(plan_of, folder / "recipe.toml", settings)
    run_s = alone(run, folder / "recipe.toml", settings.workers)
    kept, n_bytes, seconds = truth(recipe)
    lacking = {total: set(made.lacking(total)) for total in ("gigabytes", "processor_hours")}
    last = made.stages[-1]
    totals = [  # truth and plan in the units of the plan, what one of these is in those that are shown, and digits
        (kept[last.stage], last.kept, 1, 0),
        (sum(n for stage, n in n_bytes.items() if stage not in lacking["gigabytes"]) / 1e9, made.gigabytes, 1e3, 2),
        (
            sum(s for at, s in seconds.items() if at not in lacking["processor_hours"]) / 3600,
            made.processor_hours,
            3600,
            2,
        ),
        (run_s / 3600, made.hours, 3600, 2),
    ]
    cells, within = [], []
    for true, planned, unit, digits in totals:
        ends = (true, planned.value, planned.low, planned.high)
        shown, best, low, high = (f"{end * unit:,.{digits}f}" for end in ends)
        within.append(is_within(true, planned))
        cells += [f"{shown}, {best} ({low} - {high})", "yes" if within[-1] else "NO"]
    is_judged = not made.lacking("hours")
    if not is_judged:
        cells[-2:] = [f"{run_s:.2f}", "not judged"]
    misses = [one.stage for one in made.stages if not is_within(kept[one.stage], one.kept)]
    without = f"; without the time of {', '.join(lacking['processor_hours'])}" if lacking["processor_hours"] else ""
    print(f"| {name}{without} | {' | '.join(cells)} |", flush=True)
    width = (made.processor_hours.high - made.processor_hours.low) / made.processor_hours.value
    return np.array([*within[:3], within[3] and is_judged, not misses, is_judged, width], float)


def is_within(value: float, interval: Range) -> bool:
    return interval.low * (1 - 1e-9) <= value <= interval.high * (1 + 1e-9)


def truth(recipe: CurationRecipe) -> tuple[dict[str, int], dict[str, int], dict[str, float]]:
    """Of each stage: rows that it kept, bytes of its files, and processor seconds of its worker."""
    stages = finished_stages(recipe)
    kept = {name: sum(part.kept.rows for _, one in made for part in one.parts) for name, made in stages.items()}
    n_bytes = {name: sum(p.stat().st_size for p in (recipe.work / "stages" / name).iterdir()) for name in stages}
    shards = {p.stem for name in stages for p in (recipe.work / "stages" / name).glob("*.json")}
    seconds = dict.fromkeys(stages, 0.0)
    for cost in read_costs(recipe.work, shards).values():
        seconds[cost.stage] += cost.processor_seconds
    return kept, n_bytes, seconds


def draw_pool(n_rows: int, seed: int) -> pa.Table:
    """Rows of products of 1 to some 60 rows, in an order of their own: by product, as shops export them."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.zipf(1.7, n_rows), 60)
    product = np.repeat(np.arange(n_rows), sizes)[:n_rows]
    category = np.minimum(rng.zipf(1.4, n_rows), 150)[product]
    quality = rng.normal(size=n_rows)[product]  # good and bad products
    price = np.exp(4 + quality + 0.5 * rng.normal(size=n_rows))
    domain = rng.choice(["page", "video", "live"], n_rows, p=[0.5, 0.3, 0.2])
    pictures = [picture(rng) for _ in range(200)]
    rows = []
    for i in range(n_rows):
        n_frames = 1 if domain[i] == "page" else int(rng.integers(1, 4))
        frames = [{"bytes": pictures[k], "path": None} for k in rng.integers(0, len(pictures), n_frames)]
        fault = rng.random()
        if fault < 0.03:
            frames[0]["bytes"] = frames[0]["bytes"][:100]
        row_id = f"r{i:07d}" if fault < 0.95 or not rows else rows[int(rng.integers(len(rows)))]["id"]
        words = ["red cup", "blue dress", "一件蓝色的连衣裙"][int(rng.integers(3))]
        rows.append(
            {
                "id": row_id,
                "domain": "radio" if 0.03 < fault < 0.05 else str(domain[i]),
                "text": f"{words} {rng.integers(10**6)}",
                "frames": frames,
                "category": f"c{category[i]:03d}",
                "product_hint": f"p{product[i]:06d}" if product[i] % 10 else None,
                "price": float(price[i]),
                "brand": str(product[i] % 7),
            }
        )
    return pa.Table.from_pylist(rows)


def picture(rng: np.random.Generator) -> bytes:
    """A JPEG of a few kilobytes."""
    side = int(rng.integers(48, 96))
    pixels = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    pixels.save(file, "JPEG", quality=85)
    return file.getvalue()


if __name__ == "__main__":
    main()
