import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.sample import (
    PURPOSE,
    SampleSize,
    Stratum,
    allocate,
    candidates,
    count_strata,
    draw_sample,
    join_units,
    make_units,
    row_weights,
    trim,
)
from rope.errors import DatasetError, UsageError

DOMAINS = np.array(["page", "video", "live"])
PAGE = ("page",)


def table(n_rows, n_keys, *, n_categories=8):
    """Rows with keys, long-tailed categories that follow from the key, and random domains."""
    rng = np.random.default_rng(5)
    key = rng.integers(n_keys, size=n_rows)
    category = np.minimum(rng.zipf(1.5, n_keys), n_categories)[key]
    domain = DOMAINS[rng.integers(3, size=n_rows)]
    return pa.table({"key": key.astype(str), "category": category.astype(str), "domain": domain})


def units_of(rows, seed=0):
    return make_units(rows["key"], rows["category"], rows["domain"], seed=seed)


def sizes(*pool):
    return {Stratum(chr(97 + i), PAGE): n for i, n in enumerate(pool)}


ROWS = table(6000, 2500)
UNITS = units_of(ROWS)


def test_a_key_has_one_stratum_its_smallest_category_and_all_its_domains():
    units = make_units(pa.array(["k", "k"]), pa.array(["b", "a"]), pa.array(["live", "page"]), seed=0)
    assert count_strata(units) == Counter({Stratum("a", ("page", "live")): 1})


@pytest.mark.parametrize("size", [SampleSize(rate=0.03), SampleSize(count=400, floor=3)])
def test_each_stratum_gives_the_keys_with_the_smallest_hashes(size):
    drawn = draw_sample(UNITS, size)
    allocation = allocate(count_strata(UNITS), size)
    everything = draw_sample(UNITS, SampleSize(rate=1.0))
    for i, stratum in enumerate(drawn.strata):
        smallest = np.sort(everything.units.hashes[everything.stratum == i])[: allocation[stratum]]
        assert np.array_equal(np.sort(drawn.units.hashes[drawn.stratum == i]), smallest)


def test_all_rows_of_a_key_are_in_or_out_together_and_weigh_the_same():
    weight = row_weights(draw_sample(UNITS, SampleSize(rate=0.1)), keyed_hash(ROWS["key"], seed=0, purpose=PURPOSE))
    per_key = ROWS.append_column("weight", [weight]).group_by("key").aggregate([("weight", "count_distinct")])
    assert set(per_key["weight_count_distinct"].to_pylist()) == {1}
    assert 0 < (weight > 0).mean() < 0.3


def test_the_weights_of_each_stratum_add_up_to_its_keys():
    drawn = draw_sample(UNITS, SampleSize(rate=0.05))
    assert np.bincount(drawn.stratum, drawn.weight) == pytest.approx(drawn.pool)


@pytest.mark.parametrize("n_shards", [1, 2, 7])
def test_the_shards_and_the_order_of_rows_change_nothing(n_shards):
    shuffled = ROWS.take(np.random.default_rng(n_shards).permutation(len(ROWS)))
    shards = [shuffled.take(np.arange(i, len(ROWS), n_shards)) for i in range(n_shards)]
    joined = join_units([units_of(shard) for shard in reversed(shards)])
    expected, drawn = (draw_sample(units, SampleSize(rate=0.02)) for units in (UNITS, joined))
    assert np.array_equal(drawn.units.hashes, expected.units.hashes)
    assert np.array_equal(drawn.units.rows, expected.units.rows)
    assert np.array_equal(drawn.weight, expected.weight)


@pytest.mark.parametrize("size", [SampleSize(rate=0.2), SampleSize(count=300)])
def test_divisions_by_hash_that_never_meet_give_the_same_sample(size):
    first = units_of(ROWS.filter(pa.array((keyed_hash(ROWS["key"], seed=0, purpose=PURPOSE) >> np.uint64(63)) == 0)))
    second = units_of(ROWS.filter(pa.array((keyed_hash(ROWS["key"], seed=0, purpose=PURPOSE) >> np.uint64(63)) == 1)))
    counts = count_strata(first) + count_strata(second)
    allocation = allocate(counts, size)
    few = [candidates(division, counts, allocation) for division in (first, second)]
    drawn = trim(join_units(few), counts, allocation)
    assert np.array_equal(drawn.units.hashes, draw_sample(UNITS, size).units.hashes)


