"""Choose the rules of copies by cross-validation, and compare them with other tools on the same pools.

    python benchmarks/merge_calibration.py --release FOLDER [--pool FOLDER] [--encoder FILE.onnx]
    python benchmarks/merge_calibration.py --release FOLDER --peers     # pip install imagehash imagededup

RELEASE is a release folder with `images/` and `provenance.tsv`, whose classes of goods are dealt into five folds; a
pool is drawn from each (`merge_pools.py`). For every fold the rules are chosen on the other four, those with the best
F1. Then come the defaults: on every fold, on POOL, which has `answers.parquet`, on changes that the rules were not
chosen for, and among all photos of RELEASE.

Precision and recall are of pairs of pictures, once as found and once after complete linkage. Intervals (95 %) are of
2,000 bootstrap samples of originals with all their copies, since pairs of one group are not independent. A peer's
threshold is chosen as the rules are.
"""

import argparse
import csv
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from merge_pools import FOLDS, STRONG, Picture, draw_pool
from PIL import Image

from rope.curation.dedup.agreement import compare
from rope.curation.dedup.linkage import link
from rope.curation.dedup.near_duplicate_images import CopyRules, candidate_pairs, copy_pairs, layout, thumbnail
from rope.encoders.onnx_images import PixelPreparation, load_onnx_images

PRECISION = 0.995
GAPS = (0.1, 0.12)
LAYOUTS = (0.7,)
DIFFERING = (0.16, 0.18, 0.2, 0.22, 0.25, 0.3)
PATCHES = (0.88, 0.9, 0.92, 0.94, 0.96)
DETAILS = (0.3, 0.5, 0.6, 0.7)
GRID = list(itertools.product(GAPS, LAYOUTS, DIFFERING, PATCHES, DETAILS))
Pairs = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--encoder", type=Path, help="an ONNX file that takes bytes, or numbers as ImageNet models do")
    parser.add_argument("--peers", action="store_true", help="the other tools, and not our rules")
    parser.add_argument("--folds", type=int, default=FOLDS, help="draw so many of the five pools")
    options = parser.parse_args()
    pools = [draw_pool(photos, seed, sets=5) for seed, photos in enumerate(folds(options.release))][: options.folds]
    print(f"{len(pools)} pools of {', '.join(str(len(pool)) for pool in pools)} pictures\n")
    if options.peers:
        compare_peers(pools)
    elif options.encoder:
        compare_scores("cosine of the encoder", [cosines(pool, options.encoder) for pool in pools], pools)
    else:
        choose_rules(pools)
        measure_defaults(pools)
        if options.pool:
            measure_pool(options.pool)
        measure_strong(options.release)
        measure_photos(options.release)


def folds(release: Path) -> list[list[Image.Image]]:
    """The photos of each fold: 120 at random and all that stand on white."""
    with (release / "provenance.tsv").open(encoding="utf-8") as file:
        goods = {row["image_name"]: row["source_path"].split("/")[-2] for row in csv.DictReader(file, delimiter="\t")}
    classes = sorted(set(goods.values()))
    fold = {name: i % FOLDS for i, name in enumerate(np.random.default_rng(0).permutation(classes))}
    rng, found = np.random.default_rng(1), []
    for number in range(FOLDS):
        names = rng.permutation([name for name in sorted(goods) if fold[goods[name]] == number]).tolist()
        photos = {name: Image.open(release / "images" / name).convert("RGB") for name in names}
        small = [name for name in names[120:] if max(photos[name].size) < 200]  # the shop's pictures
        found.append([photos[name] for name in names[:120] + small])
    return found


