"""Random interactions, with repeated items, equal vectors and items that nobody took."""

import numpy as np

from rope.bench.recommend.interactions import Interactions, Sequences, leave_one_out

N_ITEMS = 30


def random_split(seed, stage="test", n_users=40):
    rng = np.random.default_rng(seed)
    taken = Sequences.of([rng.integers(0, N_ITEMS - 3, rng.integers(1, 9)) for _ in range(n_users)])
    return leave_one_out(Interactions([str(i) for i in range(n_users)], [str(i) for i in range(N_ITEMS)], taken), stage)


def coarse_vectors(seed, n, dim=3):
    """Whole numbers, so that many cosines are equal; no vector is zero."""
    vectors = np.random.default_rng(seed).integers(-2, 3, (n, dim)).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1
    return vectors
