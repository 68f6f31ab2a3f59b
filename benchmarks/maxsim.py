"""Late interaction: certified ranks of MaxSim beside a plain loop of torch, on one processor.

    python benchmarks/maxsim.py [--queries 240] [--gallery 1200] [--rounds 3]

Random clustered vectors of 128 numbers: 32 of each query, 20 to 60 of each gallery sample, 12 samples a product. The
loop is what model cards show: pad the gallery, multiply for 8 queries at a time, take the largest over a sample's
vectors and the mean over the query's, and count what is at least as similar as the best positive. It is float32 and
certifies nothing. Both use as many threads, take turns, and the best of the rounds counts.
"""

import argparse
import time

import numpy as np
import torch

from rope.bench.ragged import offsets_of
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way
from rope.bench.ranking.similarity import Vectors

DIM, PER_PRODUCT, THREADS = 128, 12, 2


def side(n: int, lengths: np.ndarray, seed: int) -> Labelled:
    """Samples whose vectors scatter about those of their product."""
    rng = np.random.default_rng(seed)
    products = np.arange(n) // PER_PRODUCT
    centres = np.random.default_rng(0).standard_normal((n // PER_PRODUCT + 1, 60, DIM), dtype=np.float32)
    bags = [
        centres[product, :length] + np.float32(2.5) * rng.standard_normal((length, DIM), dtype=np.float32)
        for product, length in zip(products, lengths, strict=True)
    ]
    return Labelled(Vectors.of(np.concatenate(bags), offsets_of(lengths)), products)


def unit(vectors: Vectors) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(vectors.raw), dim=1)


def plain_loop(queries: Labelled, gallery: Labelled) -> np.ndarray:
    """Ranks of the best positive, by float32 alone."""
    offsets = gallery.vectors.offsets
    rows = unit(gallery.vectors)
    padded = torch.nn.utils.rnn.pad_sequence(torch.split(rows, np.diff(offsets).tolist()), batch_first=True)
    is_padding = torch.arange(padded.shape[1])[None] >= torch.from_numpy(np.diff(offsets))[:, None]
    products, ranks = torch.from_numpy(gallery.products), []
    asked = unit(queries.vectors).view(-1, 32, DIM)
    for some, of in zip(torch.split(asked, 8), torch.split(torch.from_numpy(queries.products), 8), strict=True):
        cosines = torch.einsum("bqd,nmd->bnqm", some, padded)
        similarities = cosines.masked_fill(is_padding[None, :, None], -torch.inf).amax(dim=3).mean(dim=2)
        for similarity, product in zip(similarities, of, strict=True):
            own = products == product
            ranks.append(1 + int((similarity[~own] >= similarity[own].max()).sum()))
    return np.array(ranks)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=240)
    parser.add_argument("--gallery", type=int, default=1200)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(THREADS)
    queries = side(asked.queries, np.full(asked.queries, 32), 1)
    gallery = side(asked.gallery, np.random.default_rng(2).integers(20, 61, asked.gallery), 3)
    compute = ComputeSettings(threads=THREADS)
    best = {"certified": np.inf, "plain loop": np.inf}
    for _ in range(asked.rounds):
        start = time.perf_counter()
        ranks = rank_one_way(queries, gallery, compute)
        best["certified"] = min(best["certified"], time.perf_counter() - start)
        start = time.perf_counter()
        plain = plain_loop(queries, gallery)
        best["plain loop"] = min(best["plain loop"], time.perf_counter() - start)
    certified = 1 + ranks.above[ranks.offsets[:-1]]
    ratio, n_other = best["certified"] / best["plain loop"], int((certified != plain).sum())
    print(f"{best['certified']:.2f} s certified, {best['plain loop']:.2f} s plain loop: ratio {ratio:.2f}")
    print(f"{n_other} of {len(plain)} ranks differ; R@1 {np.mean(certified == 1):.3f}")


if __name__ == "__main__":
    main()