def truth(pool: Sequence[Picture]) -> tuple[np.ndarray, int]:
    """The group of each picture, and how many pairs there are."""
    group = np.array([picture.group for picture in pool])
    sizes = np.bincount(group)
    return group, int((sizes * (sizes - 1) // 2).sum())


def scores(found: Pairs, group: np.ndarray) -> tuple[float, float, str]:
    """Precision, recall and their intervals in words."""
    left, right = found
    is_true = group[left] == group[right]
    sizes = np.bincount(group)
    all_pairs = sizes * (sizes - 1) / 2
    n = len(sizes)
    hits = np.bincount(group[left[is_true]], minlength=n)
    false = np.bincount(group[left[~is_true]], minlength=n)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=2000)
    drawn_hits = weights @ hits
    drawn = drawn_hits / np.maximum(drawn_hits + weights @ false, 1), drawn_hits / np.maximum(weights @ all_pairs, 1)
    ends = [np.quantile(values, (0.025, 0.975)) for values in drawn]
    values = hits.sum() / max(hits.sum() + false.sum(), 1), hits.sum() / all_pairs.sum()
    words = " | ".join(f"{v:.4f} ({low:.4f} to {high:.4f})" for v, (low, high) in zip(values, ends, strict=True))
    return float(values[0]), float(values[1]), words


def linked(n: int, found: Pairs, strength: np.ndarray) -> Pairs:
    """The pairs of pictures that complete linkage leaves in one group."""
    group = link(n, found[0], found[1], strength, cap=200).group
    pairs = [list(itertools.combinations(np.flatnonzero(group == one).tolist(), 2)) for one in np.unique(group)]
    rows = np.array([pair for some in pairs for pair in some], np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def measured(pool: Sequence[Picture]) -> dict[str, np.ndarray]:
    """What the rules decide on: of every pair of candidates, both ways, at each gap."""
    pictures = np.stack([thumbnail(picture.image) for picture in pool])
    candidates = candidate_pairs(layout(pictures), CopyRules(layout=0.7))
    left, right, mirrored = candidates.left, candidates.right, candidates.mirrored
    unit = [layout(some) for some in (pictures, pictures[:, :, ::-1])]
    unit = [some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-9) for some in unit]
    cosine = np.einsum("ij,ij->i", unit[0][left], np.where(mirrored[:, None], unit[1][right], unit[0][right]))
    found = {"left": left, "right": right, "cosine": cosine}
    for gap, way in itertools.product(GAPS, (0, 1)):
        parts = []
        for at in np.array_split(np.arange(len(left)), max(1, len(left) // 128)):
            a, b = ((left, right), (right, left))[way]
            second = np.where(mirrored[at, None, None, None], pictures[b[at], :, ::-1], pictures[b[at]])
            result = compare(pictures[a[at]], second, gap)
            parts.append(np.stack([result.differing, result.patch, result.detail, result.overlap, result.contrast]))
        found[f"{gap} {way}"] = np.concatenate(parts, axis=1)
    return found


def chosen_pairs(found: dict[str, np.ndarray], rule: Sequence[float]) -> Pairs:
    gap, least_layout, differing, patch, detail = rule
    passes = np.zeros(len(found["left"]), np.bool_)
    for way in (0, 1):
        share, worst, fine, overlap, contrast = found[f"{gap} {way}"]
        fits = (share <= differing) & (worst <= patch) & (fine >= detail)
        passes |= fits & (overlap >= 0.5) & (contrast >= 2 / 255)
    passes &= found["cosine"] >= least_layout
    pairs = np.unique(np.stack([found["left"][passes], found["right"][passes]]), axis=1)
    return pairs[0], pairs[1]


def best_of(counts: np.ndarray, known: int) -> int:
    """The row with the best F1; [rows, (hits, all found)]."""
    return int(np.argmax(2 * counts[:, 0] / (counts[:, 1] + known)))


def choose_rules(pools: Sequence[Sequence[Picture]]) -> None:
    """Cross-validate, and print what is best on all folds together."""
    found, truths = [measured(pool) for pool in pools], [truth(pool) for pool in pools]
    counts = np.zeros((len(pools), len(GRID), 2))
    for fold, (pairs, (group, _)) in enumerate(zip(found, truths, strict=True)):
        for i, rule in enumerate(GRID):
            left, right = chosen_pairs(pairs, rule)
            counts[fold, i] = (group[left] == group[right]).sum(), len(left)
    known = np.array([n for _, n in truths])
    print("| held-out fold | gap, layout, differing, patch, detail | precision | recall |\n|---|---|---|---|")
    for fold in range(len(pools)):
        others = np.arange(len(pools)) != fold
        rule = GRID[best_of(counts[others].sum(axis=0), known[others].sum())]
        words = scores(chosen_pairs(found[fold], rule), truths[fold][0])[2]
        print(f"| {fold} | {', '.join(f'{value:g}' for value in rule)} | {words} |", flush=True)
    best = GRID[best_of(counts.sum(axis=0), known.sum())]
    print(f"\nbest on all folds: {', '.join(f'{value:g}' for value in best)}\n")


def measure_defaults(pools: Sequence[Sequence[Picture]]) -> None:
    print("| fold, default rules | precision | recall | merged: precision | recall | false pairs | seconds |")
    print("|---|---|---|---|---|---|---|")
    every: list[tuple[Pairs, Pairs, np.ndarray]] = []
    for fold, pool in enumerate(pools):
        started = time.perf_counter()
        found = copy_pairs(np.stack([thumbnail(picture.image) for picture in pool]))
        seconds = time.perf_counter() - started
        group, _ = truth(pool)
        pairs = found.left, found.right
        merged = linked(len(pool), pairs, found.score)
        every.append((pairs, merged, group))
        wrong = [
            tuple(sorted((pool[a].kind, pool[b].kind))) for a, b in zip(*pairs, strict=True) if group[a] != group[b]
        ]
        print(
            f"| {fold} | {scores(pairs, group)[2]} | {scores(merged, group)[2]} | "
            f"{', '.join(' with '.join(kinds) for kinds in wrong) or 'none'} | {seconds:.0f} |",
            flush=True,
        )
    print(f"| all | {scores(*joined(every, 0))[2]} | {scores(*joined(every, 1))[2]} | | |\n")


def joined(every: Sequence[tuple[Pairs, Pairs, np.ndarray]], which: int) -> tuple[Pairs, np.ndarray]:
    """The pairs of all pools as if they were one."""
    starts = np.cumsum([0, *(len(group) for *_, group in every)])
    left, right = (
        np.concatenate([one[which][side] + start for one, start in zip(every, starts, strict=False)]) for side in (0, 1)
    )
    offsets = np.cumsum([0, *(group.max() + 1 for *_, group in every)])
    return (left, right), np.concatenate([one[2] + offset for one, offset in zip(every, offsets, strict=False)])


def measure_strong(release: Path) -> None:
    """How many copies are found of changes that the rules were not chosen for."""
    pool = draw_pool(folds(release)[0], 100, sets=1, strong=True)
    found = copy_pairs(np.stack([thumbnail(picture.image) for picture in pool]))
    pairs = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    first = {picture.group: i for i, picture in reversed(list(enumerate(pool)))}
    print("| other change | copies | found |\n|---|---|---|")
    for name in STRONG:
        copies = [i for i, picture in enumerate(pool) if picture.kind == name]
        print(
            f"| {name} | {len(copies)} | {sum((first[pool[i].group], i) in pairs for i in copies) / len(copies):.3f} |"
        )
    print()


def measure_photos(release: Path) -> None:
    """Pairs taken for copies among all photos of the release, none of which was planted."""
    paths = sorted((release / "images").glob("*.jpg"))
    pictures = np.stack([thumbnail(Image.open(path)) for path in paths])
    started = time.perf_counter()
    found = copy_pairs(pictures)
    seconds = time.perf_counter() - started
    n = len(paths)
    print(f"{len(found.left)} of {n * (n - 1) // 2:,} pairs of {n:,} photos are taken for copies, in {seconds:.0f} s:")
    for left, right, score in zip(found.left, found.right, found.score, strict=True):
        print(f"  {paths[left].name} {paths[right].name} {score:.3f}")
    print()


def measure_pool(folder: Path) -> None:
    answers = {row["id"]: row["dup_group"] for row in pq.read_table(folder / "answers.parquet").to_pylist()}
    rows = pq.read_table(folder / "pool.parquet").to_pylist()
    own = itertools.count(10**6)
    groups = [next(own) if answers[row["id"]] is None else answers[row["id"]] for row in rows]
    numbers = np.unique(groups, return_inverse=True)[1].tolist()
    pool = [
        Picture(Image.open(folder / row["image"]).convert("RGB"), group, "")
        for row, group in zip(rows, numbers, strict=True)
    ]
    print(f"{folder.name}: {len(pool)} pictures, {truth(pool)[1]} pairs")
    measure_defaults([pool])


def compare_peers(pools: Sequence[Sequence[Picture]]) -> None:
    import imagehash
    from imagededup.methods import DHash, PHash

    def bits(image: Image.Image, kind: Callable[[Image.Image], imagehash.ImageHash]) -> np.ndarray:
        return kind(image).hash.ravel()

    def hexadecimal(image: Image.Image, method: PHash | DHash) -> np.ndarray:
        return np.array([int(bit) for bit in f"{int(method.encode_image(image_array=np.asarray(image)), 16):064b}"])

    tools: dict[str, Callable[[Image.Image], np.ndarray]] = {
        "imagehash phash": lambda image: bits(image, imagehash.phash),
        "imagehash dhash": lambda image: bits(image, imagehash.dhash),
        "imagehash whash": lambda image: bits(image, imagehash.whash),
        "imagededup PHash": lambda image: hexadecimal(image, PHash(verbose=False)),
        "imagededup DHash": lambda image: hexadecimal(image, DHash(verbose=False)),
    }
    for name, tool in tools.items():
        similar = []
        for pool in pools:
            hashes = np.stack([tool(picture.image) for picture in pool]).astype(np.float64)
            similar.append(-(hashes[:, None] != hashes[None]).sum(axis=2).astype(np.float64))
        compare_scores(f"{name}, minus the bits that differ", similar, pools)


def cosines(pool: Sequence[Picture], encoder: Path) -> np.ndarray:
    """Inner products of unit vectors, by faiss."""
    import faiss

    model = load_onnx_images(encoder, PixelPreparation("stretch", side=288))
    vectors = np.stack([model.encode(np.asarray(picture.image)) for picture in pool])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    values, columns = index.search(vectors, len(vectors))
    found = np.zeros((len(vectors), len(vectors)))
    np.put_along_axis(found, columns, values, axis=1)
    return found


def compare_scores(name: str, similar: Sequence[np.ndarray], pools: Sequence[Sequence[Picture]]) -> None:
    """Held-out precision and recall of a threshold chosen on the other folds, for the precision and for the best F1."""
    flat = [one[np.triu_indices(len(one), 1)] for one in similar]
    truths = []
    for pool in pools:
        group, _ = truth(pool)
        left, right = np.triu_indices(len(pool), 1)
        truths.append(group[left] == group[right])
    for goal in ("precision 0.995", "best F1"):
        hits = all_found = known = 0
        for fold in range(len(pools)):
            others = [i for i in range(len(pools)) if i != fold]
            cut = _cut(np.concatenate([flat[i] for i in others]), np.concatenate([truths[i] for i in others]), goal)
            passes = flat[fold] >= cut
            hits, all_found = hits + int((passes & truths[fold]).sum()), all_found + int(passes.sum())
            known += int(truths[fold].sum())
        print(f"| {name}, {goal} | {hits / max(all_found, 1):.4f} | {hits / known:.4f} |", flush=True)


def _cut(values: np.ndarray, is_true: np.ndarray, goal: str) -> float:
    cuts = np.unique(values[is_true])
    hits = np.array([(is_true & (values >= cut)).sum() for cut in cuts[:: max(1, len(cuts) // 300)]])
    found = np.array([(values >= cut).sum() for cut in cuts[:: max(1, len(cuts) // 300)]])
    cuts = cuts[:: max(1, len(cuts) // 300)]
    precision, recall = hits / np.maximum(found, 1), hits / is_true.sum()
    if goal == "best F1":
        return float(cuts[np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-9))])
    fits = precision >= PRECISION
    return float(cuts[np.argmax(np.where(fits, recall, -1))]) if fits.any() else float("inf")


if __name__ == "__main__":
    main()
