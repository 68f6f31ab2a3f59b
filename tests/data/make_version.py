"""Write small files of every format that rope-bench keeps, with the version at hand.

    python -m tests.data.make_version FOLDER

Run it once a release, into a new folder beside `v0`: what stands there already is never written again, since it shows
what earlier versions wrote.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image
from safetensors.numpy import load_file

from tests.releases import tiny_release, write_release

PROGRAMS = {
    "rope": "rope.cli",
    "rope-bench": "rope.bench.cli",
    "cope": "cope.cli",
}
CARD = """\
id: handcrafted
name: Handcrafted
version: "1"
paper: null
code: https://example.org/code
weights: null
licence: Apache-2.0
parameters: 0
modalities: {page: [image, text], video: [image, text], live: [image, text]}
training_data: [nothing]
contact: null
command: rope-bench run --model baselines:handcrafted
"""
CURATION = """\
name = "small"

[pool]
path = "pool.parquet"

[[stage]]
use = "decode"
min_side = 8

[[stage]]
use = "thumbnail"

[[stage]]
use = "merge"

[[stage]]
use = "split"
n_validation = 1
seed = 0
"""
SMALL_MODEL = {
    "embedding_dim": 8,
    "image_size": 16,
    "vision_width": 64,
    "vision_layers": 1,
    "feature_dim": 64,
    "text_width": 16,
    "text_mlp_width": 16,
    "vocabulary": 400,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        data, vectors = dataset(folder, work), folder / "vectors.parquet"
        outputs = ("--json", folder / "result.json", "--save-ranks", folder / "ranks.parquet")
        run("rope-bench", "run", "--model", "baselines:handcrafted", "--data", data, "--out", vectors, *outputs)
        (work / "card.yaml").write_text(CARD, "utf-8")
        entries = ("--data", data, "--out", folder / "entries")
        run("rope-bench", "submit", vectors, "--model-card", work / "card.yaml", *entries)
        curation(folder / "curation")
        checkpoint(folder / "cope", data, work)


def run(program: str, *words: object) -> str:
    environment = os.environ | {"ROPE_CACHE": tempfile.gettempdir()}
    command = [sys.executable, "-c", f"from {PROGRAMS[program]} import main; main()", *map(str, words)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def dataset(folder: Path, work: Path) -> Path:
    write_release(work / "release", tiny_release())
    run("rope", "build", work / "release", folder / "dataset", "--name", "small")
    return folder / "dataset"


def curation(folder: Path) -> None:
    """A pool of four products and a damaged picture, and the folder in which its recipe was run."""
    folder.mkdir()
    rows = [
        {"id": f"{domain}{i}", "domain": domain, "text": f"{i}", "product_hint": f"p{i}", "frames": [one_colour(i)]}
        for i in range(4)
        for domain in ("page", "video", "live")
    ]
    rows.append({"id": "damaged", "domain": "page", "frames": [{"bytes": b"no picture", "path": None}]})
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool.parquet")
    (folder / "recipe.toml").write_text(CURATION, "utf-8")
    run("rope", "curate", "run", folder / "recipe.toml")
    for name in (".lock", "pool.json"):  # the second is a cache, and names this machine
        (folder / "recipe-work" / name).unlink()


def one_colour(i: int) -> dict:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (60 * i, 200 - 50 * i, 90)).save(buffer, "JPEG")
    return {"bytes": buffer.getvalue(), "path": None}


def checkpoint(folder: Path, data: Path, work: Path) -> None:
    """A folder of a training run, and of its weights the names and shapes alone."""
    recipe = yaml.safe_load(run("cope", "recipe", "tiny"))
    recipe |= {"model": recipe["model"] | SMALL_MODEL, "epochs": 1, "batch_size": 2}
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    run("cope", "train", data, "--config", work / "recipe.yaml", "--out", work / "run")
    folder.mkdir()
    shapes = {name: list(weight.shape) for name, weight in load_file(work / "run" / "model.safetensors").items()}
    (folder / "tensors.json").write_text(json.dumps(shapes) + "\n", "utf-8")
    for path in (work / "run").iterdir():
        if path.is_file() and path.suffix != ".safetensors":
            shutil.copyfile(path, folder / path.name)


if __name__ == "__main__":
    main()
