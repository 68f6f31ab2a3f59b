"""Tiny pools and recipes, and what a run has made."""

from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from rope.curation.pipeline.accounting import kept_files, reject_files
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.recipe import CurationRecipe, cut_recipe, read_recipe
from rope.curation.pipeline.runner import finished_stages

DOMAINS = ("page", "video", "live")


def write_rows(path: Path, ids: list[str]) -> None:
    rows = [
        {
            "id": i,
            "domain": DOMAINS[n % 3],
            "text": f"row {i}",
            "frames": [f"{i}.jpg"],
            "category": ["a", "b"][n % 2],
        }
        for n, i in enumerate(ids)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_planted(folder: Path, n_products: int, n_clips: int, web: str = "") -> dict[str, str]:
    """A pool of pages and clips, a fifth of which show another product than their hint says; row -> its true product.

    Pages 0 and 1 are one product under two hints, and show one picture; so do pages 2 and 3, which are two products.

    Args:
        folder: for `pool.parquet` and its pictures.
        n_products: hints, each with a page.
        n_clips: of each hint, the last of them live.
        web: what goes before the names of the pictures in the pool.
    """
    rng, number = np.random.default_rng(0), count()
    rows, truth = [], {}
    for i in range(n_products):
        for k in range(1 + n_clips):
            row_id = f"p{i:02d}" if k == 0 else f"v{i:02d}-{k}"
            is_wrong = k > 0 and rng.random() < 0.2
            shown = {1: 0, 3: 2}.get(i, i) if k == 0 else 1000 + next(number)
            colour = np.random.default_rng(shown).integers(0, 256, 3)
            Image.fromarray(np.tile(colour.astype(np.uint8), (24, 24, 1))).save(folder / f"{row_id}.png")
            domain = "page" if k == 0 else "live" if k == n_clips else "video"
            truth[row_id] = f"stranger {row_id}" if is_wrong else f"h{0 if i == 1 else i:02d}"
            row = {"id": row_id, "domain": domain, "text": row_id, "frames": [f"{web}{row_id}.png"], "category": "cups"}
            rows.append(row | {"product_hint": f"h{i:02d}"})
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool.parquet")
    return truth


def recipe_of(
    folder: Path, *stages: str, n_rows: int = 24, shard_rows: int = 8, work: str = "work", limits: str = ""
) -> CurationRecipe:
    """A pool of so many rows, ids from r00, and a recipe with these tables of stages."""
    if not (folder / "pool.parquet").exists():
        write_rows(folder / "pool.parquet", [f"r{i:02d}" for i in range(n_rows)])
    head = f'work = "{work}"\n[pool]\npath = "pool.parquet"\nshard_rows = {shard_rows}\n'
    head += f"[limits]\nbatch_rows = 4\n{limits}\n"
    path = folder / f"{work}.toml"
    path.write_text(head + "\n".join(f"[[stage]]\n{stage}" for stage in stages))
    return read_recipe(path)


def local(workers: int = 2):
    """Opens engines of so many processes."""
    return lambda needs_gpu: local_engine(1 if needs_gpu else workers)


def files_of(recipe: CurationRecipe) -> dict[str, bytes]:
    """Every file that a run has made, by its path."""
    stages = recipe.work / "stages"
    return {str(path.relative_to(stages)): path.read_bytes() for path in sorted(stages.rglob("*")) if path.is_file()}


def column(recipe: CurationRecipe, stage: str, name: str, kind: str = "kept") -> list[object]:
    """A column of the kept rows or rejects of a stage, in the order of the shards."""
    stages = finished_stages(recipe if stage == recipe.stages[-1].name else cut_recipe(recipe, stage))
    paths = (kept_files if kind == "kept" else reject_files)(stages, stage)
    return [value for path in paths for value in pq.read_table(path)[name].to_pylist()]


POISON = 'use = "tests.curation.poisons:POISON"\n'
HALF = 'use = "tests.curation.poisons:HALF"\n'
QUICK = "deadline_s = 0.5\nrow_deadline_s = 0.0"
