"""Products that must end on one side of a split, because samples of one would give the other away.

The ties are wider than those of merging: nearest pairs above a looser threshold, the same media file, the same session
(upload or live stream), whatever else is shared. Products that any chain of ties connects are one group. A value that
very many products share, or a product that resembles very many others, would tie half of the data together and says
little; such a *hub* ties nothing, and is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from rope.arrays import IntArray
from rope.curation.codes import coded
from rope.curation.dedup.linkage import components
from rope.errors import DatasetError, UsageError

__all__ = ["MAX_SHARED", "LeakageGroups", "LeakageHub", "Near", "Shared", "leakage_groups"]

MAX_SHARED: Final = 50
"""Products with one value, or neighbours of one product, above which it is a hub; the same as in merging."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Which products have which value, such as the hash of a file; m rows in any order, also repeated.

    Attributes:
        kind: `media`, `session`, `title` and so on; values of different kinds are different.
        product: int64 [m]; number of a product.
        value: Arrow strings [m], none null.
    """

    kind: str
    product: IntArray
    value: pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs of products that resemble each other; m pairs in any order, also repeated or turned round.

    Attributes:
        left: int64 [m]; number of a product.
        right: int64 [m]; number of another.
    """

    left: IntArray
    right: IntArray


@dataclass(frozen=True, slots=True)
class LeakageHub:
    """What ties nothing, as it would tie too many.

    Attributes:
        kind: that of the shared value, or `near`.
        value: the shared value, or the number of the product.
        n_products: how many products it would tie, or how many neighbours the product has.
    """

    kind: str
    value: str
    n_products: int


@dataclass(frozen=True, slots=True)
class LeakageGroups:
    """Leakage groups: products that must be in the same split.

    Attributes:
        group: int64 [n]; the smallest number of a product in the group of each product.
        hubs: by kind and value.
    """

    group: IntArray
    hubs: tuple[LeakageHub, ...]


def leakage_groups(
    n_products: int, *, shared: Sequence[Shared] = (), near: Near | None = None, max_shared: int = MAX_SHARED
) -> LeakageGroups:
    """Connect products by what they share.

    Number the products in the order of their ids, and the groups do not depend on the order of rows.

    Args:
        n_products: numbered from 0.
        shared: values that tie the products that have them.
        near: pairs that are tied.
        max_shared: a value of more products, or a product with more neighbours, is a hub.

    >>> found = leakage_groups(4, shared=[Shared("media", np.array([0, 2]), pa.array(["a", "a"]))],
    ...     near=Near(np.array([2]), np.array([3])))
    >>> found.group.tolist()
    [0, 1, 0, 0]

    Raises:
        UsageError: `max_shared` is below 2, so that nothing could be tied.
        DatasetError: a product has a number that is not from 0 to `n_products` - 1, or columns differ in length.
    """
    if max_shared < 2:
        raise UsageError(f"max_shared is {max_shared}; expected at least 2")
    parts: list[tuple[IntArray, IntArray]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    hubs: list[LeakageHub] = []
    for one in shared:
        _check(one.kind, n_products, one.product, len(one.value))
        pairs, found = _star(one, max_shared)
        parts.append(pairs)
        hubs += found
    if near is not None:
        _check("near", n_products, near.left, len(near.right))
        _check("near", n_products, near.right, len(near.left))
        pairs, found = _without_hubs(near, n_products, max_shared)
        parts.append(pairs)
        hubs += found
    left, right = (np.concatenate(column) for column in zip(*parts, strict=True))
    ordered = sorted(hubs, key=lambda hub: (hub.kind, hub.value))
    return LeakageGroups(components(n_products, left, right), tuple(ordered))


def _check(kind: str, n_products: int, product: IntArray, n_values: int) -> None:
    if len(product) != n_values:
        raise DatasetError(f"{kind}: {len(product)} products and {n_values} values; expected as many")
    unexpected = product[(product < 0) | (product >= n_products)]
    if len(unexpected):
        raise DatasetError(f"{kind}: product number {unexpected[0]}; expected 0 to {n_products - 1}")


def _star(shared: Shared, limit: int) -> tuple[tuple[IntArray, IntArray], list[LeakageHub]]:
    """The first product of each value with the other ones, and the hubs."""
    names, value = coded(shared.value)
    value, product = _distinct(value, shared.product)
    n_products = np.bincount(value, minlength=len(names))
    hubs = [
        LeakageHub(shared.kind, names[at].as_py(), int(n_products[at]))
        for at in np.flatnonzero(n_products > limit).tolist()
    ]
    first = product[np.searchsorted(value, value)]
    is_tie = (n_products[value] <= limit) & (first != product)
    return (first[is_tie], product[is_tie]), hubs


def _without_hubs(near: Near, n_products: int, limit: int) -> tuple[tuple[IntArray, IntArray], list[LeakageHub]]:
    """Each pair once, without those of a product with too many neighbours, and the hubs."""
    is_pair = near.left != near.right
    ends = near.left[is_pair], near.right[is_pair]
    left, right = _distinct(np.minimum(*ends), np.maximum(*ends))
    degree = np.bincount(np.concatenate([left, right]), minlength=n_products)
    hubs = [LeakageHub("near", str(at), int(degree[at])) for at in np.flatnonzero(degree > limit)]
    is_tie = (degree[left] <= limit) & (degree[right] <= limit)
    return (left[is_tie], right[is_tie]), hubs


def _distinct(first: IntArray, second: IntArray) -> tuple[IntArray, IntArray]:
    """Each pair of numbers once, ordered by the first, then the second.

    >>> _distinct(np.array([2, 1, 2]), np.array([0, 5, 0]))
    (array([1, 2]), array([5, 0]))
    """
    width = int(second.max(initial=0)) + 1
    keys = np.sort(first * width + second)  # np.unique of numpy 2.4: a hundred times slower here (measured)
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return keys // width, keys % width
