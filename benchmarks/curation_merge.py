"""Merging 200,000 products by 64-d vectors, with drift chains and a placeholder planted.

    python benchmarks/curation_merge.py [--products 200000]

It plants 10,000 groups of 2 to 6 products whose pairs reach a cosine of 0.90, 40 drift chains of 300 steps
at a cosine of 0.94, and 3,000 products with one vector under different hashes (the worse case: under one hash they are
one node), among products that resemble nothing, and merges them at 0.90 under several rules. Every rule runs in a
process of its own, so that its peak memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the planted vectors are those of the tests

from rope.curation.dedup.evidence import make_items  # noqa: E402
from rope.curation.dedup.merge import MergeRules, merge_products  # noqa: E402
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
    parser.add_argument("--rule", choices=RULES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rule:
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


if __name__ == "__main__":
    main()
