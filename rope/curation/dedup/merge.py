"""Decide which products are one: evidence in, groups out, with the verdict on every piece of evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np

from rope.arrays import BoolArray, FloatArray, IntArray, StringArray
from rope.config import Count, NumberRange, check_record
from rope.curation.dedup.evidence import DomainPair, Evidence, Items, MediaPairs, find_evidence
from rope.curation.dedup.linkage import components, link
from rope.curation.dedup.measured_search import SearchRules
from rope.domain import DOMAINS
from rope.errors import DatasetError, UsageError

__all__ = ["CANNOT_LINK", "MERGED", "QUEUED", "UNLINKED", "VETO", "Merge", "MergeRules", "PairLabels", "merge_products"]


MERGED: Final = "merged"
CANNOT_LINK: Final = "cannot-link"
QUEUED: Final = "queued"
UNLINKED: Final = "unlinked"
VETO: Final = "veto: "
"""What a verdict begins with where the attribute named after it differs."""


@dataclass(frozen=True, slots=True)
class MergeRules:
    """What counts as evidence, and what stops it.

    Attributes:
        thresholds: pair of domains, either order -> smallest cosine of two media that speak for one product; a pair
            that is not named is never evidence. Choose them on labelled pairs: a frame of a video resembles a page less
            than a page resembles a page.
        max_products: media that more products show are placeholders, logos or size charts.
        max_neighbours: so are media that resemble more other media.
        cap: a component of more products goes to somebody to review; only labels group its products.
        vetoes: attributes; two products whose values are known and differ are not merged.
        search: how near vectors are searched.

    Raises:
        UsageError: a number is out of range.
    """

    thresholds: Mapping[DomainPair, float]
    max_products: Count = 50
    max_neighbours: Count = 50
    cap: Annotated[int, NumberRange(2)] = 200
    vetoes: tuple[str, ...] = ()
    search: SearchRules = field(default_factory=SearchRules)

    def __post_init__(self) -> None:
        check_record(self)
        for (a, b), threshold in self.thresholds.items():
            if not {a, b} <= set(DOMAINS):
                raise UsageError(f"thresholds name the domains {a!r} and {b!r}: expected {', '.join(DOMAINS)}")
            if not 0 < threshold <= 1:
                raise UsageError(f"threshold {threshold} of {a} and {b}: expected a cosine above 0 and at most 1")
            if a != b and (b, a) in self.thresholds:
                raise UsageError(f"the domains {a} and {b} have two thresholds: name them in one order")


@dataclass(frozen=True, slots=True)
class PairLabels:
    """What annotators decided about pairs of product ids; labels of products that are gone are ignored.

    Attributes:
        must: pairs that are one product, whatever the evidence and the vetoes say.
        cannot: pairs that are two.
    """

    must: tuple[tuple[str, str], ...] = ()
    cannot: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Merge:
    """The groups of products that were merged, with the evidence.

    Attributes:
        items: what was merged; `items.product_ids` names the n products.
        evidence: m pairs of products with the media that tie them.
        verdict: str [m]; what became of each piece of evidence: `MERGED`, `CANNOT_LINK`, `QUEUED`, `UNLINKED` (complete
            linkage put the two apart), or `VETO` and an attribute.
        group: int64 [n]; the product with the smallest id in the group.
        component: int64 [n]; the smallest product that is reached over evidence that nothing stops.
        queued: bool [n]; the component is above the cap.
        labels: those that were known.
    """

    items: Items
    evidence: Evidence
    verdict: StringArray
    group: IntArray
    component: IntArray
    queued: BoolArray
    labels: PairLabels = field(default_factory=PairLabels)

    @property
    def group_ids(self) -> StringArray:
        """The id of each product's group, which is the smallest product id in it."""
        return np.asarray(self.items.product_ids[self.group], np.str_)


def merge_products(
    items: Items,
    rules: MergeRules,
    *,
    attributes: Mapping[str, Mapping[str, str | int | None]] | None = None,
    labels: PairLabels | None = None,
    more: Sequence[MediaPairs] = (),
) -> Merge:
    """Group the products that evidence, labels and vetoes make one.

    The result depends on the rows of the items, not on their order, nor on the threads or blocks of the search. The
    ids of the products stay, and the groups only name them, so that a merge is undone by forgetting it.

    Args:
        items: what each product shows.
        rules: thresholds, limits and vetoes.
        attributes: attribute -> product id -> value; None or absent is unknown.
        labels: of annotators.
        more: pairs of media that other comparisons found.

    Raises:
        DatasetError: labels contradict each other, or an index has found too few of the near vectors.
        EmbeddingError: a vector is zero or not finite.
        UsageError: an attribute named as a veto is not there.

    >>> from rope.curation.dedup.evidence import make_items
    >>> items = make_items(["7", "12", "40"], ["page"] * 3, ["x", "x", "y"])
    >>> merge_products(items, MergeRules({("page", "page"): 0.9})).group_ids.tolist()
    ['7', '7', '40']
    """
    evidence = find_evidence(
        items,
        rules.thresholds,
        max_products=rules.max_products,
        max_neighbours=rules.max_neighbours,
        more=more,
        search=rules.search,
    )
    n = len(items.product_ids)
    known, must, cannot = _known_labels(items.product_ids, labels or PairLabels())
    anchor = components(n, *must)
    _refuse_contradictions(items.product_ids, anchor, cannot)
    stopped = _vetoes(items.product_ids, anchor, evidence, rules.vetoes, attributes or {})
    left, right = _ordered(anchor[evidence.left], anchor[evidence.right])
    forbidden = np.isin(left * n + right, _keys(*_ordered(anchor[cannot[0]], anchor[cannot[1]]), n))
    stopped[forbidden] = CANNOT_LINK
    stopped[left == right] = MERGED
    free = stopped == ""
    linkage = link(n, *_strongest_pairs(left[free], right[free], evidence.strength[free]), cap=rules.cap)
    group = linkage.group[anchor]
    queued = linkage.queued[anchor]
    same = group[evidence.left] == group[evidence.right]
    late = np.where(same, MERGED, np.where(queued[evidence.left], QUEUED, UNLINKED))
    verdict = np.where(free, late, stopped)
    return Merge(items, evidence, verdict, group, linkage.component[anchor], queued, known)


