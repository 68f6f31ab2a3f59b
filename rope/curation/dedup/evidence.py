"""Evidence that two products are one: shared media, and media that resemble each other.

Media files with the same content are one node however many products show them. A node that too many products show, or
that resembles too many others, is a *hub* (a placeholder, a brand's logo, a size chart): it says nothing about the
product, so it is not evidence, but stays in the data. Media of one session (a live stream shows many products) are not
evidence for each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, FloatArray, IntArray, StringArray
from rope.curation.dedup.measured_search import SearchNote, SearchRules, measured_near_pairs
from rope.domain import DOMAINS, Domain
from rope.errors import DatasetError

__all__ = ["KINDS", "DomainPair", "Evidence", "Items", "Kind", "MediaPairs", "find_evidence", "make_items"]


Kind = Literal["same media", "embedding", "perceptual"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

DomainPair = tuple[Domain, Domain]

_SEARCH: Final = SearchRules()


@dataclass(frozen=True, slots=True)
class Items:
    """Which product shows which media: n rows, each once, ordered by media, domain, product and session.

    Attributes:
        product_ids: str [products], in canonical order: by length, then by value.
        media: str [nodes]; content hashes in code point order.
        node: int64 [n]; place in `media`.
        product: int64 [n]; place in `product_ids`.
        domain: int64 [n]; place in `rope.domain.DOMAINS`.
        session: int64 [n]; the stream or upload that a row belongs to, -1 for none; no more than two are kept of what
            is alike except for the session, as two suffice to differ from any other.
        vectors: float32 [nodes, dim], the embedding of each of `media`; None where there is none.
    """

    product_ids: StringArray
    media: StringArray
    node: IntArray
    product: IntArray
    domain: IntArray
    session: IntArray
    vectors: npt.NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class MediaPairs:
    """Pairs of media that some comparison found alike.

    Attributes:
        kind: which comparison.
        left: content hashes [m].
        right: content hashes [m].
        strength: float [m], from 0 to 1.
        searches: what was searched for near pairs -> how well.
    """

    kind: Kind
    left: Sequence[str] | StringArray
    right: Sequence[str] | StringArray
    strength: npt.ArrayLike
    searches: Mapping[str, SearchNote] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Pairs of products and the strongest pair of media of each kind that ties them, ordered by all columns.

    Attributes:
        left: int64 [m]; number of a product.
        right: int64 [m]; number of another, above `left`.
        kind: int64 [m]; place in `KINDS`.
        strength: float64 [m], from 0 to 1.
        left_node: int64 [m]; media of `left`.
        right_node: int64 [m]; media of `right`.
        hub: bool [nodes]; media that are no evidence.
        searches: what was searched for near pairs, such as `page-video` -> how well.
    """

    left: IntArray
    right: IntArray
    kind: IntArray
    strength: FloatArray
    left_node: IntArray
    right_node: IntArray
    hub: BoolArray
    searches: Mapping[str, SearchNote] = field(default_factory=dict)


def make_items(
    product: Sequence[str],
    domain: Sequence[Domain],
    media: Sequence[str],
    *,
    session: Sequence[str | None] | None = None,
    vectors: npt.ArrayLike | None = None,
) -> Items:
    """Collapse rows by media: the result does not depend on the order of the rows.

    Args:
        product: [rows]; id of the product that each row shows.
        domain: [rows].
        media: [rows]; hash of the content.
        session: [rows]; the stream or upload, None for none.
        vectors: float [rows, dim]; rows with the same media are expected to have the same vector, and that of the
            first in the order of the items is taken.

    Raises:
        DatasetError: columns of different lengths, or an unknown domain.

    >>> items = make_items(["10", "9", "10"], ["page"] * 3, ["b", "a", "a"])
    >>> items.product_ids.tolist(), items.media.tolist()
    (['9', '10'], ['a', 'b'])
    >>> items.node.tolist(), items.product.tolist()
    ([0, 0, 1], [0, 1, 1])
    """
    rows = len(media)
    lengths = {"product": len(product), "domain": len(domain), "media": rows}
    lengths |= {} if session is None else {"session": len(session)}
    lengths |= {} if vectors is None else {"vectors": len(np.asarray(vectors))}
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"the columns of the items differ in length: {lengths}")
    unknown = sorted(set(domain) - set(DOMAINS))
    if unknown:
        raise DatasetError(f"unknown domain {unknown[0]!r}: expected one of {', '.join(DOMAINS)}")
    product_ids, products = _canonical(product)
    names, nodes = np.unique(np.asarray(media, dtype=np.str_), return_inverse=True)
    sessions = np.full(rows, -1) if session is None else _session_numbers(session)
    columns = np.stack([nodes, _numbers(domain), products, sessions])  # [4, rows]
    distinct, first = np.unique(columns, axis=1, return_index=True)
    is_kept = np.ones(distinct.shape[1], np.bool_)
    is_kept[2:] = (distinct[:3, 2:] != distinct[:3, :-2]).any(axis=0)  # two sessions of a product's picture are enough
    node, at, shown, session_number = distinct[:, is_kept]
    kept = None
    if vectors is not None:
        kept = np.asarray(vectors, np.float32)[first[np.flatnonzero(np.diff(distinct[0], prepend=-1))]]
    return Items(product_ids, names, node, shown, at, session_number, kept)


