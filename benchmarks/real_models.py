"""Real weights on real photos: result files that docs/results.md shows.

    python benchmarks/real_models.py WEIGHTS GROCERY --work FOLDER [--seeds 5] [--folds 5]

WEIGHTS has the folders that tests/real/README.md makes, GROCERY is the dataset built from `rope fetch --open grocery`.
Needs the extras cope and baselines. Everything is scored twice:

* on the 20 validation products of `grocery`, COPE trained on the other 61;
* on `grocery-folds`: all 81 products in five folds of about 16. A query is answered from its own fold (column
  `gallery`), and COPE is trained for each fold on the products of the others.

Two rows need no training: the vectors of both towers side by side (`fused`), and the same after the mean over the
training products has been taken off (`fused-centred`). A run that was stopped goes on.
"""

import argparse
import csv
import io
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from baselines import handcrafted, sentence_transformer, transformers_model
from cope.embed import load_cope_embedder
from cope.recipe import read_recipe
from cope.train import train
from rope.bench import compare, evaluate
from rope.bench.training import Embed, embed_split
from rope.dataset.build import build_dataset
from rope.dataset.directory import iter_samples, read_labels, read_products
from rope.domain import DOMAINS, SPLITS

RESULTS = Path(__file__).parent / "results"
COPE = "cope-small_real"
Vectors = dict[str, tuple[list[str], npt.NDArray[np.float32]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("grocery", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    work = arguments.work
    every, parts = make_folds(arguments.grocery, work, arguments.folds)
    frozen = {
        "handcrafted": handcrafted.embedder().embed,
        "mobilenet_v2": transformers_model.embedder(str(arguments.weights / "mobilenet_v2")).embed,
        "multilingual_e5_small": sentence_transformer.embedder(
            str(arguments.weights / "multilingual_e5_small"), template="query: {}"
        ).embed,
    }
    made = {row: embed(every, embedder, work / f"{row}.npz") for row, embedder in frozen.items()}
    for name, scored, trained in (("grocery", arguments.grocery, [arguments.grocery]), ("grocery-folds", every, parts)):
        score_all(name, scored, trained, made, arguments)


def score_all(
    name: str, scored: Path, trained: list[Path], made: dict[str, Vectors], arguments: argparse.Namespace
) -> None:
    """Result files of every row on one dataset, `scored`, and the comparison of all.

    `trained` are datasets whose validation splits make up that of `scored`; `made` has vectors of all samples.
    """
    out = RESULTS / name
    out.mkdir(parents=True, exist_ok=True)
    rows = {row: [by_split(vectors, dataset) for dataset in trained] for row, vectors in made.items()}
    towers = [rows["mobilenet_v2"], rows["multilingual_e5_small"]]
    rows["fused"] = [side_by_side(*pair) for pair in zip(*towers, strict=True)]
    rows["fused-centred"] = [side_by_side(*map(centred, pair)) for pair in zip(*towers, strict=True)]
    for row, parts in rows.items():
        evaluate(joined([part["validation"] for part in parts]), scored, name=row).save(out / f"{row}.json")
    runs = {row: [out / f"{row}.json"] for row in rows}
    runs[COPE] = [out / f"{COPE}-{seed}.json" for seed in range(arguments.seeds)]
    for seed, path in enumerate(runs[COPE]):
        if not path.exists():
            vectors = [train_one(dataset, seed, arguments.weights, arguments.work) for dataset in trained]
            evaluate(joined(vectors), scored, name=COPE, training_seed=seed).save(path)
    compared = compare(runs)
    compared.save(out / "comparison.json")
    print(compared)


def embed(dataset: Path, embedder: Embed, kept: Path) -> Vectors:
    """The vectors of the validation split, kept in a file."""
    if not kept.exists():
        made = embed_split(embedder, dataset, "validation", batch_size=64)
        np.savez(kept, **{f"{d}-{i}": np.asarray(column) for d, pair in made.items() for i, column in enumerate(pair)})
    arrays = np.load(kept)
    return {d: (arrays[f"{d}-0"].tolist(), arrays[f"{d}-1"]) for d in DOMAINS}


def by_split(vectors: Vectors, dataset: Path) -> dict[str, Vectors]:
    """Those of the samples of each split of a dataset."""
    found: dict[str, Vectors] = {}
    for split in SPLITS:
        labels = read_labels(dataset, split)
        row_of = {d: {sample: row for row, sample in enumerate(ids)} for d, (ids, _) in vectors.items()}
        found[split] = {
            d: (ids, vectors[d][1][[row_of[d][sample] for sample in ids]])
            for d, ids in ((d, labels[d].sample_ids) for d in DOMAINS)
        }
    return found


def centred(made: dict[str, Vectors]) -> dict[str, Vectors]:
    """Less the mean over all samples of the training split."""
    mean = np.concatenate([vectors for _, vectors in made["train"].values()]).mean(axis=0)
    return {split: {d: (ids, unit(v - mean)) for d, (ids, v) in by_domain.items()} for split, by_domain in made.items()}


def side_by_side(a: dict[str, Vectors], b: dict[str, Vectors]) -> dict[str, Vectors]:
    return {
        split: {d: (ids, np.concatenate([unit(v), unit(b[split][d][1])], axis=1)) for d, (ids, v) in by_domain.items()}
        for split, by_domain in a.items()
    }


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def joined(parts: list[Vectors]) -> Vectors:
    return {
        d: ([name for part in parts for name in part[d][0]], np.concatenate([part[d][1] for part in parts]))
        for d in DOMAINS
    }


def train_one(dataset: Path, seed: int, weights: Path, work: Path) -> Vectors:
    """The validation vectors of a model trained on the other split."""
    out = work / "runs" / f"{dataset.name}-{seed}"
    config = work / f"seed-{seed}.yaml"
    towers = {
        "vision": {"backbone": str((weights / "mobilenet_v2").resolve()), "frames": "mean"},
        "text": {"backbone": str((weights / "multilingual_e5_small").resolve()), "prefix": "query: "},
    }
    config.write_text(yaml.safe_dump({"base": "small_real", "seed": seed, "model": towers}), "utf-8")
    train(dataset, out, read_recipe(str(config)), cache=work / "towers", progress=False)
    return embed_split(load_cope_embedder(str(out), device="cpu").embed, dataset, "validation", batch_size=64)


def make_folds(grocery: Path, work: Path, n: int) -> tuple[Path, list[Path]]:
    """A dataset with every product in `validation` and a gallery for each fold, and one of each fold to train on."""
    every, parts = work / "grocery-folds", [work / f"fold-{fold}" for fold in range(n)]
    if all(out.exists() for out in (every, *parts)):
        return every, parts
    source = work / "release"
    rows = list(write_media(grocery, source))
    products = sorted({row["product_id"] for row in rows})
    order = np.random.default_rng(0).permutation(len(products))
    fold_of = {products[product]: place % n for place, product in enumerate(order)}
    for fold, out in ((None, every), *enumerate(parts)):
        if out.exists():
            continue
        for row in rows:
            mine = fold_of[row["product_id"]]
            row["split"] = "validation" if fold in (None, mine) else "train"
            row["gallery"] = f"fold-{mine}" if fold is None else ""
        (source / "samples.csv").write_text(table_of(rows), "utf-8")
        build_dataset(source, out, name=out.name, progress=False)
    shutil.rmtree(source, ignore_errors=True)
    return every, parts


def write_media(grocery: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Write the frames of a dataset as files, and give the rows of its table but for split and gallery."""
    for split in SPLITS:
        categories, labels = read_products(grocery, split), read_labels(grocery, split)
        for domain in DOMAINS:
            product_of = dict(zip(labels[domain].sample_ids, labels[domain].product_ids, strict=True))
            for sample in chain.from_iterable(iter_samples(grocery, domain, split, batch_size=64)):
                place = folder / f"{domain}s" / sample.sample_id
                place.mkdir(parents=True, exist_ok=True)
                for number, frame in enumerate(sample.frames):
                    (place / f"{number:04}.jpg").write_bytes(frame.data)
                product = product_of[sample.sample_id]
                yield {
                    "domain": domain, "sample_id": sample.sample_id, "product_id": product,
                    "text": sample.text or "", "category": categories[product] or "",
                }  # fmt: skip


def table_of(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    main()