_Pairs = tuple[IntArray, IntArray]


def _known_labels(product_ids: StringArray, labels: PairLabels) -> tuple[PairLabels, _Pairs, _Pairs]:
    """The labels whose products are there, and the same as numbers of products."""
    number = {name: i for i, name in enumerate(product_ids.tolist())}
    must = tuple(pair for pair in labels.must if pair[0] in number and pair[1] in number)
    cannot = tuple(pair for pair in labels.cannot if pair[0] in number and pair[1] in number)
    return PairLabels(must, cannot), _as_numbers(must, number), _as_numbers(cannot, number)


def _as_numbers(pairs: Sequence[tuple[str, str]], number: Mapping[str, int]) -> _Pairs:
    rows = np.array([(number[a], number[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _refuse_contradictions(product_ids: StringArray, anchor: IntArray, cannot: _Pairs) -> None:
    bad = np.flatnonzero(anchor[cannot[0]] == anchor[cannot[1]])
    if len(bad):
        a, b = product_ids[cannot[0][bad[0]]], product_ids[cannot[1][bad[0]]]
        raise DatasetError(
            f"labels contradict each other for {len(bad)} pairs of products, such as {a} and {b}: a chain of must-link "
            "labels makes them one and a cannot-link label makes them two; withdraw one of these labels"
        )


def _vetoes(
    product_ids: StringArray,
    anchor: IntArray,
    evidence: Evidence,
    columns: Sequence[str],
    attributes: Mapping[str, Mapping[str, str | int | None]],
) -> StringArray:
    """For each piece of evidence the first attribute that forbids it, after `VETO`; empty where none does."""
    longest = max((len(VETO) + len(column) for column in columns), default=0)
    stopped = np.full(len(evidence.left), "", dtype=f"<U{max(longest, len(CANNOT_LINK))}")
    for column in columns:
        if column not in attributes:
            got = ", ".join(attributes) or "none"
            raise UsageError(f"veto {column!r}: there is no such attribute; the attributes are {got}")
        value = _common(_value_numbers(product_ids, attributes[column]), anchor)
        a, b = value[evidence.left], value[evidence.right]
        stopped[(stopped == "") & (a >= 0) & (b >= 0) & (a != b)] = VETO + column
    return stopped


def _value_numbers(product_ids: StringArray, values: Mapping[str, str | int | None]) -> IntArray:
    """A number for each product's value, -1 for unknown."""
    number: dict[str | int, int] = {}
    found = (values.get(name) for name in product_ids.tolist())
    return np.fromiter(
        (-1 if value is None else number.setdefault(value, len(number)) for value in found), np.int64, len(product_ids)
    )


def _common(value: IntArray, anchor: IntArray) -> IntArray:
    """The value that the labelled-as-one products agree on, for each of them; -1 where the known values differ.

    >>> _common(np.array([4, -1, 2, 5]), np.array([0, 0, 2, 2])).tolist()
    [4, 4, -1, -1]
    """
    highest, lowest = np.full(len(value), -1), np.full(len(value), np.iinfo(np.int64).max)
    known = value >= 0
    np.maximum.at(highest, anchor[known], value[known])
    np.minimum.at(lowest, anchor[known], value[known])
    return np.where(highest == lowest, highest, -1)[anchor]


def _ordered(a: IntArray, b: IntArray) -> _Pairs:
    return np.minimum(a, b), np.maximum(a, b)


def _keys(left: IntArray, right: IntArray, n: int) -> IntArray:
    return left * n + right


def _strongest_pairs(left: IntArray, right: IntArray, strength: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Each pair once, with its greatest strength."""
    order = np.lexsort((-strength, right, left))
    pairs = np.stack([left, right])[:, order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(pairs, axis=1) != 0).any(axis=0)
    kept = order[new]
    return left[kept], right[kept], strength[kept]
