"""Is `rope curate plan` right? Ten recipes on drawn pools: its 95 % intervals beside what a run really makes.

    python -m benchmarks.curation_plan [--recipes 1,2] [--rows 4000] [--seed 0]

Pools have products of very different sizes, rare categories, rows without a hint, repeated ids and faulty rows. A plan
draws about 500 rows; then the recipe is run in full with one worker. Compared are the rows that each stage keeps, the
bytes of all files, and the processor time of the worker (the times of the clock depend on what else the machine does;
they are printed only). A stage that the plan says it has not measured is left out on both sides.
"""

import argparse
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from rope.curation.forecast import Range, forecast
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
    "a sample before the dear stages": (
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
    parser.add_argument("--recipes", help="Numbers of some, from 1; all of them else.")
    options = parser.parse_args()
    chosen = [int(n) for n in options.recipes.split(",")] if options.recipes else range(1, len(RECIPES) + 1)
    print("| recipe | rows: truth, plan | within | MB: truth, plan | within | processor s: truth, plan | within |")
    print("|---|---|---|---|---|---|---|")
    hits = np.zeros(4, int)
    for number in chosen:
        name = list(RECIPES)[number - 1]
        with tempfile.TemporaryDirectory() as folder:
            hits += compare(name, Path(folder), options.rows, options.seed * 1000 + number)
    n = len(chosen)
    print(f"\nwithin their 95 % interval: rows of the last stage {hits[0]} of {n}, bytes {hits[1]} of {n}, ", end="")
    print(f"processor time {hits[2]} of {n}; rows of all stages in {hits[3]} of {n} recipes")


def compare(name: str, folder: Path, n_rows: int, seed: int) -> np.ndarray:
    """Plan, run, and print a line; whether rows, bytes, processor time and the rows of all stages are in theirs."""
    shard_rows, stages = RECIPES[name]
    pq.write_table(draw_pool(n_rows, seed), folder / "pool.parquet")
    (folder / "recipe.toml").write_text((HEAD + stages).format(shard_rows=shard_rows))
    recipe = read_recipe(folder / "recipe.toml")
    began = time.perf_counter()
    made = forecast(measure_stages(recipe, 0.001, progress=False), workers=1, gpus=0)
    planned_s = time.perf_counter() - began
    run_recipe(recipe, lambda _: local_engine(1), progress=False)
    run_s = time.perf_counter() - began - planned_s
    kept, n_bytes, seconds = truth(recipe)
    lacking = {total: set(made.lacking(total)) for total in ("gigabytes", "processor_hours")}
    last = made.stages[-1]
    pairs = [
        (kept[last.stage], last.kept, 1),
        (sum(n for stage, n in n_bytes.items() if stage not in lacking["gigabytes"]), made.gigabytes, 1e9),
        (sum(n for stage, n in seconds.items() if stage not in lacking["processor_hours"]), made.processor_hours, 3600),
    ]
    cells, within = [], []
    for (true, planned, unit), digits, scale in zip(pairs, ("{:,.0f}", "{:.2f}", "{:.2f}"), (1, 1e6, 1), strict=True):
        ends = [digits.format(end * unit / scale) for end in (planned.value, planned.low, planned.high)]
        within.append(is_within(true / unit, planned))
        cells += [f"{digits.format(true / scale)}, {ends[0]} ({ends[1]} - {ends[2]})", "yes" if within[-1] else "NO"]
    misses = [one.stage for one in made.stages if not is_within(kept[one.stage], one.kept)]
    without = f"; without the time of {', '.join(lacking['processor_hours'])}" if lacking["processor_hours"] else ""
    print(f"| {name}{without} | {' | '.join(cells)} |", flush=True)
    print(
        f"<!-- rows missed at: {misses}; plan {planned_s:.0f} s, run {run_s:.0f} s, of which planned "
        f"{3600 * made.hours.value:.0f} ({3600 * made.hours.low:.0f} - {3600 * made.hours.high:.0f}) -->"
    )
    return np.array([*within, not misses], int)


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
