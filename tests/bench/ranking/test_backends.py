"""The same ranks bit for bit, whatever blocks are made of, in whatever order the samples come: on 80 sets of vectors.

The oracle is a double loop over cosines in integer arithmetic.
"""

import numpy as np
import pytest

from rope.bench.metrics import score_queries
from rope.bench.one_shot import Draws, support_bits
from rope.bench.ranking import counting
from rope.bench.ranking.backends import Bfloat16, Float32
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way, rank_pair, rank_within
from rope.bench.ranking.similarity import Vectors
from tests.bench.reference import float32, score_slowly

torch = pytest.importorskip("torch", reason="torch is not installed")

from rope.bench.ranking.torch_backend import OnDevice  # noqa: E402 (needs torch)

N, N_PRODUCTS = 26, 8


class Float32InNumpy(Float32):
    """Without compiled loops."""

    count = staticmethod(counting.count_above_both_numpy)
    find = staticmethod(counting.find_between_numpy)
    add_costs = staticmethod(counting.add_costs_numpy)

    count_down = staticmethod(counting.count_down_both_numpy)

    def transposed(self, block, columns):
        return counting.transposed_numpy(block[:, columns], -np.inf)


SETTINGS = {
    "numpy": lambda: ComputeSettings(arithmetics=[Float32InNumpy()]),
    "small blocks, three threads": lambda: ComputeSettings(memory_bytes=1, threads=3),
    "bfloat16": lambda: ComputeSettings(arithmetics=[Bfloat16(), Float32()]),
    "bfloat16 alone": lambda: ComputeSettings(arithmetics=[Bfloat16()], memory_bytes=1),
    "torch": lambda: ComputeSettings(arithmetics=[OnDevice("cpu")]),
    "torch bfloat16": lambda: ComputeSettings(
        arithmetics=[OnDevice("cpu", "bfloat16"), OnDevice("cpu")], memory_bytes=1
    ),
}
if torch.cuda.is_available():
    SETTINGS["cuda"] = lambda: ComputeSettings(arithmetics=[OnDevice("cuda")])
    SETTINGS["cuda bfloat16"] = lambda: ComputeSettings(arithmetics=[OnDevice("cuda", "bfloat16"), OnDevice("cuda")])

KINDS = {
    "clusters": lambda rng, centres: centres + 0.7 * rng.normal(size=centres.shape),
    "near-ties of 1e-7": lambda rng, centres: centres[0] + 1e-7 * rng.normal(size=centres.shape),
    "near-ties of 1e-9": lambda rng, centres: np.where(rng.random(centres.shape) < 1e-2, centres * (1 + 1e-6), centres),
    "near-ties of 1e-12": lambda rng, centres: np.c_[np.ones(len(centres)), 1e-6 * rng.normal(size=(len(centres), 3))],
    "codes": lambda rng, centres: np.sign(centres + rng.normal(size=centres.shape)),
    "constant": lambda rng, centres: np.ones_like(centres),
    "float16": lambda rng, centres: (centres + rng.normal(size=centres.shape)).astype(np.float16),
    "denormal": lambda rng, centres: 1e-41 * (centres + 0.7 * rng.normal(size=centres.shape)),
    "one cone": lambda rng, centres: 30 + centres + 0.7 * rng.normal(size=centres.shape),
    "huge dimension": lambda rng, centres: (
        np.tile(centres, 40) + rng.normal(size=(len(centres), 40 * centres.shape[1]))
    ),
}


