"""Positives beyond memory are counted a part at a time: the same ranks, regardless of the parts."""

import tracemalloc

import numpy as np
import pytest

from rope.bench.metrics import score_pair, score_queries, score_within
from rope.bench.one_shot import Draws, support_bits
from rope.bench.ranking import engine
from rope.bench.ranking.engine import (
    ComputeSettings,
    Labelled,
    rank_one_way,
    rank_pair,
    rank_within,
    reduce_pair,
    reduce_within,
)
from rope.bench.ranking.similarity import Vectors
from tests.bench.ranking.test_engine import agree
from tests.bench.reference import float32, score_slowly

KINDS = {
    "clusters": lambda rng, centres: centres + rng.normal(size=centres.shape),
    "codes": lambda rng, centres: np.round(centres + 0.7 * rng.normal(size=centres.shape)) + np.r_[0.5, np.zeros(5)],
    "constant": lambda rng, centres: np.ones_like(centres),
    "near-ties of 1e-7": lambda rng, centres: centres[0] + 1e-7 * rng.normal(size=centres.shape),
    "near-ties of 1e-12": lambda rng, centres: np.c_[np.ones(len(centres)), 1e-6 * centres],
}

PLANS = {
    "one by one": {"MANY_POSITIVES": 0, "room": 10},
    "most in one pass, some one by one": {"MANY_POSITIVES": 9, "room": 500},
    "bands, and some one by one": {"MANY_POSITIVES": 9, "room": 100},
    "bands": {"MANY_POSITIVES": 1000, "room": 500},
}
MEMORY = 1 << 20


def make_side(kind: str, seed: int, n: int = 80) -> Labelled:
    """A product with most samples, some with a few, some with one."""
    rng = np.random.default_rng([seed, *kind.encode()])
    products = np.sort(rng.choice(12, size=n, p=np.r_[0.5, 0.2, np.full(10, 0.03)]))
    return Labelled(Vectors.of(float32(KINDS[kind](rng, rng.normal(size=(12, 6))[products]))), products)


def follow(monkeypatch, plan: str) -> None:
    monkeypatch.setattr(engine, "MANY_POSITIVES", PLANS[plan]["MANY_POSITIVES"])
    monkeypatch.setattr(engine, "_ENTRY_BYTES", MEMORY // PLANS[plan]["room"])
    monkeypatch.setattr(engine, "_WORD_BYTES", 0)
    monkeypatch.setattr(engine, "_QUERY_BYTES", 0)


def everything(a: Labelled, b: Labelled, compute: ComputeSettings) -> list[list]:
    drawn = tuple(support_bits(side.products, Draws(seed=1, trials=70)) for side in (a, b))
    ranks = [*rank_pair(a, b, compute, drawn=drawn), *rank_pair(a, b, compute)]
    ranks += [rank_one_way(a, b, compute, drawn=drawn[1]), rank_within(a, compute)]
    parts = [(r.offsets, r.above, r.above_optimistic, r.win_chances, r.won) for r in ranks]
    return [[None if part is None else part.tolist() for part in one] for one in parts]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plan", PLANS)
def test_ranks_are_the_same_in_whatever_parts_they_are_counted(kind, plan, monkeypatch):
    a, b = make_side(kind, 0), make_side(kind, 1)
    expected = everything(a, b, ComputeSettings(threads=1))
    follow(monkeypatch, plan)
    assert everything(a, b, ComputeSettings(MEMORY, threads=2)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_products_larger_than_a_block_are_ranked_alike(kind):
    """Blocks of 16 samples, and a product of some 45: its cost is that of all its samples."""
    a, b = make_side(kind, 0), make_side(kind, 1)
    assert everything(a, b, ComputeSettings(memory_bytes=1, threads=1)) == everything(a, b, ComputeSettings(threads=1))


@pytest.mark.parametrize("plan", PLANS)
def test_ranks_in_parts_are_those_of_exact_arithmetic(plan, monkeypatch):
    a, b = make_side("codes", 0, n=40), make_side("codes", 1, n=40)
    follow(monkeypatch, plan)
    forward, _ = score_pair(a, b, ComputeSettings(MEMORY))
    agree(forward, score_slowly(a.vectors.raw, a.products, b.vectors.raw, b.products))
    within = score_within(a, ComputeSettings(MEMORY))
    agree(within, score_slowly(a.vectors.raw, a.products, a.vectors.raw, a.products, same=True))


@pytest.mark.parametrize("plan", PLANS)
def test_no_part_has_more_positives_than_there_is_room_for(plan, monkeypatch):
    a, b = make_side("clusters", 0), make_side("clusters", 1)
    follow(monkeypatch, plan)
    sizes: list[int] = []

    def reduce(ranks, first):
        sizes.append(len(ranks.above))
        return score_queries(ranks, first)

    reduce_pair(reduce, a, b, ComputeSettings(MEMORY))
    reduce_within(reduce, a, ComputeSettings(MEMORY))
    most_of_a_query = max(np.bincount(a.products).max(), np.bincount(b.products).max())
    rows = 64 * most_of_a_query  # as many queries are ranked one by one, before their ranks are let go
    assert len(sizes) > 3
    assert max(sizes) <= max(PLANS[plan]["room"], rows if "one by one" in plan else 0)


@pytest.mark.parametrize("plan", [None, *PLANS])
def test_progress_is_told_of_every_similarity_once(plan, monkeypatch):
    a, b = make_side("clusters", 0), make_side("clusters", 1)
    if plan is not None:
        follow(monkeypatch, plan)
    told: list[int] = []
    compute = ComputeSettings(MEMORY, threads=2, advance=told.append)
    rank_pair(a, b, compute)
    assert sum(told) == pytest.approx(len(a) * len(b), rel=0.05)


@pytest.mark.parametrize("best_only", [True, False])
def test_memory_is_bounded_where_one_product_has_most_samples(best_only):
    """1.4 million positives in each direction, of about 150 bytes each where all are held at once: 430 MB."""
    n = 1_200
    rng = np.random.default_rng(0)
    products = np.r_[np.zeros(n, np.int64), 1, 2]
    sides = [Labelled(Vectors.of(float32(rng.normal(size=(n + 2, 4)))), products) for _ in range(2)]
    compute = ComputeSettings(memory_bytes=8 << 20, threads=2)
    rank_pair(sides[0].part(n, n + 2), sides[1].part(n, n + 2), compute)  # compiles
    tracemalloc.start()
    try:
        if best_only:
            rank_pair(*sides, compute, best_only=True)
        else:
            reduce_pair(
                score_queries, *sides, compute, drawn=tuple(support_bits(products, Draws(seed=0)) for _ in sides)
            )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * compute.memory + 4096 * 2 * (n + 2) + (16 << 20)
