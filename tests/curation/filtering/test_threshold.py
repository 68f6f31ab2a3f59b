import math

import numpy as np
import pytest

from rope.curation.filtering.threshold import BINS, choose_cut, choose_cuts, join_sketches, make_sketch, n_kept
from rope.errors import UsageError


def test_a_sketch_keeps_what_a_cut_keeps():
    rng = np.random.default_rng(0)
    similarity, stratum = rng.uniform(-1, 1, 5000).round(4), rng.choice(["page/a", "live/b"], 5000)
    sketch = make_sketch(similarity, stratum)
    for cut in (-1.0, -0.101, 0.0, 0.25, 0.3, 0.999, 1.0):
        expected = [((similarity >= cut) & (stratum == name)).sum() for name in ("live/b", "page/a")]
        assert n_kept(sketch, cut).tolist() == expected


def test_sketches_of_shards_add_up_in_any_order():
    rng = np.random.default_rng(1)
    similarity, stratum = rng.uniform(-1, 1, 900), rng.choice(["a", "b", "c"], 900)
    parts = [make_sketch(similarity[i::7], stratum[i::7]) for i in range(7)]
    whole = make_sketch(similarity, stratum)
    assert join_sketches(parts[::-1]).strata == whole.strata
    assert np.array_equal(join_sketches(parts[::-1]).counts, whole.counts)
    assert join_sketches([]).counts.shape == (0, BINS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make_sketch([0.1, math.nan], ["a", "a"]),
            "1 similarities are not numbers from -1 to 1, first nan in r",
        ),
        (lambda: make_sketch([1.1], ["a"]), "first 1.1 in row 0"),
        (lambda: make_sketch([0.1], []), "1 similarities and 0 strata"),
        (lambda: n_kept(make_sketch([0.1], ["a"]), 0.2505), "cut 0.2505: a sketch knows only multiples of 0.001"),
        (lambda: choose_cut([0.1], [True], precision=1.0), "precision is 1.0; expected above 0 and below 1"),
        (lambda: choose_cut([0.1], [True, False], precision=0.9), "1 similarities, 2 labels"),
        (lambda: choose_cut([0.1], [True], precision=0.9, weight=[0]), "a weight is not finite or not above 0"),
        (lambda: choose_cut([0.1], [True], precision=0.9, step=0.0015), "step is 0.0015; expected a multiple"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    ("n", "n_misses", "cut"),
    [
        (58, 0, None),  # 0.95 ** 58 is above 0.05
        (59, 0, 0.3),  # and 0.95 ** 59 is below
        (92, 1, None),
        (93, 1, 0.3),  # Clopper and Pearson's bound for 92 of 93 is 0.9499, for 93 of 94 above
    ],
)
def test_the_test_of_one_cut_is_that_of_clopper_and_pearson(n, n_misses, cut):
    found = choose_cut([0.3] * n, [i >= n_misses for i in range(n)], precision=0.95)
    assert found.cut == cut
    assert found.n_labels == n
    assert found.observed == pytest.approx((n - n_misses) / n)


def test_the_first_cut_that_fails_ends_the_search():
    """Matches above 0.4 and below 0.3, none between: a cut of 0.1 would pass if it were tested alone."""
    similarity = np.concatenate([np.full(300, 0.45), np.full(60, 0.35), np.full(9000, 0.15)])
    match = np.concatenate([np.ones(300), np.zeros(60), np.ones(9000)]).astype(bool)
    found = choose_cut(similarity, match, precision=0.95)
    assert found.cut == 0.36
    assert "the 360 labels at 0.35 or more, of which 83.3% are matches" in found.statement


@pytest.mark.parametrize(
    ("n", "share", "statement"),
    [
        (20, 1.0, "20 labels are too few: 59 are needed even if all are matches"),
        (0, 1.0, "0 labels are too few"),
        (400, 0.5, "no cut: already the 200 labels"),
        (400, 1.0, "every labelled row is kept"),
    ],
)
def test_thin_or_poor_labels_are_said_to_be_so(n, share, statement):
    match = np.arange(n) % 100 < share * 100
    assert choose_cut(np.linspace(0.2, 0.3, n), match, precision=0.95).statement.startswith(statement)


def test_each_stratum_has_a_cut_of_its_own():
    similarity = np.tile(np.linspace(0.1, 0.5, 1000), 2)
    match = similarity > np.repeat([0.2, 0.3], 1000)
    cuts = choose_cuts(similarity, match, ["page"] * 1000 + ["live"] * 1000, precision=0.9, weight=np.ones(2000))
    assert cuts["page"].cut < 0.2 < cuts["live"].cut < 0.3


