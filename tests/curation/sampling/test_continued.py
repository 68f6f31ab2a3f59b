"""A sample of tomorrow's pool holds today's, has the size that is asked for, and estimates totals without bias."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from rope.curation.sampling.continued import EARLIER_KEY, ContinuedDraw, EarlierSample
from rope.curation.sampling.divided import divided_draws, divided_weights
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.sample import PURPOSE, SampleSize, key_rows
from rope.errors import UsageError


def rows_of(keys, seed=0):
    """Key `a7` is of the category a, on a page."""
    categories = pa.array([key[0] for key in keys], pa.string())
    pages = pa.array(["page"] * len(keys), pa.string())
    return key_rows(pa.array(keys, pa.string()), categories, pages, seed=seed)


def first(keys, size, seed=0):
    """Key -> weight in a sample of a pool that came before, 0 where it was not drawn."""
    (weight,) = divided_weights([rows_of(keys, seed)], len(keys), size)
    return dict(zip(keys, weight.tolist(), strict=True))


def then(keys, size, earlier, seed=0, division_rows=10**6, parts=1):
    """Key -> weight of those that are drawn, and those of them that were drawn before."""
    known = np.zeros(len(earlier), EARLIER_KEY)
    known["hash"] = keyed_hash(pa.array(list(earlier), pa.string()), seed=seed, purpose=PURPOSE)
    known["weight"] = list(earlier.values())
    known["run"] = np.where(known["weight"] > 0, 3, -1)
    draw = ContinuedDraw(EarlierSample([known[known["weight"] > 0], known], size))
    split = [keys[i::parts] for i in range(parts)]
    told = divided_draws([rows_of(part, seed) for part in split], len(keys), draw, division_rows)
    found = {key: one for part, of_it in zip(split, told, strict=True) for key, one in zip(part, of_it, strict=True)}
    weight = {key: float(one["weight"]) for key, one in found.items() if one["weight"] > 0}
    kept = {key for key in weight if found[key]["run"] == 3}
    assert (draw.n_kept, draw.n_drawn) == (len(kept), len(weight))
    return weight, kept


def drawn(earlier):
    return {key for key, weight in earlier.items() if weight > 0}


def keys_of(category, start, stop):
    return [f"{category}{i}" for i in range(start, stop)]


RATE = SampleSize(rate=0.2)


def test_what_was_drawn_stays_and_each_stratum_has_what_a_sample_of_its_own_would_have():
    old = keys_of("a", 0, 100) + keys_of("b", 0, 12)
    now = old + keys_of("a", 100, 150) + keys_of("b", 12, 14) + keys_of("c", 0, 30)
    earlier = first(old, RATE)
    weight, kept = then(now, RATE, earlier)
    assert kept == drawn(earlier)
    assert len(kept) == 22
    assert Counter(key[0] for key in weight) == {"a": 30, "b": 3, "c": 6}
    assert {key for key in weight if key not in kept} <= set(now) - set(old)
    assert {weight[key] for key in weight if key[0] in "ac"} == {5.0}


def test_a_second_day_without_a_change_gives_the_same_sample_and_weights():
    old = keys_of("a", 0, 101) + keys_of("b", 0, 7)
    earlier = first(old, RATE)
    assert then(old, RATE, earlier) == ({key: earlier[key] for key in drawn(earlier)}, drawn(earlier))


def test_the_weights_of_a_stratum_add_up_to_its_keys_whatever_has_left_or_came():
    old = keys_of("a", 0, 100) + keys_of("b", 0, 40) + keys_of("d", 0, 20)
    for seed in range(20):
        chosen = np.random.default_rng(seed)
        now = [key for key in old if chosen.random() < 0.7] + keys_of("a", 100, 101) + keys_of("c", 0, 3)
        weight, _ = then(now, RATE, first(old, RATE, seed), seed)
        for category, n in Counter(key[0] for key in now).items():
            assert sum(one for key, one in weight.items() if key[0] == category) == pytest.approx(n)


def test_places_of_keys_that_left_are_filled_by_new_ones_and_then_by_old_ones():
    old = keys_of("a", 0, 100)
    earlier = first(old, RATE)
    now = [key for key in old if key not in drawn(earlier)] + keys_of("a", 100, 103)
    weight, kept = then(now, RATE, earlier)
    assert (kept, len(weight)) == (set(), 17)
    assert set(keys_of("a", 100, 103)) < weight.keys()


def test_more_stays_than_a_smaller_rate_asks_for():
    old = keys_of("a", 0, 100)
    weight, kept = then(old, SampleSize(rate=0.1), first(old, RATE))
    assert (len(weight), len(kept)) == (20, 20)


def test_a_count_is_exact_or_refused():
    old = keys_of("a", 0, 100)
    now = old + keys_of("b", 0, 100)
    weight, kept = then(now, SampleSize(count=31), first(old, SampleSize(count=20)))
    assert (len(weight), len(kept)) == (31, 20)
    with pytest.raises(UsageError, match=r"count is 20, but .* floors and keys drawn before need 22"):
        then(now, SampleSize(count=20), first(old, SampleSize(count=20)))


def test_divisions_and_the_order_of_keys_change_nothing():
    old = keys_of("a", 0, 300) + keys_of("b", 0, 90)
    now = old[::-1] + keys_of("c", 0, 80)
    earlier = first(old, RATE)
    found = then(now, RATE, earlier)
    assert found == then(now, RATE, earlier, division_rows=50)
    assert found == then(now[::-1], RATE, dict(reversed(earlier.items())), division_rows=90, parts=3)


def value_of(key):
    return int(key[1:]) % 7 + (10 if int(key[1:]) >= 60 else 0)


def test_totals_are_estimated_without_bias_over_days_that_differ():
    """New keys have greater values; half of the old ones leave, and the rate grows."""
    days = [keys_of("a", 0, 60), keys_of("a", 30, 90), keys_of("a", 30, 140)]
    truth = sum(map(value_of, days[-1]))
    found = []
    for seed in range(200):
        earlier = first(days[0], RATE, seed)
        for day, keys in enumerate(days[1:], 1):
            weight, _ = then(keys, SampleSize(rate=0.2 + 0.2 * day), earlier, seed)
            earlier = {key: weight.get(key, 0.0) for key in keys}
        found.append(sum(one * value_of(key) for key, one in weight.items()))
    error = np.std(found) / np.sqrt(len(found))
    assert 0 < error < 0.01 * truth
    assert abs(np.mean(found) - truth) < 3 * error
