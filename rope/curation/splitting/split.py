"""Choose exactly N validation products: stratified by category, whole leakage groups, all three domains.

Two dynamic programs, and no repair afterwards. In each category the sums that whole groups can reach are found; over
the categories the sums are chosen that add up to N and are nearest to the shares of the categories, in squares. Where
every group has one product, that is the method of largest remainders. If any choice of groups gives N, one is found.

What is chosen follows from ids, categories, domains, groups and the seed, not from the order of the rows.
"""

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.errors import DatasetError, UsageError

__all__ = ["Products", "Split", "majority", "split_products"]


_PURPOSE: Final = "split"


@dataclass(frozen=True, slots=True)
class Products:
    """What is to be split: n products in any order.

    Attributes:
        ids: distinct strings [n].
        categories: strings [n]; `""` for none, which counts as a category.
        complete: bool [n]; whether a product has samples of all three domains, and whatever else validation asks for.
        group: int64 [n]; products with one number end on one side, see `rope.curation.splitting.leakage_groups`.

    Raises:
        DatasetError: the columns differ in length, or an id appears twice.
    """

    ids: Sequence[str]
    categories: Sequence[str]
    complete: BoolArray
    group: IntArray

    def __post_init__(self) -> None:
        lengths = [len(self.ids), len(self.categories), len(self.complete), len(self.group)]
        if len(set(lengths)) > 1:
            raise DatasetError(f"ids, categories, complete and group have {lengths} values; expected as many of each")
        if len(set(self.ids)) < len(self.ids):
            ordered = sorted(self.ids)
            twice = next(a for a, b in itertools.pairwise(ordered) if a == b)
            raise DatasetError(f"product {twice!r} appears twice among those to split; give every product one row")


@dataclass(frozen=True, slots=True)
class Split:
    """The choice, and how near to the shares of the categories it is.

    A group counts for the category that most of its products have, and of several that with the smallest name.

    Attributes:
        validation: bool [n]; in the order of the products.
        categories: c names, ascending.
        products: int64 [c]; products of each category.
        target: float64 [c]; N times the share of each category among all products.
        taken: int64 [c]; validation products of each category.
    """

    validation: BoolArray
    categories: tuple[str, ...]
    products: IntArray
    target: FloatArray
    taken: IntArray


@dataclass(frozen=True, slots=True)
class _Groups:
    """Leakage groups in the order of their hashes."""

    member: IntArray  # [n] the group of each product
    size: IntArray
    category: IntArray
    is_free: BoolArray  # may be taken
    is_frozen: BoolArray  # was taken before


def split_products(
    products: Products,
    n_validation: int,
    *,
    seed: int,
    frozen: Collection[str] = (),
    barred: Collection[str] = (),
) -> Split:
    """Choose the validation products.

    Of each category at least one product stays for training, unless frozen products leave none.

    It takes as many steps as there are products that may be chosen, times `n_validation`, and 4 bytes for each category
    and validation product: 1 s and 14 MB for 2,527 of 189,958 products in 1,396 categories.

    Args:
        products: all of them.
        n_validation: how many to choose, at least 1, with the frozen ones.
        seed: of the hashes that order the groups.
        frozen: ids of an earlier validation set that stays, whatever is added to it.
        barred: ids of products that stay in training, with their groups.

    >>> complete = np.array([True, True, True, False])
    >>> products = Products(["a", "b", "c", "d"], ["x"] * 4, complete, group=np.array([1, 1, 2, 3]))
    >>> split_products(products, 2, seed=0).validation.tolist()
    [True, True, False, False]

    Raises:
        UsageError: `n_validation` is below 1 or below the number of frozen products.
        DatasetError: a frozen product is gone, or its group has a product that is not complete; or no choice of whole
            groups has exactly so many products: the message has the nearest counts that can be reached.
    """
    if n_validation < 1:
        raise UsageError(f"n_validation is {n_validation}; expected at least 1")
    names, category = np.unique(np.asarray(products.categories, np.str_), return_inverse=True)
    groups = _make_groups(products, category.astype(np.int64), frozen, barred, seed)
    n_products = _per_category(groups, np.ones(len(groups.size), np.bool_), len(names))
    base = _per_category(groups, groups.is_frozen, len(names))
    n_free = n_validation - int(base.sum())
    if n_free < 0:
        raise UsageError(
            f"n_validation is {n_validation:,}, but the groups of the frozen products have {base.sum():,} products; "
            "ask for at least as many"
        )
    target = n_validation * n_products / max(int(n_products.sum()), 1)
    sizes = _free_sizes(groups, len(names))
    room = np.maximum(n_products - 1 - base, 0).tolist()
    sums = [_subset_sums([size for _, size in free], limit) for free, limit in zip(sizes, room, strict=True)]
    shares = _choose_sums(sums, target - base, n_free, _hash_order(names, seed))
    if shares is None:
        raise DatasetError(_infeasible(sums, n_validation, int(base.sum())))
    chosen = groups.is_frozen.copy()
    for free, share in zip(sizes, shares, strict=True):
        chosen[_first_subset(free, share)] = True
    validation = chosen[groups.member]
    return Split(validation, tuple(names.tolist()), n_products, target, _per_category(groups, chosen, len(names)))


