"""Vectors with planted groups, drift chains and a placeholder, for the tests and the benchmark of merging."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Planted:
    """One vector a product; `group` is -1 outside the planted groups, `brand` is shared inside a group."""

    vectors: np.ndarray
    group: np.ndarray
    brand: np.ndarray
    ids: list[str]

    def attributes(self) -> dict[str, dict[str, int]]:
        return {"brand": dict(zip(self.ids, self.brand.tolist(), strict=True))}


def plant(*, background: int, groups: int, chains: int, steps: int, placeholders: int, dim: int, seed: int) -> Planted:
    """Groups of 2 to 6 whose pairs reach a cosine of 0.90, chains with a cosine of 0.94 a step, equal vectors."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(groups), rng.integers(2, 7, groups))
    noise = unit(rng.standard_normal((len(owner), dim))) * rng.uniform(0.1, 0.21, (len(owner), 1))
    members = unit(unit(rng.standard_normal((groups, dim)))[owner] + noise)
    alone = [unit(rng.standard_normal((background, dim)))]
    alone += [drift(rng, steps, dim) for _ in range(chains)]
    alone += [np.tile(unit(rng.standard_normal(dim)), (placeholders, 1))]
    vectors = np.concatenate([members, *alone]).astype(np.float32)
    n_alone = len(vectors) - len(members)
    group = np.concatenate([owner, np.full(n_alone, -1)])
    brand = np.concatenate([rng.integers(0, 200, groups)[owner], rng.integers(0, 200, n_alone)])
    ids = [str(1_000_000 + i) for i in rng.permutation(len(vectors))]
    return Planted(vectors, group, brand, ids)


def drift(rng: np.random.Generator, steps: int, dim: int) -> np.ndarray:
    rows = [unit(rng.standard_normal(dim))]
    for _ in range(steps - 1):
        here = rows[-1]
        aside = rng.standard_normal(dim)
        rows.append(unit(0.94 * here + np.sqrt(1 - 0.94**2) * unit(aside - (aside @ here) * here)))
    return np.array(rows)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def pair_scores(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Precision and recall of the pairs of a grouping; -1 in `true` is its own group."""
    inside = true >= 0
    both = n_pairs(found[inside] * (true.max() + 1) + true[inside])
    return both / max(n_pairs(found), 1), both / max(n_pairs(true[inside]), 1)


def n_pairs(labels: np.ndarray) -> int:
    _, size = np.unique(labels, return_counts=True)
    return int((size * (size - 1) // 2).sum())