def make_sides(kind: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectors and products of two domains."""
    rng = np.random.default_rng([seed, *kind.encode()])
    centres = rng.normal(size=(N_PRODUCTS, 24))
    sides = []
    for _ in range(2):
        products = np.sort(rng.integers(0, N_PRODUCTS, N))
        vectors = float32(KINDS[kind](rng, centres[products]))
        vectors[~vectors.any(axis=1)] = 1  # a denormal row may vanish
        sides.append((vectors, products))
    return sides


def labelled(vectors: np.ndarray, products: np.ndarray) -> Labelled:
    return Labelled(Vectors.of(vectors), products)


def everything(a: Labelled, b: Labelled, compute: ComputeSettings, best_only: bool = False) -> list[list]:
    """All that is ranked, and what survives in which draws, as lists."""
    drawn = None if best_only else tuple(support_bits(side.products, Draws(seed=1, trials=70)) for side in (a, b))
    ranks = [*rank_pair(a, b, compute, best_only=best_only, drawn=drawn)]
    if not best_only:
        ranks.append(rank_within(a, compute))
    parts = [(r.offsets, r.above, r.above_optimistic, r.win_chances, r.won) for r in ranks]
    return [[None if part is None else part.tolist() for part in one] for one in parts]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_the_same_whatever_computes_them(kind, seed):
    sides = make_sides(kind, seed)
    a, b = (labelled(*side) for side in sides)
    expected, expected_best = (everything(a, b, ComputeSettings(threads=1), best_only) for best_only in (False, True))
    for name, compute in SETTINGS.items():
        assert everything(a, b, compute()) == expected, name
        assert everything(a, b, compute(), best_only=True) == expected_best, name


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_those_of_exact_arithmetic(kind, seed):
    (a, a_products), (b, b_products) = make_sides(kind, seed)
    forward, _ = rank_pair(labelled(a, a_products), labelled(b, b_products), ComputeSettings())
    best, _ = rank_pair(labelled(a, a_products), labelled(b, b_products), ComputeSettings(), best_only=True)
    slow = [one for one in score_slowly(a, a_products, b, b_products) if one is not None]
    assert score_queries(forward).rank.tolist() == [one.rank for one in slow]
    assert score_queries(forward).rank_optimistic.tolist() == [one.rank_optimistic for one in slow]
    assert (1 + best.above).tolist() == [one.rank for one in slow]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_samples_changes_no_rank(kind, seed):
    """Each query's ranks, after the samples of both domains were shuffled within their products."""
    rng = np.random.default_rng(seed)
    sides = make_sides(kind, seed)
    orders = [np.lexsort((rng.random(N), products)) for _, products in sides]
    a, b = (labelled(*side) for side in sides)
    c, d = (labelled(vectors[order], products) for (vectors, products), order in zip(sides, orders, strict=True))
    before, after = rank_pair(a, b, ComputeSettings())[0], rank_pair(c, d, ComputeSettings())[0]
    for i, old in enumerate(orders[0]):
        of_old, of_new = (slice(r.offsets[j], r.offsets[j + 1]) for r, j in ((before, old), (after, i)))
        assert before.above[of_old].tolist() == after.above[of_new].tolist()


def test_a_block_too_coarse_for_bfloat16_is_made_again_in_float32():
    rng = np.random.default_rng(0)
    products = np.sort(rng.integers(0, 60, 400))
    cone = labelled(float32(60 + rng.normal(size=(60, 32))[products] + rng.normal(size=(400, 32))), products)
    coarse, fine = (
        rank_pair(cone, cone, ComputeSettings(arithmetics=chain), best_only=True)[0]
        for chain in ([Bfloat16(), Float32()], [Float32()])
    )
    assert coarse.n_rechecked == fine.n_rechecked
    assert coarse.above.tolist() == fine.above.tolist()


@pytest.mark.parametrize("name", ["bfloat16", "bfloat16 alone", "small blocks, three threads", "torch bfloat16"])
def test_a_product_of_more_samples_than_16_bits_count_is_ranked(name):
    """33,000 negatives of one product, all nearer than the positive; both ways, since one counts rows, one columns."""
    n = 33_000
    many = labelled(np.tile(np.float32([[1, 0]]), (n + 1, 1)), np.r_[np.full(n, 3), 4])
    many.vectors.raw[-1] = 0, 1
    few = labelled(np.float32([[1, 0.25]]), np.array([4]))
    assert rank_pair(few, many, SETTINGS[name](), best_only=True)[0].above.tolist() == [n]
    assert rank_pair(many, few, SETTINGS[name](), best_only=True)[1].above.tolist() == [n]


@pytest.mark.parametrize("arithmetic", [Float32InNumpy, Float32, lambda: OnDevice("cpu")])
def test_more_products_than_64_bits_hold_costs_of_leave_no_chance(arithmetic):
    """220,000 products, each nearer than the positive: 2^63 / MAX_COST is 209,715."""
    n = 220_000
    gallery = labelled(np.tile(np.float32([[1, 0]]), (n + 1, 1)), np.arange(n + 1))
    gallery.vectors.raw[-1] = 0, 1
    query, drawn = labelled(np.float32([[1, 0.25]]), np.array([n])), np.zeros((n + 1, 0), np.uint64)
    ranks = rank_one_way(query, gallery, ComputeSettings(arithmetics=[arithmetic()]), drawn=drawn)
    assert (ranks.above.tolist(), ranks.win_chances.tolist()) == ([n], [0.0])
