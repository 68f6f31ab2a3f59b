import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.curation.splitting.split import Products, split_products
from rope.errors import DatasetError, UsageError


def products(*rows):
    """Products (category, whether complete, group), with ids from 0."""
    category, complete, group = zip(*rows, strict=True)
    return Products([str(i) for i in range(len(rows))], list(category), np.array(complete), np.array(group))


def reachable(given, frozen=()):
    """The sizes of all legal validation sets, by trying every choice of groups."""
    members = {}
    for i, group in enumerate(given.group.tolist()):
        members.setdefault(group, []).append(i)
    base = [g for g, of in members.items() if set(frozen) & {given.ids[i] for i in of}]
    free = [g for g, of in members.items() if g not in base and all(given.complete[i] for i in of)]
    chosen_sets = itertools.chain.from_iterable(itertools.combinations(free, k) for k in range(len(free) + 1))
    return {
        sum(len(members[g]) for g in [*base, *chosen])
        for chosen in chosen_sets
        if not emptied(given, members, base, chosen)
    }


def emptied(given, members, base, chosen):
    """Whether a choice takes the last product of a category, by the majority of groups."""
    category = {g: majority([given.categories[i] for i in of]) for g, of in members.items()}
    kept = {category[g] for g in members if g not in base and g not in chosen}
    return bool({category[g] for g in chosen} - kept)


def majority(names):
    return min(names, key=lambda name: (-names.count(name), name))


ROWS = st.tuples(st.sampled_from("ab"), st.sampled_from([True, True, True, False]), st.integers(0, 6))


@settings(max_examples=200)
@given(st.lists(ROWS, min_size=1, max_size=10), st.integers(1, 10), st.data())
def test_a_split_is_found_where_there_is_one(rows, n_validation, data):
    given = products(*rows)
    frozen = [i for i in given.ids if data.draw(st.integers(0, 9)) == 0]
    counts = reachable(given, frozen)
    if n_validation in counts and not stuck(given, frozen):
        split = split_products(given, n_validation, seed=0, frozen=frozen)
        assert split.validation.sum() == n_validation == split.taken.sum()
        assert not set(given.group[split.validation]) & set(given.group[~split.validation])
        assert given.complete[split.validation].all()
        assert set(frozen) <= {i for i, chosen in zip(given.ids, split.validation, strict=True) if chosen}
    else:
        with pytest.raises((DatasetError, UsageError)):
            split_products(given, n_validation, seed=0, frozen=frozen)


def stuck(given, frozen):
    """Whether a frozen product has somebody in its group who lacks a domain."""
    groups = {given.group[int(i)] for i in frozen}
    return any(g in groups and not c for g, c in zip(given.group, given.complete, strict=True))


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=2, max_size=8), st.integers(1, 8))
def test_no_other_choice_is_nearer_to_the_shares(rows, n_validation):
    given = products(*[(category, True, group) for category, _, group in rows])
    if n_validation not in reachable(given):
        return
    split = split_products(given, n_validation, seed=0)
    cost = np.sum((split.taken - split.target) ** 2)
    assert cost == pytest.approx(min(costs(given, n_validation, split)))


def costs(given, n_validation, split):
    members = {g: np.flatnonzero(given.group == g) for g in np.unique(given.group)}
    category = {g: split.categories.index(majority([given.categories[i] for i in of])) for g, of in members.items()}
    for k in range(len(members) + 1):
        for chosen in itertools.combinations(members, k):
            taken = np.zeros(len(split.categories))
            for g in chosen:
                taken[category[g]] += len(members[g])
            if taken.sum() == n_validation and (taken[split.products > 0] < split.products[split.products > 0]).all():
                yield np.sum((taken - split.target) ** 2)


def test_without_groups_it_is_the_method_of_largest_remainders():
    n_products = np.array([47, 31, 13, 9])
    rows = [(name, True, 0) for name, n in zip("abcd", n_products, strict=True) for _ in range(n)]
    split = split_products(products(*[(c, ok, i) for i, (c, ok, _) in enumerate(rows)]), 10, seed=0)
    assert split.target.tolist() == pytest.approx([4.7, 3.1, 1.3, 0.9])
    assert split.taken.tolist() == [5, 3, 1, 1]


