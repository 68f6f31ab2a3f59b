import numpy as np
import pyarrow as pa
import pytest

from rope.curation.sampling.estimate import estimate_share, estimate_total
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.sample import PURPOSE, Drawn, SampleSize, Stratum, Units, draw_sample, make_units
from rope.errors import UsageError


def drawn_of(taken, pool):
    """A sample of so many keys of each stratum of so many."""
    n = sum(taken)
    units = Units(np.arange(n, dtype=np.uint64), *(np.zeros(n, np.int64) for _ in range(3)), ("",))
    strata = tuple(Stratum(f"{i:04d}", ("page",)) for i in range(len(pool)))
    return Drawn(units, np.repeat(np.arange(len(taken)), taken), strata, np.array(pool))


def test_a_total_by_hand():
    drawn = drawn_of([2, 2], [10, 4])
    total = estimate_total(drawn, [1, 3, 5, 5])
    assert total.value == 5 * (1 + 3) + 2 * (5 + 5)
    assert total.standard_error == pytest.approx(np.sqrt(100 * (1 - 0.2) * 2 / 2))
    assert total.degrees == 1.0
    assert (total.low + total.high) / 2 == pytest.approx(total.value)


def test_what_was_drawn_whole_is_known():
    drawn = drawn_of([3, 1], [3, 1])
    assert estimate_total(drawn, [1, 2, 9, 4]).standard_error == 0
    share = estimate_share(drawn, [1, 0, 0, 0], [1, 1, 1, 1])
    assert (share.low, share.value, share.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("taken", "values", "variance"),
    [
        ([1, 1], [2.0, 4.0], 100 * 0.9 * 2 + 400 * 0.95 * 2),  # two lonely keys share the variance between them
        ([1, 2], [2.0, 4.0, 4.0], 100 * 0.9 * np.var([2, 4, 4], ddof=1)),  # one takes that of all keys
        ([1, 0], [3.0], 100 * 0.9 * 9),
    ],
)
def test_strata_with_one_drawn_key_have_a_variance(taken, values, variance):
    pool = [10, 20][: len(taken)]
    assert estimate_total(drawn_of(taken, pool), values).standard_error == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize(("part", "expected"), [(0, (0, 0.278)), (1, (0.722, 1))])
def test_a_share_of_none_or_all_has_an_interval_that_reaches_inwards(part, expected):
    share = estimate_share(drawn_of([10], [1000]), [part] * 10, [1] * 10)
    assert (share.low, share.high) == pytest.approx(expected, abs=0.07)
    assert share.low < share.high


POOL = np.array([400, 150, 80, 40, 20, 10, 5, 3])
KEYS = pa.array([f"k{i}" for i in range(POOL.sum())])
CATEGORIES = pa.array(np.repeat(np.arange(len(POOL)), POOL).astype(str))
PAGES = pa.array(["page"] * len(KEYS))


def rows_and_matches(rng):
    """Of each key: rows, of which some are matches, more in some strata."""
    rows = 1 + rng.poisson(2, len(KEYS))
    chance = rng.beta(4, 2, len(KEYS)) * np.repeat(np.linspace(0.9, 0.4, len(POOL)), POOL)
    return rows, rng.binomial(rows, chance)


@pytest.mark.parametrize("floor", [1, 2])
def test_intervals_cover_the_pool_in_95_of_100_samples(floor):
    rows, matches = rows_and_matches(np.random.default_rng(3))
    hits, totals = np.zeros(2), []
    for seed in range(1000):
        drawn = draw_sample(make_units(KEYS, CATEGORIES, PAGES, seed=seed), SampleSize(rate=0.1, floor=floor))
        hashes = keyed_hash(KEYS, seed=seed, purpose=PURPOSE)
        at = np.argsort(hashes)[np.searchsorted(np.sort(hashes), drawn.units.hashes)]
        total = estimate_total(drawn, matches[at])
        share = estimate_share(drawn, matches[at], rows[at])
        hits += (total.low <= matches.sum() <= total.high, share.low <= matches.sum() / rows.sum() <= share.high)
        totals.append(total.value)
    assert np.mean(totals) == pytest.approx(matches.sum(), rel=0.01)
    assert (hits / 1000 >= 0.93).all()
    assert (hits / 1000 <= 0.98).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda drawn: estimate_total(drawn, [1.0]), r"shape \(1,\) for 2 drawn keys"),
        (lambda drawn: estimate_total(drawn, [1.0, np.nan]), "expected a finite one for each"),
        (lambda drawn: estimate_total(drawn, [1, 2], confidence=1), "confidence is 1;"),
        (lambda drawn: estimate_share(drawn, [2, 0], [1, 1]), "above its whole"),
        (lambda drawn: estimate_share(drawn, [0, 0], [0, 0]), "all wholes are 0"),
    ],
)
def test_numbers_that_fit_nothing_are_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call(drawn_of([2], [5]))
