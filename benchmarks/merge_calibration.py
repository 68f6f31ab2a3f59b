"""Choose the rules of copies by cross-validation, and compare them with other tools on the same pools.

    python benchmarks/merge_calibration.py --release FOLDER --pool FOLDER [--part choose] [--encoder FILE.onnx]
    python benchmarks/merge_calibration.py --release FOLDER --pool FOLDER --peers   # pip install imagehash imagededup

RELEASE is a release folder with `images/` and `provenance.tsv`, whose classes of goods are dealt into five folds; POOL
is a folder with `pool.parquet` and `answers.parquet`, of other photos. Pools are drawn from them (`merge_pools.py`):

* `choose`: one from each of the folds 0 to 3. For every one the rules are chosen on the other three, by the best F1.
  `between` is then tried on these and on three more, of other photos of the same folds.
* `unseen`: how the defaults do, and what they miss, on four pools with other seeds: of fold 4, of its other photos, of
  other photos of the folds 0 to 3 (of which some are also in the three pools of `between`), and of POOL. The goods that
  stand on white are those of fold 4.
* `rest`: the copies planted in POOL, changes that the rules were not chosen for, and all photos of RELEASE.

Precision and recall are of pairs of pictures, once as found and once after complete linkage. Intervals (95 %) are of
2,000 bootstrap samples of originals with all their copies, since pairs of one group are not independent. A peer's
threshold is chosen on the other folds.
"""

import argparse
import csv
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from merge_pools import FOLDS, MILD, STRONG, Picture, draw_pool
from PIL import Image

from rope.curation.dedup.agreement import Agreement, compare
from rope.curation.dedup.linkage import link
from rope.curation.dedup.near_duplicate_images import CopyRules, candidate_pairs, copy_pairs, layout, thumbnail
from rope.encoders.onnx_images import PixelPreparation, load_onnx_images

PRECISION = 0.995
CHOSEN_ON = 4
DIFFERING = (0.1, 0.11, 0.12, 0.13, 0.14, 0.16)
SHOWN = (0.18, 0.2, 0.22, 0.25, 0.3, 0.4)
PATCHES = (0.7, 0.8, 0.9, 1.0)
STRUCTURES = (0.6, 0.65, 0.7, 0.75, 0.8)
BETWEEN = (1, 1.5, 2)
GRID = [
    CopyRules(differing=a, shown=b, patch=c, structure=d)
    for a, b, c, d in itertools.product(DIFFERING, SHOWN, PATCHES, STRUCTURES)
]
Pairs = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--part", choices=("choose", "unseen", "rest"), help="all, where none is named")
    parser.add_argument("--encoder", type=Path, help="an ONNX file that takes bytes, or numbers as ImageNet models do")
    parser.add_argument("--peers", action="store_true", help="the other tools, and not our rules")
    options = parser.parse_args()
    photos = read_photos(options.release)
    if options.peers or options.encoder or options.part in (None, "choose"):
        pools = {f"fold {i}": draw_pool(photos[i][0] + photos[i][2], i, sets=5) for i in range(CHOSEN_ON)}
        if options.peers:
            compare_peers(list(pools.values()))
        elif options.encoder:
            similar = [cosines(pool, options.encoder) for pool in pools.values()]
            compare_scores("cosine of the encoder", similar, list(pools.values()))
        else:
            choose_rules(list(pools.values()))
            choose_between([*pools.values(), *more_pools(photos)])
    if options.peers or options.encoder:
        return
    if options.part in (None, "unseen"):
        measure_defaults(unseen_pools(photos, read_pool(options.pool)))
    if options.part in (None, "rest"):
        measure_defaults({options.pool.name: read_pool(options.pool)})
        measure_strong(photos[0][0] + photos[0][2])
        measure_photos(options.release)


Photos = list[Image.Image]


