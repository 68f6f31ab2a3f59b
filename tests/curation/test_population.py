"""Rows of a whole pool from the fates of a few keys, beside whole pools that a simulation makes."""

import numpy as np
import pytest

from rope.curation.population import Fates, Kinds, SampleAt, kept_rows
from rope.curation.sampling.sample import SampleSize, allocate_counts

N_KEYS, N_WORDS = 600, 30
BITS = 1 << np.arange(3)


def pool(seed):
    """Keys of very different sizes and goodness; a filter, a sample that lets all through, and another filter."""
    rng = np.random.default_rng(seed)
    rows = np.minimum(rng.zipf(1.7, N_KEYS), 30)
    owner = np.repeat(np.arange(N_KEYS), rows)
    bit = BITS[rng.integers(0, 3, len(owner))]
    first = rng.random(len(owner)) < (0.2 + 0.7 * rng.random(N_KEYS))[owner]
    second = first & (rng.random(len(owner)) < 0.9)
    kept = [np.bincount(owner, is_kept, N_KEYS).astype(np.int64) for is_kept in (first, first, second)]
    masks = [np.zeros(N_KEYS, np.int64) for _ in range(4)]
    for mask, is_there in zip(masks, (np.ones_like(first), first, first, second), strict=True):
        np.bitwise_or.at(mask, owner[is_there], bit[is_there])
    word = np.minimum(rng.zipf(1.5, N_KEYS), N_WORDS) - 1
    return Fates(word, masks[0], rows, np.stack(kept, axis=1), np.stack(masks[1:], axis=1))


def kinds_of(fates):
    kinds, count = np.unique(np.stack([fates.word, fates.domains, fates.rows]), axis=1, return_counts=True)
    return Kinds(*kinds, count)


def sampled(fates, size, seed):
    """What a run would keep: a sample of the keys that are left, key by key."""
    left = np.flatnonzero(fates.kept[:, 0])
    names, stratum = np.unique(fates.word[left] * 8 + fates.kept_domains[left, 0], return_inverse=True)
    taken = allocate_counts(np.bincount(stratum), size)
    rng, drawn = np.random.default_rng(seed), []
    for one in range(len(names)):
        drawn += rng.choice(left[stratum == one], taken[one], replace=False).tolist()
    return [fates.kept[:, 0].sum(), fates.kept[drawn, 1].sum(), fates.kept[drawn, 2].sum()]


SIZES = [SampleSize(rate=0.1, floor=2), SampleSize(count=150, floor=1), SampleSize(rate=0.02, floor=4)]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_intervals_hold_what_whole_pools_keep_in_95_of_100_with_floors_and_counts(size):
    hits = []
    for seed in range(100):
        fates = pool(seed)
        drawn = np.flatnonzero(np.random.default_rng(1000 + seed).random(N_KEYS) < 0.2)
        rng = np.random.default_rng(seed)
        draws = kept_rows(kinds_of(fates), fates.take(drawn), {1: SampleAt(size)}, n_draws=100, rng=rng)
        low, high = np.quantile(draws[1:], (0.025, 0.975), axis=0)
        hits.append((low <= sampled(fates, size, seed)) & (sampled(fates, size, seed) <= high))
    assert (np.mean(hits, axis=0) >= 0.88).all()  # of 100 at 95 %, fewer than 88 in one of 250 tries


def rows_alone(seed, shares, n=2000):
    """Every row is its own key, and each stage keeps a share of what reaches it."""
    alive = np.cumprod(np.random.default_rng(seed).random((n, len(shares))) < shares, axis=1)
    ones = np.ones(n, np.int64)
    return Fates(0 * ones, ones, ones, alive.astype(np.int64), alive.astype(np.int64))


@pytest.mark.parametrize("shares", [(0.5, 0.9), (0.99, 0.3), (0.995, 1.0)])
def test_shares_of_rows_are_held_in_95_of_100_also_where_few_rows_are_lost(shares):
    hits = []
    for seed in range(150):
        fates = rows_alone(seed, shares)
        rng = np.random.default_rng(seed)
        drawn = rng.choice(2000, 300, replace=False)
        draws = kept_rows(kinds_of(fates), fates.take(drawn), {}, n_draws=100, rng=rng)
        low, high = np.quantile(draws[1:], (0.025, 0.975), axis=0)
        truth = fates.kept.sum(axis=0)
        hits.append((np.minimum(low, draws[0]) <= truth) & (truth <= np.maximum(high, draws[0])))
    assert (np.mean(hits, axis=0) >= 0.9).all()


def test_what_was_drawn_whole_is_known():
    fates = rows_alone(0, (0.5, 0.5))
    draws = kept_rows(kinds_of(fates), fates, {}, n_draws=5, rng=np.random.default_rng(0))
    assert (draws == fates.kept.sum(axis=0)).all()


def test_floors_of_strata_that_no_drawn_key_is_of_are_counted():
    n = 200
    ones = np.ones(n, np.int64)
    fates = Fates(np.arange(n) // 2, ones, ones, np.ones((n, 2), np.int64), np.ones((n, 2), np.int64))
    drawn = fates.take(np.arange(10))
    size = SampleSize(rate=0.001, floor=2)
    rows = kept_rows(kinds_of(fates), drawn, {1: SampleAt(size)}, n_draws=100, rng=np.random.default_rng(0))[:, 1]
    assert rows[0] == pytest.approx(n, rel=0.05)  # 100 strata of two keys, all of which a floor of two takes


def test_a_larger_pool_has_more_of_everything_but_not_more_floors():
    n = 400
    ones = np.ones(n, np.int64)
    fates = Fates(np.arange(n) % 20, ones, ones, np.ones((n, 2), np.int64), np.ones((n, 2), np.int64))
    sample = {1: SampleAt(SampleSize(rate=0.01, floor=5))}
    here, far = (
        kept_rows(kinds_of(fates), fates, sample, factor=factor, n_draws=50, rng=np.random.default_rng(0))[0]
        for factor in (1, 1000)
    )
    assert here.tolist() == [n, 100]
    assert far[0] == 1000 * n  # as many rows as were asked for
    assert far == pytest.approx([400_000, 4000], rel=0.1)
