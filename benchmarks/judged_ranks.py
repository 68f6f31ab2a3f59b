"""Time the ranks of search queries beside plain float64 rows that are sorted whole.

    python benchmarks/judged_ranks.py

The plain version ranks everything and settles no tie; it stands for what a search that is not certified would do.
"""

from time import process_time

import numpy as np

from rope.bench.ranking.judged import JudgedGallery, JudgedQuery, rank_judged
from rope.bench.ranking.records import ComputeSettings
from rope.bench.ranking.similarity import Vectors

N_QUERIES, N_GALLERY, DIM, N_POSITIVES = 400, 90_000, 256, 12


def main() -> None:
    """Print the CPU time of both, in one thread."""
    rng = np.random.default_rng(0)
    parts = [Vectors.of(rng.standard_normal((N_GALLERY // 3, DIM)).astype(np.float32)) for _ in range(3)]
    queries = Vectors.of(rng.standard_normal((N_QUERIES, DIM)).astype(np.float32))
    nothing = np.zeros(0, np.int64)
    judged = [
        JudgedQuery(
            rng.choice(N_GALLERY, N_POSITIVES, replace=False).astype(np.int64),
            rng.integers(1, 4, N_POSITIVES),
            nothing,
            nothing,
        )
        for _ in range(N_QUERIES)
    ]
    start = process_time()
    rank_judged(queries, JudgedGallery(parts), judged, ComputeSettings(threads=1))
    certified = process_time() - start
    galleries, start = [part.raw.astype(np.float64) for part in parts], process_time()
    for query in queries.raw.astype(np.float64):
        rows = [query @ gallery.T for gallery in galleries]
        for row in (*rows, np.concatenate(rows)):
            np.argsort(-row)
    plain = process_time() - start
    print(f"certified {certified:.1f} s, plain {plain:.1f} s, ratio {certified / plain:.1f}")


if __name__ == "__main__":
    main()
