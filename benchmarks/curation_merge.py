"""Merging 200,000 products by 64-d vectors, with drift chains and a placeholder planted, and copies of real photos.

    python benchmarks/curation_merge.py [--products 200000]
    python benchmarks/curation_merge.py --photos FOLDER

The first form plants 10,000 groups of 2 to 6 products whose pairs reach a cosine of 0.90, 40 drift chains of 300 steps
at a cosine of 0.94, and 3,000 products with one vector under different hashes (the worse case: under one hash they are
one node), among products that resemble nothing, and merges them at 0.90 under several rules. Every rule runs in a
process of its own, so that its peak memory is its own.

The second form copies every photo of FOLDER (*.jpg) in several ways, and prints how many copies are found and how many
pairs of two photos, which are not copies, are taken for some.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the planted vectors are those of the tests

from rope.curation.dedup.evidence import make_items  # noqa: E402
from rope.curation.dedup.merge import MergeRules, merge_products  # noqa: E402
from rope.curation.dedup.near_duplicate_images import copy_pairs, score_pairs, thumbnail  # noqa: E402
from tests.curation.planted import n_pairs, pair_scores, plant  # noqa: E402

THRESHOLDS = {("page", "page"): 0.9}
RULES = {
    "components alone": {"cap": 1 << 40},
    "complete linkage, no cap": {"cap": 1000},
    "complete linkage, cap 200": {},
    "complete linkage, veto on brand": {"vetoes": ("brand",)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, default=200_000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--rule", choices=RULES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.photos:
        compare_photos(options.photos)
    elif options.rule:
        print(json.dumps(measure(options.products, options.rule)))
    else:
        compare_rules(options.products)


def compare_rules(products: int) -> None:
    print("| rule | seconds | peak GiB | largest group | pair precision | pair recall | queued |")
    print("|---|---|---|---|---|---|---|")
    for rule in RULES:
        command = [sys.executable, __file__, "--products", str(products), "--rule", rule]
        got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"| {rule} | {got['seconds']:.1f} | {got['gib']:.2f} | {got['largest']} | {got['precision']:.4f} | "
            f"{got['recall']:.4f} | {got['queued']} |",
            flush=True,
        )


def measure(products: int, rule: str) -> dict:
    groups, chains, placeholders = products // 20, products // 5000, products * 3 // 200
    background = products - 4 * groups - 300 * chains - placeholders
    data = plant(
        background=background, groups=groups, chains=chains, steps=300, placeholders=placeholders, dim=64, seed=0
    )
    media = [f"m{i}" for i in range(len(data.ids))]
    started = time.perf_counter()
    items = make_items(data.ids, ["page"] * len(media), media, vectors=data.vectors)
    merge = merge_products(items, MergeRules(THRESHOLDS, **RULES[rule]), attributes=data.attributes())
    seconds = time.perf_counter() - started
    label = merge.component if rule == "components alone" else merge.group
    found = dict(zip(items.product_ids.tolist(), label.tolist(), strict=True))
    found = np.array([found[name] for name in data.ids])
    precision, recall = pair_scores(found, data.group)
    return {
        "seconds": seconds,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "largest": int(np.bincount(found).max()),
        "precision": precision,
        "recall": recall,
        "queued": int(merge.queued.sum()),
        "planted": n_pairs(data.group[data.group >= 0]),
    }


def jpeg(quality: int):
    def encode(image: Image.Image, _: np.random.Generator) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return encode


def crop(share: float):
    def cut(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        left, top = rng.uniform(0, share, 2) * image.size
        width, height = ((1 - share) * side for side in image.size)
        return image.crop((round(left), round(top), round(left + width), round(top + height)))

    return cut


def light(factor: float):
    return lambda image, _: image.point([min(round(level * factor), 255) for level in range(256)] * 3)


def frame(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageOps.expand(image, round(0.05 * min(image.size)), (255, 255, 255))


COPIES = {
    "encoded again, quality 30": jpeg(30),
    "half the size": lambda image, _: image.resize((image.width // 2, image.height // 2)),
    "brighter, x1.08": light(1.08),
    "brighter, x1.3 (clips)": light(1.3),
    "darker, x0.7": light(0.7),
    "3 % cropped": crop(0.03),
    "5 % cropped": crop(0.05),
    "10 % cropped": crop(0.1),
    "15 % cropped": crop(0.15),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "turned by 2 degrees": lambda image, _: image.rotate(2, Image.Resampling.BICUBIC),
    "turned by 5 degrees": lambda image, _: image.rotate(5, Image.Resampling.BICUBIC),
    "padded to a square": lambda image, _: ImageOps.pad(image, (max(image.size),) * 2, color=(255, 255, 255)),
    "white frame of 5 %": frame,
    "turned grey": lambda image, _: image.convert("L").convert("RGB"),
}


def compare_photos(folder: Path) -> None:
    images = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
    originals = np.stack([thumbnail(image) for image in images])
    n = len(images)
    print(f"{n} photos\n\n| copy | found | fit when checked |\n|---|---|---|")
    for name, transform in COPIES.items():
        rng = np.random.default_rng(0)
        both = np.concatenate([originals, np.stack([thumbnail(transform(image, rng)) for image in images])])
        found = copy_pairs(both)
        hits = int((found.right == found.left + n).sum())
        fits = score_pairs(both, np.arange(n), np.arange(n, 2 * n), np.full(n, name == "mirrored")) > 0
        print(f"| {name} | {hits / n:.3f} | {fits.mean():.3f} |", flush=True)
    started = time.perf_counter()
    others = len(copy_pairs(originals).left)
    print(f"\n{others} of {n * (n - 1) // 2} pairs of two photos are taken for copies, {_s(started)} in all")
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, n, (2, 4000))
    started = time.perf_counter()
    score_pairs(originals, left, right, np.zeros(4000, np.bool_))
    print(f"4000 pairs checked in {_s(started)}")


def _s(started: float) -> str:
    return f"{time.perf_counter() - started:.2f} s"


if __name__ == "__main__":
    main()
