"""Recipes of COPE on one dataset, several training seeds each, beside the floor: result files for docs/results.md.

    python benchmarks/ablations.py DATASET --work FOLDER [--presets tiny tiny_no_contrastive] [--seeds 3]

Files go to benchmarks/results/NAME, after the name of the dataset. A run that was stopped goes on.
"""

import argparse
from pathlib import Path

import yaml

from baselines import handcrafted
from cope.embed import load_cope_embedder
from cope.recipe import read_recipe
from cope.train import train
from rope.bench import compare, evaluate
from rope.bench.training import embed_split
from rope.dataset.manifest import read_manifest

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--presets", nargs="+", default=["tiny", "tiny_no_contrastive"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    out = RESULTS / read_manifest(arguments.dataset).name
    out.mkdir(parents=True, exist_ok=True)
    runs = {"handcrafted": [out / "handcrafted.json"]}
    if not runs["handcrafted"][0].exists():
        vectors = embed_split(handcrafted.embedder().embed, arguments.dataset, "validation", batch_size=64)
        evaluate(vectors, arguments.dataset, name="handcrafted").save(runs["handcrafted"][0])
    for preset in arguments.presets:
        runs[preset] = [out / f"{preset}-{seed}.json" for seed in range(arguments.seeds)]
        for seed, path in enumerate(runs[preset]):
            if not path.exists():
                score_one(preset, seed, path, arguments)
    compared = compare(runs)
    compared.save(out / "comparison.json")
    print(compared)


def score_one(preset: str, seed: int, path: Path, arguments: argparse.Namespace) -> None:
    """Train one model and write its result."""
    out, config = arguments.work / f"{preset}-{seed}", arguments.work / f"{preset}-{seed}.yaml"
    arguments.work.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump({"base": preset, "seed": seed}), "utf-8")
    train(arguments.dataset, out, read_recipe(str(config)), num_workers=arguments.workers, progress=False)
    embedder = load_cope_embedder(str(out), device="cpu")
    vectors = embed_split(embedder.embed, arguments.dataset, "validation", batch_size=64)
    evaluate(vectors, arguments.dataset, name=preset, training_seed=seed).save(path)


if __name__ == "__main__":
    main()