def test_another_seed_chooses_others():
    given = products(*[("a", True, i) for i in range(40)])
    chosen = [np.flatnonzero(split_products(given, 10, seed=seed).validation).tolist() for seed in (0, 1, 0)]
    assert chosen[0] == chosen[2] != chosen[1]


def large(n=189_958, n_categories=1396):
    """Zipf categories, 9 % of the products in groups of 2 to 8, 35 % complete."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_categories + 1)
    category = rng.choice(n_categories, n, p=share / share.sum())
    order, sizes = rng.permutation(n), []
    while sum(sizes) < 0.09 * n:
        sizes.append(int(rng.integers(2, 9)))
    group = np.arange(n)
    group[order[: sum(sizes)]] = n + np.repeat(np.arange(len(sizes)), sizes)
    names = np.array([f"category {c}" for c in category])
    return np.arange(n).astype(str), names, rng.random(n) < 0.35, group


def test_at_full_size_the_count_is_exact_no_group_straddles_and_the_order_changes_nothing():
    ids, categories, complete, group = large()
    chosen = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(ids))
        renamed = np.random.default_rng(seed + 9).permutation(int(group.max()) + 1)[group]
        given = Products(ids[order].tolist(), categories[order].tolist(), complete[order], renamed[order])
        split = split_products(given, 2527, seed=1)
        chosen.append(set(ids[order][split.validation]))
    assert (split.validation.sum(), (~split.validation).sum()) == (2527, 187_431)
    assert not set(given.group[split.validation]) & set(given.group[~split.validation])
    assert given.complete[split.validation].all()
    assert (split.taken < split.products).all()
    assert np.abs(split.taken - split.target).max() < 2
    assert chosen[0] == chosen[1] == chosen[2]


def test_a_frozen_set_stays_and_the_rest_is_filled_up():
    first = products(*[("ab"[i % 2], True, i) for i in range(60)])
    earlier = np.flatnonzero(split_products(first, 8, seed=0).validation)
    frozen = [first.ids[i] for i in earlier]
    grown = products(*[("ab"[i % 2], True, i) for i in range(90)], ("a", True, int(earlier[0])))
    split = split_products(grown, 13, seed=5, frozen=frozen)
    assert split.validation.sum() == 13
    assert split.validation[earlier].all()
    assert split.validation[90]  # it is new, and of the group of a frozen one


def test_a_frozen_set_that_is_as_large_as_asked_for_is_the_split():
    given = products(*[("a", True, i) for i in range(4)])
    assert split_products(given, 2, seed=0, frozen=["1", "3"]).validation.tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("rows", "n", "frozen", "message"),
    [
        (
            [("a", True, 1)] * 3 + [("a", True, 2)] * 3,
            2,
            [],
            "at most 3 can be chosen, 0 of them.* reached are 0 and 3",
        ),
        ([("a", True, 1), ("b", True, 2)], 1, [], "at most 0 can be chosen"),
        ([("a", True, 1), ("a", False, 2)], 2, [], "at most 1 can be chosen.* reached are 1$"),
        ([("a", True, 1), ("a", True, 2)], 1, ["7"], "1 of 1 frozen products are not among.*'7'"),
        ([("a", True, 1), ("a", False, 1), ("a", True, 2)], 1, ["0"], "1 of 1 frozen products cannot stay.*'0'"),
    ],
)
def test_what_cannot_be_done_is_an_error_with_the_numbers(rows, n, frozen, message):
    with pytest.raises(DatasetError, match=message):
        split_products(products(*rows), n, seed=0, frozen=frozen)


def test_what_cannot_be_meant_is_refused():
    two = products(("a", True, 1), ("a", True, 2))
    with pytest.raises(UsageError, match="n_validation is 0; expected at least 1"):
        split_products(two, 0, seed=0)
    with pytest.raises(UsageError, match="n_validation is 1, but the groups of the frozen products have 2 products"):
        split_products(two, 1, seed=0, frozen=["0", "1"])
    with pytest.raises(DatasetError, match="product 'x' appears twice"):
        Products(["x", "x"], ["a", "a"], np.array([True, True]), np.array([1, 2]))
    with pytest.raises(DatasetError, match=r"have \[1, 2, 1, 1\] values"):
        Products(["x"], ["a", "a"], np.array([True]), np.array([1]))
