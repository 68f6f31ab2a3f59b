"""Scoring in shares beside scoring at once, and what that means for ten million samples a domain.

    python benchmarks/score_shares.py [--samples 20000] [--dim 256] [--shares 8]

Random clustered vectors of three domains, ten samples a product. Everything runs in this process, one after the other;
the time of a share is that of its slowest. The estimate multiplies the time for each comparison by the number of those.
"""

import argparse
import time

import numpy as np
from score import warm_up

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.metrics import joined
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.running.share import RunShare
from rope.bench.score import score, score_share
from rope.dataset.directory import SampleLabels
from rope.domain import DOMAINS

LARGE = 10_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--shares", type=int, default=8)
    arguments = parser.parse_args()
    n, draws, compute = arguments.samples, Draws(seed=0), ComputeSettings()
    embeddings, labels = make(n, arguments.dim)
    warm_up()
    started = time.perf_counter()
    whole = score(embeddings, labels, draws, compute)
    at_once = time.perf_counter() - started
    parts, seconds = [], []
    for rank in range(arguments.shares):
        started = time.perf_counter()
        parts.append(score_share(embeddings, labels, draws, compute, RunShare(rank, arguments.shares)))
        seconds.append(time.perf_counter() - started)
    together = score(embeddings, labels, draws, compute, {p: joined([part[p] for part in parts]) for p in parts[0]})
    same = all(np.array_equal(a.queries.rank, together.pairs[p].queries.rank) for p, a in whole.pairs.items())
    assert same, "the shares are not the whole"
    n_compared = 9 * n * n  # each query with each gallery, one direction
    large = 9 * LARGE * LARGE / n_compared * sum(seconds) / 3600
    print(
        f"{n:,} samples a domain, {arguments.dim} dimensions: at once {at_once:.1f} s; {arguments.shares} shares "
        f"{sum(seconds):.1f} s together ({sum(seconds) / at_once:.2f} of it), the slowest {max(seconds):.1f} s "
        f"({max(seconds) / at_once:.2f}). {LARGE:,} samples a domain at that rate: {large:,.0f} hours of this machine."
    )


def make(n: int, dim: int) -> tuple[dict, dict]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n // 10, dim), dtype=np.float32)
    embeddings, labels = {}, {}
    for domain in DOMAINS:
        products = np.sort(rng.integers(0, len(centres), n))
        vectors = centres[products] + 1.5 * rng.standard_normal((n, dim), dtype=np.float32)
        ids = [str(i) for i in range(n)]
        embeddings[domain] = DomainEmbeddings(ids, vectors.astype(np.float32), "float32")
        labels[domain] = SampleLabels(ids, [f"{product:06d}" for product in products])
    return embeddings, labels


if __name__ == "__main__":
    main()