def test_weights_that_are_equal_change_nothing_and_others_cost_labels():
    rng = np.random.default_rng(4)
    similarity = rng.uniform(0.1, 0.5, 4000)
    match = rng.random(4000) < precision_at(similarity)
    plain, same, weighted = (
        choose_cut(similarity, match, precision=0.9, weight=weight).cut
        for weight in (None, np.full(4000, 7.0), rng.choice([1.0, 3.0], 4000))
    )
    assert plain == same < weighted < plain + 0.1


def precision_at(similarity):
    """The probability of a match at a similarity."""
    return 1 / (1 + np.exp(-(similarity - 0.2) * 30))


def crowded(similarity):
    """Labels are drawn four times as often below 0.3 as above, so those weigh a quarter."""
    return np.where(similarity < 0.3, 0.25, 1.0)


def true_precision(cut):
    return precision_at(np.linspace(cut, 0.5, 20_001)).mean()


def labels(rng, *, is_weighted):
    """Similarities that are uniform from 0.1 to 0.5 in the pool, and the weights of their labels."""
    if not is_weighted:
        return rng.uniform(0.1, 0.5, 1500), None
    similarity = rng.choice([0.1, 0.3], 1500, p=[0.8, 0.2]) + rng.uniform(0, 0.2, 1500)
    return similarity, crowded(similarity)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_precision_of_the_chosen_cut_is_seldom_too_low(is_weighted):
    n_wrong, n_found = 0, 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        similarity, weight = labels(rng, is_weighted=is_weighted)
        found = choose_cut(similarity, rng.random(1500) < precision_at(similarity), precision=0.9, weight=weight)
        if found.cut is not None:
            n_found += 1
            n_wrong += true_precision(found.cut) < 0.9
    assert n_found > 900
    assert n_wrong <= 50


@pytest.mark.parametrize("is_weighted", [False, True])
def test_where_every_cut_is_just_too_low_one_is_chosen_in_5_of_100_times_at_most(is_weighted):
    n_wrong = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        similarity, weight = labels(rng, is_weighted=is_weighted)
        n_wrong += choose_cut(similarity, rng.random(1500) < 0.899, precision=0.9, weight=weight).cut is not None
    assert 10 <= n_wrong <= 50  # far fewer would mean that labels are wasted


def test_the_cut_of_a_stratum_is_that_of_its_rows_with_every_option():
    """Strata of other sizes, similarities, labels and weights, in a mixed order; each option has an effect."""
    rng = np.random.default_rng(0)
    sizes = {"live": 400, "page": 900, "video": 650}
    stratum = rng.permutation(np.repeat(list(sizes), list(sizes.values())))
    lowest = np.select([stratum == "live", stratum == "page"], [0.1, 0.25], 0.4)
    similarity = rng.uniform(lowest - 0.1, 0.9)
    is_match = rng.random(len(stratum)) < np.where(similarity > lowest + 0.05, 0.999, 0.2)
    weight = rng.choice([1.0, 2.0, 5.0], len(stratum))
    options = {"precision": 0.75, "confidence": 0.8, "step": 0.007}
    found = choose_cuts(similarity, is_match, list(stratum), weight=weight, **options)
    assert list(found) == ["live", "page", "video"]
    for name, cut in found.items():
        rows = stratum == name
        assert cut == choose_cut(similarity[rows], is_match[rows], weight=weight[rows], **options)
    assert len({cut.cut for cut in found.values()}) == 3
    for other in ({"weight": None}, {"weight": weight, "confidence": 0.95}, {"weight": weight, "step": 0.05}):
        assert choose_cuts(similarity, is_match, list(stratum), **(options | other)) != found


@pytest.mark.parametrize(("computed", "meant"), [(0.3 - 0.2 - 0.1, 0.0), (0.1 + 0.2, 0.3), (3 * 0.001 - 0.003, 0.0)])
def test_a_cut_that_was_computed_is_the_one_that_was_meant(computed, meant):
    sketch = make_sketch([-0.001, 0.0, 0.299, 0.3, 0.301], ["a"] * 5)
    assert n_kept(sketch, computed).tolist() == n_kept(sketch, meant).tolist()


def test_a_cut_may_be_as_low_as_similarities_go():
    cut = choose_cut(np.full(100, -1.0), np.ones(100, bool), precision=0.9)
    assert (cut.cut, cut.n_labels) == (-1.0, 100)


def test_counts_of_joined_sketches_stay_whole_numbers():
    assert join_sketches([make_sketch([0.5], ["a"]), make_sketch([0.5], ["b"])]).counts.dtype == np.int64