def read_photos(release: Path) -> list[tuple[Photos, Photos, Photos]]:
    """Of each fold 120 photos at random, the other photos, and the shop's pictures."""
    with (release / "provenance.tsv").open(encoding="utf-8") as file:
        goods = {row["image_name"]: row["source_path"].split("/")[-2] for row in csv.DictReader(file, delimiter="\t")}
    classes = sorted(set(goods.values()))
    fold = {name: i % FOLDS for i, name in enumerate(np.random.default_rng(0).permutation(classes))}
    rng, found = np.random.default_rng(1), []
    for number in range(FOLDS):
        names = rng.permutation([name for name in sorted(goods) if fold[goods[name]] == number]).tolist()
        photos = [Image.open(release / "images" / name).convert("RGB") for name in names]
        shop = [photo for photo in photos[120:] if max(photo.size) < 200]
        found.append((photos[:120], [photo for photo in photos[120:] if max(photo.size) >= 200], shop))
    return found


def more_pools(photos: Sequence[tuple[Photos, Photos, Photos]]) -> list[list[Picture]]:
    """Three more pools, of other photos of the folds 0 to 3."""
    more = [photo for _, rest, _ in photos[:CHOSEN_ON] for photo in rest]
    drawn = [np.random.default_rng(500 + i).permutation(len(more))[:150] for i in range(3)]
    return [draw_pool([more[place] for place in some] + photos[i][2], 700 + i, sets=5) for i, some in enumerate(drawn)]