def test_candidates_are_few():
    counts = {Stratum("a", PAGE): 200_000}
    units = make_units(
        pa.array(np.arange(200_000).astype(str)),
        pa.nulls(200_000, pa.string()).fill_null("a"),
        pa.array(["page"]).take(pa.array(np.zeros(200_000, int))),
        seed=1,
    )
    assert len(candidates(units, counts, {Stratum("a", PAGE): 2000}).hashes) == pytest.approx(2278, abs=200)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.integers(1, 3),
    st.floats(0.001, 1.0),
    st.floats(0.001, 1.0),
)
def test_a_larger_rate_takes_no_key_away(pool, floor, a, b):
    small, large = (allocate(sizes(*pool), SampleSize(rate=rate, floor=floor)) for rate in sorted((a, b)))
    assert all(min(floor, n) <= small[s] <= large[s] <= n for s, n in sizes(*pool).items())


@given(st.lists(st.integers(1, 15), min_size=1, max_size=4), st.integers(1, 3))
def test_counts_are_exact_and_each_next_one_adds_one_key(pool, floor):
    least = sum(min(n, floor) for n in pool)
    steps = [allocate(sizes(*pool), SampleSize(count=k, floor=floor)) for k in range(least, sum(pool) + 1)]
    assert [sum(step.values()) for step in steps] == list(range(least, sum(pool) + 1))
    assert all(before[s] <= after[s] for before, after in itertools.pairwise(steps) for s in before)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (SampleSize(rate=0.01, floor=1), [10, 1, 1, 1]),
        (SampleSize(rate=0.01, floor=2), [10, 2, 2, 1]),
        (SampleSize(rate=0.02, floor=1), [20, 3, 1, 1]),
        (SampleSize(count=60, floor=2), [50, 7, 2, 1]),
        (SampleSize(rate=1.0), [1000, 149, 49, 1]),
    ],
)
def test_allocations_by_hand(size, expected):
    assert list(allocate(sizes(1000, 149, 49, 1), size).values()) == expected


def test_every_key_is_drawn_as_often_as_its_weight_says():
    keys, category = pa.array([f"k{i}" for i in range(60)]), pa.array(["a"] * 50 + ["b"] * 10)
    domain = pa.array(["page"] * 60)
    times = np.zeros(60)
    for seed in range(1000):
        drawn = draw_sample(make_units(keys, category, domain, seed=seed), SampleSize(rate=0.2, floor=3))
        times += row_weights(drawn, keyed_hash(keys, seed=seed, purpose=PURPOSE)) > 0
    probability = np.repeat([10 / 50, 3 / 10], [50, 10])
    z = (times - 1000 * probability) / np.sqrt(1000 * probability * (1 - probability))
    assert np.abs(z).max() < 4
    assert np.mean(z**2) == pytest.approx(1, abs=0.5)


def test_an_empty_pool_gives_an_empty_sample():
    units = make_units(pa.array([], pa.string()), pa.array([], pa.string()), pa.array([], pa.string()), seed=0)
    drawn = draw_sample(join_units([units, units]), SampleSize(rate=0.5))
    assert (len(drawn.units.hashes), drawn.strata, len(drawn.weight)) == (0, (), 0)
    assert row_weights(drawn, np.array([3], np.uint64)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleSize(), "expected one of them"),
        (lambda: SampleSize(rate=0.1, count=3), "expected one of them"),
        (lambda: SampleSize(rate=1.5), "rate is 1.5; expected a finite number, above 0 and at most 1"),
        (lambda: SampleSize(count=0), "count is 0; expected a whole number, at least 1"),
        (lambda: SampleSize(rate=0.1, floor=0), "floor is 0; expected a whole number, at least 1"),
        (
            lambda: allocate(sizes(5, 5), SampleSize(count=3)),
            "10 keys in 2 strata, whose floors and keys .* need 4",
        ),
        (lambda: allocate(sizes(5, 5), SampleSize(count=11)), "count is 11, but the pool has 10 keys"),
        (lambda: make_units(pa.array(["a"]), pa.array(["c"]), pa.array(["pages"]), seed=0), "unknown domain 'pages'"),
        (lambda: make_units(pa.array(["a"]), pa.array(["c"]), pa.array([], pa.string()), seed=0), "expected as many"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_too_few_candidates_are_an_error_with_the_numbers():
    stratum = Stratum("1", PAGE)
    units = make_units(pa.array(["x"]), pa.array(["1"]), pa.array(["page"]), seed=0)
    with pytest.raises(DatasetError, match="stratum '1' of page: 1 candidates for 2 keys"):
        trim(units, {stratum: 5}, {stratum: 2})