def _make_groups(
    products: Products, category: IntArray, frozen: Collection[str], barred: Collection[str], seed: int
) -> _Groups:
    """Leakage groups, named by their smallest id, in the order of the hashes of their names."""
    ids = np.asarray(products.ids, np.str_)
    by_id = np.argsort(ids, kind="stable")
    _, first, member = np.unique(products.group[by_id], return_index=True, return_inverse=True)
    hashes = keyed_hash(pa.array(ids[by_id[first]].tolist(), pa.string()), seed=seed, purpose=_PURPOSE)
    place = np.empty(len(first), np.int64)
    place[np.lexsort((first, hashes))] = np.arange(len(first))
    at = np.empty(len(ids), np.int64)
    at[by_id] = place[member]
    size = np.bincount(at, minlength=len(first))
    is_complete = np.bincount(at, ~np.asarray(products.complete, np.bool_), len(first)) == 0
    is_frozen = _frozen_groups(ids, at, is_complete, frozen)
    is_barred = np.bincount(at, np.isin(ids, np.asarray(sorted(barred), np.str_)), len(first)) > 0
    return _Groups(at, size, majority(at, category), is_complete & ~is_frozen & ~is_barred, is_frozen)


def _frozen_groups(
    ids: npt.NDArray[np.str_], member: IntArray, is_complete: BoolArray, frozen: Collection[str]
) -> BoolArray:
    """Which groups have a frozen product; refuses a frozen product that cannot stay."""
    kept = np.isin(ids, np.asarray(sorted(frozen), np.str_))
    if kept.sum() < len(set(frozen)):
        gone = sorted(set(frozen) - set(ids[kept].tolist()))
        raise DatasetError(
            f"{len(gone):,} of {len(set(frozen)):,} frozen products are not among those to split, such as {gone[0]!r}; "
            "bring them back, or take them from the list"
        )
    is_frozen = np.bincount(member, kept, len(is_complete)) > 0
    broken = np.sort(ids[kept & ~is_complete[member]])
    if len(broken):
        raise DatasetError(
            f"{len(broken):,} of {len(set(frozen)):,} frozen products cannot stay, as a product of their leakage group "
            f"lacks a domain, such as that of {broken[0]!r}; complete it, or take them from the list"
        )
    return np.asarray(is_frozen)


def majority(member: IntArray, category: IntArray) -> IntArray:
    """The most frequent category of each group, of several the smallest.

    >>> majority(np.array([0, 0, 0, 1, 1]), np.array([2, 1, 2, 5, 4])).tolist()
    [2, 4]
    """
    (group, of), n = np.unique(np.stack([member, category]), axis=1, return_counts=True)
    order = np.lexsort((of, -n, group))
    _, first = np.unique(group[order], return_index=True)
    return np.asarray(of[order[first]])


def _per_category(groups: _Groups, which: BoolArray, n_categories: int) -> IntArray:
    """Products of some groups in each category."""
    return np.bincount(groups.category, groups.size * which, n_categories).astype(np.int64)