def _canonical(ids: Sequence[str]) -> tuple[StringArray, IntArray]:
    """Distinct ids by length, then by value, and the place of each row's id among them."""
    names, at = np.unique(np.asarray(ids, dtype=np.str_), return_inverse=True)
    order = np.argsort(np.strings.str_len(names), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return names[order], place[at]


def _numbers(domains: Sequence[Domain]) -> IntArray:
    number = {name: i for i, name in enumerate(DOMAINS)}
    return np.fromiter((number[name] for name in domains), np.int64, len(domains))


def _session_numbers(sessions: Sequence[str | None]) -> IntArray:
    number = {name: i for i, name in enumerate(sorted({name for name in sessions if name is not None}))}
    return np.fromiter((-1 if name is None else number[name] for name in sessions), np.int64, len(sessions))


def find_evidence(
    items: Items,
    thresholds: Mapping[DomainPair, float],
    *,
    max_products: int,
    max_neighbours: int,
    more: Sequence[MediaPairs] = (),
    search: SearchRules = _SEARCH,
) -> Evidence:
    """Collect all evidence that products are one.

    Args:
        items: what each product shows.
        thresholds: smallest cosine of two media of these domains, either order; a pair of domains that is not named is
            never evidence, not even with the same media.
        max_products: media that more products show are hubs.
        max_neighbours: media with more neighbours above the threshold of one pair of domains are hubs, and so are media
            in more pairs of one other comparison.
        more: pairs of media from other comparisons, each once; those of unknown media are ignored.
        search: how near vectors are searched.

    Raises:
        DatasetError: an index has found too few of the near vectors.
        EmbeddingError: a vector is zero or not finite.
    """
    allowed = _allowed(thresholds)
    hub = _products_a_node(items) > max_products
    found, crowded, searches = _near_nodes(items, thresholds, max_neighbours, search)
    hub |= crowded
    n = len(items.media)
    same = np.arange(n)
    parts = [(KINDS.index("same media"), same, same, np.ones(n)), (KINDS.index("embedding"), *found)]
    for pairs in more:
        left, right, strength = _known_nodes(items, pairs)
        hub |= np.bincount(np.concatenate([left, right]), minlength=n) > max_neighbours
        parts.append((KINDS.index(pairs.kind), left, right, strength))
        searches |= pairs.searches
    rows = [_product_pairs(items, allowed, hub, *part) for part in parts]
    return _strongest([np.concatenate(column) for column in zip(*rows, strict=True)], hub, searches)


def _allowed(thresholds: Mapping[DomainPair, float]) -> BoolArray:
    """A table [domains, domains]: may two media of these domains be evidence?"""
    allowed = np.zeros((len(DOMAINS), len(DOMAINS)), np.bool_)
    for a, b in thresholds:
        i, j = DOMAINS.index(a), DOMAINS.index(b)
        allowed[i, j] = allowed[j, i] = True
    return allowed


def _products_a_node(items: Items) -> IntArray:
    """How many products show each of the media."""
    pairs = np.unique(np.stack([items.node, items.product]), axis=1)
    return np.bincount(pairs[0], minlength=len(items.media))


def _near_nodes(
    items: Items, thresholds: Mapping[DomainPair, float], limit: int, rules: SearchRules
) -> tuple[tuple[IntArray, IntArray, FloatArray], BoolArray, dict[str, SearchNote]]:
    """Pairs of media with similar vectors, which media have too many neighbours, and how each pair was searched."""
    searches: dict[str, SearchNote] = {}
    crowded = np.zeros(len(items.media), np.bool_)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for (a, b), threshold in sorted(thresholds.items()):
        if items.vectors is None:
            break
        first, second = _nodes_of(items, a), _nodes_of(items, b)
        near, searches[f"{a}-{b}"] = measured_near_pairs(
            items.vectors[first], threshold, rules, limit=limit, second=None if a == b else items.vectors[second]
        )
        degrees = np.bincount(near.left, minlength=len(first)), np.bincount(near.right, minlength=len(second))
        if a == b:
            degrees = (degrees[0] + degrees[1],) * 2
        crowded[first[near.left_saturated | (degrees[0] > limit)]] = True
        crowded[second[near.right_saturated | (degrees[1] > limit)]] = True
        left, right = first[near.left], second[near.right]
        other = left != right
        parts.append((left[other], right[other], near.cosine[other]))
    left, right, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return (left, right, cosine), crowded, searches


def _nodes_of(items: Items, domain: Domain) -> IntArray:
    return np.unique(items.node[items.domain == DOMAINS.index(domain)])


def _known_nodes(items: Items, pairs: MediaPairs) -> tuple[IntArray, IntArray, FloatArray]:
    number = {name: i for i, name in enumerate(items.media.tolist())}
    left = np.fromiter((number.get(name, -1) for name in pairs.left), np.int64, len(pairs.left))
    right = np.fromiter((number.get(name, -1) for name in pairs.right), np.int64, len(pairs.right))
    known = (left >= 0) & (right >= 0)
    return left[known], right[known], np.asarray(pairs.strength, np.float64)[known]


def _product_pairs(
    items: Items, allowed: BoolArray, hub: BoolArray, kind: int, left: IntArray, right: IntArray, strength: FloatArray
) -> tuple[IntArray, IntArray, IntArray, FloatArray, IntArray, IntArray]:
    """Every row that shows `left` with every row that shows `right`, where that is evidence."""
    useful = ~(hub[left] | hub[right])
    left, right, strength = left[useful], right[useful], strength[useful]
    first, second, pair = _crossed(items.node, left, right, len(items.media))
    a, b = items.product[first], items.product[second]
    session = items.session[first]
    is_evidence = (a != b) & allowed[items.domain[first], items.domain[second]]
    is_evidence &= (session < 0) | (session != items.session[second])
    first, second, pair = first[is_evidence], second[is_evidence], pair[is_evidence]
    swapped = items.product[first] > items.product[second]
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    kinds = np.full(len(pair), kind)
    return items.product[first], items.product[second], kinds, strength[pair], items.node[first], items.node[second]


def _crossed(node: IntArray, left: IntArray, right: IntArray, n_nodes: int) -> tuple[IntArray, IntArray, IntArray]:
    """Rows of the items for the product of the rows of two nodes: first row, second row, number of the node pair.

    >>> [column.tolist() for column in _crossed(np.array([0, 0, 1]), np.array([0]), np.array([1]), 2)]
    [[0, 1], [2, 2], [0, 0]]
    """
    starts = np.searchsorted(node, np.arange(n_nodes))
    rows = np.bincount(node, minlength=n_nodes)
    crossings = rows[left] * rows[right]
    pair = np.repeat(np.arange(len(left)), crossings)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(crossings) - crossings, crossings)
    i, j = np.divmod(place, rows[right][pair]) if len(pair) else (place, place)
    return starts[left][pair] + i, starts[right][pair] + j, pair


def _strongest(columns: list[npt.NDArray[np.int64]], hub: BoolArray, searches: Mapping[str, SearchNote]) -> Evidence:
    """Of each pair of products and kind the strongest row; of equals, that with the first media."""
    left, right, kind, strength, left_node, right_node = columns
    order = np.lexsort((right_node, left_node, -strength, kind, right, left))
    keys = np.stack([left, right, kind])[:, order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(keys, axis=1) != 0).any(axis=0)
    kept = order[new]
    return Evidence(
        left[kept],
        right[kept],
        kind[kept],
        np.asarray(strength, np.float64)[kept],
        left_node[kept],
        right_node[kept],
        hub,
        searches,
    )