def unseen_pools(photos: Sequence[tuple[Photos, Photos, Photos]], pool: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Pools of photos that the rules were not chosen on, with other seeds."""
    first, others, shop = photos[CHOSEN_ON]
    more = [photo for _, rest, _ in photos[:CHOSEN_ON] for photo in rest]
    of_pool = list({picture.group: picture.image for picture in reversed(pool)}.values())
    rng = np.random.default_rng(2)
    sets = {
        "fold 4": first,
        "other photos of fold 4": others[:150],
        "other photos of folds 0 to 3": [more[i] for i in rng.permutation(len(more))[:150]],
        "photos of the pool": [of_pool[i] for i in rng.permutation(len(of_pool))[:150]],
    }
    return {name: draw_pool(some + shop, 100 + i, sets=5) for i, (name, some) in enumerate(sets.items())}


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


@dataclass(frozen=True)
class Candidates:
    """Candidates for copies, and how each pair agrees in either direction."""

    left: np.ndarray
    right: np.ndarray
    ways: tuple[Agreement, Agreement]


def agreements(pictures: np.ndarray, left: np.ndarray, right: np.ndarray, mirrored: np.ndarray) -> Agreement:
    parts = []
    for at in np.array_split(np.arange(len(left)), max(1, len(left) // 128)):
        second = np.where(mirrored[at, None, None, None], pictures[right[at], :, ::-1], pictures[right[at]])
        parts.append(asdict(compare(pictures[left[at]], second, CopyRules().gap, max(DIFFERING))))
    return Agreement(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def measured(pool: Sequence[Picture]) -> Candidates:
    """What the rules decide on."""
    pictures = np.stack([thumbnail(picture.image) for picture in pool])
    found = candidate_pairs(layout(pictures))
    ways = [
        agreements(pictures, *ends, found.mirrored) for ends in ((found.left, found.right), (found.right, found.left))
    ]
    return Candidates(found.left, found.right, (ways[0], ways[1]))


def broken_rules(agreement: Agreement, rules: CopyRules) -> dict[str, np.ndarray]:
    """Rule -> bool [pairs]: is it broken?"""
    limits = {name: getattr(rules, name) for name in ("differing", "shown", "patch", "structure", "overlap")}
    least = {"structure", "overlap"}
    return {
        name: getattr(agreement, name) < limit if name in least else getattr(agreement, name) > limit
        for name, limit in limits.items()
    }


def chosen_pairs(found: Candidates, rules: CopyRules) -> Pairs:
    passes = np.zeros(len(found.left), np.bool_)
    for way in found.ways:
        passes |= ~np.any(list(broken_rules(way, rules).values()), axis=0)
    pairs = np.unique(np.stack([found.left[passes], found.right[passes]]), axis=1)
    return pairs[0], pairs[1]


def best_of(counts: np.ndarray, known: int) -> int:
    """The row with the best F1; [rows, (hits, all found)]."""
    return int(np.argmax(2 * counts[:, 0] / (counts[:, 1] + known)))


def choose_rules(pools: Sequence[Sequence[Picture]]) -> None:
    """Cross-validate, and print what is best on all folds together."""
    truths = [truth(pool) for pool in pools]
    found = [measured(pool) for pool in pools]
    counts = np.zeros((len(pools), len(GRID), 2))
    for fold, (pairs, (group, _)) in enumerate(zip(found, truths, strict=True)):
        for i, rules in enumerate(GRID):
            left, right = chosen_pairs(pairs, rules)
            counts[fold, i] = (group[left] == group[right]).sum(), len(left)
    known = np.array([n for _, n in truths])
    print("| held-out fold | differing, shown, patch, structure | precision | recall |\n|---|---|---|---|")
    held_out: list[tuple[Pairs, Pairs, np.ndarray]] = []
    for fold in range(len(pools)):
        others = np.arange(len(pools)) != fold
        rules = GRID[best_of(counts[others].sum(axis=0), known[others].sum())]
        pairs, group = chosen_pairs(found[fold], rules), truths[fold][0]
        held_out.append((pairs, pairs, group))
        print(f"| {fold} | {in_words(rules)} | {scores(pairs, group)[2]} |", flush=True)
    print(f"| all | | {scores(*joined(held_out, 0))[2]} |")
    print(f"\nbest on all folds: {in_words(GRID[best_of(counts.sum(axis=0), known.sum())])}\n")
    print("| fold, default rules | precision | recall |\n|---|---|---|")
    for fold, (pairs, (group, _)) in enumerate(zip(found, truths, strict=True)):
        print(f"| {fold} | {scores(chosen_pairs(pairs, CopyRules()), group)[2]} |")


def choose_between(pools: Sequence[Sequence[Picture]]) -> None:
    """How much looser the limits may be for two copies of a third picture; over all pools, before and after linkage."""
    print("| between | precision | recall | merged: precision | recall |\n|---|---|---|---|---|")
    pictures = [np.stack([thumbnail(picture.image) for picture in pool]) for pool in pools]
    for between in BETWEEN:
        every: list[tuple[Pairs, Pairs, np.ndarray]] = []
        for pool, some in zip(pools, pictures, strict=True):
            found = copy_pairs(some, CopyRules(between=between))
            pairs = found.left, found.right
            every.append((pairs, linked(len(pool), pairs, found.score), truth(pool)[0]))
        print(f"| {between:g} | {scores(*joined(every, 0))[2]} | {scores(*joined(every, 1))[2]} |", flush=True)


def in_words(rules: CopyRules) -> str:
    return ", ".join(f"{value:g}" for value in (rules.differing, rules.shown, rules.patch, rules.structure))


def measure_defaults(pools: Mapping[str, Sequence[Picture]]) -> None:
    print("| pool, default rules | pictures | copies found of all | false | precision | recall |", end="")
    print(" merged: precision | recall | CPU seconds |\n|---|---|---|---|---|---|---|---|---|")
    every: list[tuple[Pairs, Pairs, np.ndarray]] = []
    missed, wrong = Counter[tuple[str, str]](), Counter[str]()
    for name, pool in pools.items():
        pictures = np.stack([thumbnail(picture.image) for picture in pool])
        started = time.process_time()
        found = copy_pairs(pictures)
        seconds = time.process_time() - started
        group, known = truth(pool)
        pairs = found.left, found.right
        is_true = group[found.left] == group[found.right]
        merged = linked(len(pool), pairs, found.score)
        every.append((pairs, merged, group))
        missed += misses(pool, pictures, pairs)
        wrong += Counter(
            " and ".join(kinds_of(pool, a, b)) for a, b in zip(*(end[~is_true] for end in pairs), strict=True)
        )
        print(
            f"| {name} | {len(pool)} | {is_true.sum()} of {known} | {(~is_true).sum()} | {scores(pairs, group)[2]} | "
            f"{scores(merged, group)[2]} | {seconds:.0f} |",
            flush=True,
        )
    print(f"| all | | | | {scores(*joined(every, 0))[2]} | {scores(*joined(every, 1))[2]} | |\n")
    print("| missed copies | at | pairs |\n|---|---|---|")
    for (kinds, step), n in missed.most_common():
        print(f"| {kinds} | {step} | {n} |")
    print("\n| false pairs | |\n|---|---|")
    for kinds, n in wrong.most_common():
        print(f"| {kinds} | {n} |")
    print(flush=True)


def kinds_of(pool: Sequence[Picture], a: int, b: int) -> list[str]:
    """The changes of two pictures, `original` for none."""
    return sorted(pool[i].kind if pool[i].kind in MILD else f"original: {pool[i].kind}" for i in (a, b))


def misses(pool: Sequence[Picture], pictures: np.ndarray, pairs: Pairs) -> Counter[tuple[str, str]]:
    """(The two changes, the step at which the pair was lost) -> pairs."""
    group, _ = truth(pool)
    left, right = np.triu_indices(len(pool), 1)
    known = group[left] == group[right]
    lost = np.array(sorted(set(zip(left[known], right[known], strict=True)) - set(zip(*pairs, strict=True))), np.int64)
    if not len(lost):
        return Counter()
    left, right = lost.T
    is_mirror = np.array(["mirrored" in picture.kind for picture in pool])
    mirrored = is_mirror[left] != is_mirror[right]
    candidates = candidate_pairs(layout(pictures))
    proposed = set(zip(candidates.left.tolist(), candidates.right.tolist(), candidates.mirrored.tolist(), strict=True))
    broken = [
        broken_rules(agreements(pictures, *ends, mirrored), CopyRules()) for ends in ((left, right), (right, left))
    ]
    found = Counter[tuple[str, str]]()
    for i, pair in enumerate(zip(left.tolist(), right.tolist(), mirrored.tolist(), strict=True)):
        rules = min(([name for name, is_broken in way.items() if is_broken[i]] for way in broken), key=len)
        is_early = len(rules) in (0, len(broken[0]))  # of the rules no one, or all, as nothing was measured
        step = "registration, or too much differs" if is_early else " and ".join(rules)
        found[" and ".join(kinds_of(pool, *pair[:2])), step if pair in proposed else "not a candidate"] += 1
    return found


def joined(every: Sequence[tuple[Pairs, Pairs, np.ndarray]], which: int) -> tuple[Pairs, np.ndarray]:
    """The pairs of all pools as if they were one."""
    starts = np.cumsum([0, *(len(group) for *_, group in every)])
    left, right = (
        np.concatenate([one[which][side] + start for one, start in zip(every, starts, strict=False)]) for side in (0, 1)
    )
    offsets = np.cumsum([0, *(group.max() + 1 for *_, group in every)])
    return (left, right), np.concatenate([one[2] + offset for one, offset in zip(every, offsets, strict=False)])


def measure_strong(photos: Photos) -> None:
    """How many copies are found of changes that the rules were not chosen for."""
    pool = draw_pool(photos, 100, sets=1, strong=True)
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


def read_pool(folder: Path) -> list[Picture]:
    """The pictures of a pool with planted copies."""
    answers = {row["id"]: row["dup_group"] for row in pq.read_table(folder / "answers.parquet").to_pylist()}
    rows = pq.read_table(folder / "pool.parquet").to_pylist()
    own = itertools.count(10**6)
    groups = [next(own) if answers[row["id"]] is None else answers[row["id"]] for row in rows]
    numbers = np.unique(groups, return_inverse=True)[1].tolist()
    return [
        Picture(Image.open(folder / row["image"]).convert("RGB"), group, "photo")
        for row, group in zip(rows, numbers, strict=True)
    ]


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