def _free_sizes(groups: _Groups, n_categories: int) -> list[list[tuple[int, int]]]:
    """For each category the groups that may be taken, with their sizes, in hash order."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(n_categories)]
    for group in np.flatnonzero(groups.is_free).tolist():
        found[groups.category[group]].append((group, int(groups.size[group])))
    return found


def _hash_order(names: npt.NDArray[np.str_], seed: int) -> list[int]:
    """Categories by the hash of their names, which decides between equally good choices."""
    hashes = keyed_hash(pa.array(names.tolist(), pa.string()), seed=seed, purpose=_PURPOSE)
    return [int(place) for place in np.lexsort((np.arange(len(names)), hashes))]


def _subset_sums(sizes: Sequence[int], limit: int) -> list[int]:
    """Every sum of some of the sizes, up to a limit, ascending.

    >>> _subset_sums([2, 2, 3], 6)
    [0, 2, 3, 4, 5]
    """
    return _set_bits(_sum_bits(sizes) & ((1 << limit + 1) - 1))


def _sum_bits(sizes: Sequence[int]) -> int:
    bits = 1
    for size in sizes:
        bits |= bits << size
    return bits


def _set_bits(bits: int) -> list[int]:
    raw = np.frombuffer(bits.to_bytes(bits.bit_length() // 8 + 1, "little"), np.uint8)
    return [int(place) for place in np.flatnonzero(np.unpackbits(raw, bitorder="little"))]


def _choose_sums(
    sums: Sequence[Sequence[int]], wanted: FloatArray, total: int, order: Sequence[int]
) -> list[int] | None:
    """One sum of each category that together make `total`, with the least sum of squared distances to `wanted`.

    Between equally good choices the categories that come first in `order` decide, for their smaller sums.

    >>> _choose_sums([[0, 2], [0, 1, 2, 3]], np.array([1.5, 2.5]), 4, [0, 1])
    [2, 2]
    >>> _choose_sums([[0, 2], [0, 2]], np.array([1.5, 1.5]), 3, [0, 1]) is None
    True
    """
    cost = np.full(total + 1, np.inf)
    cost[0] = 0.0
    picks = np.zeros((len(order), total + 1), np.int32)
    for row, category in enumerate(order):
        best = np.full(total + 1, np.inf)
        for one in sums[category]:
            if one > total:
                break
            offer = cost[: total + 1 - one] + (one - wanted[category]) ** 2
            is_better = offer < best[one:]
            np.copyto(best[one:], offer, where=is_better)
            np.copyto(picks[row, one:], one, where=is_better)
        cost = best
    if np.isinf(cost[total]):
        return None
    chosen = [0] * len(order)
    for row in range(len(order) - 1, -1, -1):
        chosen[order[row]] = int(picks[row, total])
        total -= chosen[order[row]]
    return chosen


def _first_subset(free: Sequence[tuple[int, int]], share: int) -> list[int]:
    """Groups with `share` products in all: each in turn is taken if the later ones can make up the rest.

    >>> _first_subset([(10, 2), (11, 3), (12, 1), (13, 1)], 4)
    [10, 12, 13]
    """
    later = [1]  # sums of the groups from the last to this one
    for _, size in reversed(free[1:]):
        later.append((later[-1] | later[-1] << size) & ((1 << share + 1) - 1))
    taken = []
    for group, size in free:
        reachable = later.pop()
        if size <= share and reachable >> share - size & 1:
            taken.append(group)
            share -= size
    return taken


def _infeasible(sums: Sequence[Sequence[int]], n_validation: int, n_frozen: int) -> str:
    reachable = 1
    for choices in sums:
        reachable = _any_of(reachable << one for one in choices)
    counts = [n_frozen + one for one in _set_bits(reachable)]
    below = max((one for one in counts if one < n_validation), default=None)
    above = min((one for one in counts if one > n_validation), default=None)
    nearest = " and ".join(f"{one:,}" for one in (below, above) if one is not None)
    return (
        f"no choice of whole leakage groups has exactly {n_validation:,} validation products; at most {counts[-1]:,} "
        f"can be chosen, {n_frozen:,} of them frozen, as a group with a product that lacks a domain, or was in train "
        f"before, is out and each category keeps a product for training; the nearest counts that can be reached are "
        f"{nearest}"
    )


def _any_of(bit_sets: Iterable[int]) -> int:
    found = 0
    for bits in bit_sets:
        found |= bits
    return found
