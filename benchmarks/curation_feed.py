"""How long does a model wait for rows? A small real encoder on a CPU, with and without rows prepared ahead.

    python -m benchmarks.curation_feed WEIGHTS [--rows 300]

WEIGHTS is a folder of MobileNetV2 as transformers saves it; it becomes an ONNX file that runs on one thread. Pages have
one drawn JPEG of 1280 x 960 pixels. Both ways run in one worker, in turns, and must write the same bytes.
"""

import argparse
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from rope.curation.operations.encode import ENCODE
from rope.curation.pipeline.costs import read_costs
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.recipe import CurationRecipe, read_recipe
from rope.curation.pipeline.runner import run_recipe

IN_TURNS = replace(ENCODE, announce=None)
WAYS = {"a row after the other": "benchmarks.curation_feed:IN_TURNS", "rows ahead": "encode"}
RECIPE = """
work = "work"
[pool]
path = "pool.parquet"
shard_rows = 50
[[stage]]
name = "encode"
use = "{use}"
model = "encoder.onnx"
fit = "crop"
side = 224
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
output = "vector"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_onnx(options.weights, folder / "encoder.onnx")
        pq.write_table(draw_pool(options.rows), folder / "pool.parquet")
        print("| | seconds of the stage | of these the model | it waited | processor s |\n|---|---|---|---|---|")
        written: dict[str, list[bytes]] = {}
        for repeat in range(options.repeats):
            for way, use in WAYS.items():
                work = folder / f"{repeat}" / use.replace(":", "-")
                written[way] = run(folder, work, use, f"{way}, run {repeat + 1}")
        same = "the same" if len(set(map(tuple, written.values()))) == 1 else "OTHER"
        print(f"\nboth ways wrote {same} bytes")


def run(folder: Path, work: Path, use: str, title: str) -> list[bytes]:
    """Print a line of the table; the bytes of the stage's files."""
    (folder / "recipe.toml").write_text(RECIPE.format(use=use))
    recipe: CurationRecipe = replace(read_recipe(folder / "recipe.toml"), work=work)
    run_recipe(recipe, lambda _: local_engine(1), progress=False, until="pool")
    began = time.perf_counter()
    run_recipe(recipe, lambda _: local_engine(1), progress=False)
    seconds = time.perf_counter() - began
    costs = [cost for cost in read_costs(work).values() if cost.stage == "encode"]
    model, waited = (sum(getattr(cost, name) for cost in costs) for name in ("model_seconds", "waited_seconds"))
    processor = sum(cost.processor_seconds for cost in costs)
    print(
        f"| {title} | {seconds:.1f} | {model:.1f} | {waited:.1f} ({waited / (model + waited):.0%}) | {processor:.1f} |"
    )
    return sorted(path.read_bytes() for path in (work / "stages" / "encode").glob("*.parquet"))


def save_onnx(weights: Path, target: Path) -> None:
    """The pooled vector of 1,280 numbers of an image, [1, 3, 224, 224]."""
    import torch
    from transformers import AutoModel

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(weights).eval()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.model(pixel_values=image).pooler_output

    names = {"input_names": ["image"], "output_names": ["vector"]}
    torch.onnx.export(Pooled(), (torch.zeros(1, 3, 224, 224),), str(target), dynamo=False, **names)


def draw_pool(n_rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n_rows):
        colours = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).resize((1280, 960))
        file = io.BytesIO()
        colours.filter(ImageFilter.DETAIL).save(file, "JPEG", quality=90)
        rows.append({"id": f"r{i:05d}", "domain": "page", "frames": [{"bytes": file.getvalue(), "path": None}]})
    return pa.Table.from_pylist(rows)


if __name__ == "__main__":
    main()
