"""Why two products were merged, or were not."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from rope.curation.dedup.linkage import components
from rope.curation.dedup.merge import CANNOT_LINK, MERGED, QUEUED, UNLINKED, VETO, Merge
from rope.curation.dedup.merge_tables import evidence_table
from rope.errors import UsageError

__all__ = ["Explanation", "MergeStep", "why"]


@dataclass(frozen=True, slots=True)
class MergeStep:
    """One tie between two products: media that resemble each other, or a must-link label.

    Attributes:
        left: product id.
        right: product id.
        kind: one of `rope.curation.dedup.evidence.KINDS`, or `label`.
        strength: from 0 to 1; 1 of a label.
        left_media: content hash; empty for a label.
        right_media: content hash; empty for a label.
        verdict: what became of it, as in `Merge.verdict`.
    """

    left: str
    right: str
    kind: str
    strength: float
    left_media: str
    right_media: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether two products are one, in a sentence, with the shortest chain of ties between them.

    Attributes:
        merged: are they one?
        reason: a sentence.
        path: from the first product to the second, over merged ties where they are one, over any ties where they
            are not; empty where no chain leads from one to the other.
    """

    merged: bool
    reason: str
    path: tuple[MergeStep, ...]


def why(merge: Merge, a: str, b: str) -> Explanation:
    """Explain what became of two products.

    Raises:
        UsageError: an id is not among the products.

    >>> from rope.curation.dedup.evidence import make_items
    >>> from rope.curation.dedup.merge import MergeRules, merge_products
    >>> items = make_items(["7", "12", "40"], ["page"] * 3, ["x", "x", "y"])
    >>> merge = merge_products(items, MergeRules({("page", "page"): 0.9}))
    >>> why(merge, "7", "12").reason
    '7 and 12 are one product: same media (1.0000)'
    >>> why(merge, "7", "40").reason
    '7 and 40 are two products: no media of one resemble media of the other'
    """
    first, second = _number(merge, a), _number(merge, b)
    merged = bool(merge.group[first] == merge.group[second])
    path = _path(_ties(merge, first, merged_only=merged), a, b)
    if merged:
        ties = ", ".join(f"{step.kind} ({step.strength:.4f})" for step in path)
        return Explanation(True, f"{a} and {b} are one product: {ties or 'they have the same id'}", path)
    return Explanation(False, f"{a} and {b} are two products: {_what_parts(merge, path, first, second)}", path)


def _number(merge: Merge, product_id: str) -> int:
    found = np.flatnonzero(merge.items.product_ids == product_id)
    if not len(found):
        raise UsageError(
            f"product {product_id!r} is not among the {len(merge.items.product_ids)} products of this merge"
        )
    return int(found[0])


def _ties(merge: Merge, product: int, *, merged_only: bool) -> list[MergeStep]:
    """The ties among the products that a chain may reach from one."""
    left, right = merge.evidence.left, merge.evidence.right
    reach = merge.group if merged_only else components(len(merge.group), left, right)
    rows = np.flatnonzero(reach[left] == reach[product])
    steps = [MergeStep(**row) for row in evidence_table(merge).take(rows).to_pylist()]
    labels = [MergeStep(a, b, "label", 1.0, "", "", MERGED) for a, b in merge.labels.must]
    return labels + [step for step in steps if step.verdict == MERGED or not merged_only]


def _path(ties: list[MergeStep], a: str, b: str) -> tuple[MergeStep, ...]:
    """The shortest chain from a to b; of equals, that found first in the order of the ties."""
    around: dict[str, list[tuple[str, MergeStep]]] = {}
    for step in ties:
        around.setdefault(step.left, []).append((step.right, step))
        around.setdefault(step.right, []).append((step.left, step))
    reached: dict[str, tuple[MergeStep, ...]] = {a: ()}
    waiting = deque([a])
    while waiting and b not in reached:
        here = waiting.popleft()
        for there, step in around.get(here, []):
            if there not in reached:
                reached[there] = (*reached[here], step)
                waiting.append(there)
    return reached.get(b, ())


def _what_parts(merge: Merge, path: tuple[MergeStep, ...], first: int, second: int) -> str:
    ids = {str(merge.items.product_ids[first]), str(merge.items.product_ids[second])}
    if any({a, b} == ids for a, b in merge.labels.cannot):
        return "a cannot-link label says so"
    if not path:
        return _what_is_missing(merge, first, second)
    if len(path) > 1:
        stopped = next((step for step in path if step.verdict != MERGED), path[0])
        return (
            f"only a chain of {len(path)} ties leads from one to the other, and it ends between {stopped.left} and "
            f"{stopped.right} ({_in_words(merge, stopped.verdict)})"
        )
    return f"{path[0].kind} ({path[0].strength:.4f}) ties them, but {_in_words(merge, path[0].verdict)}"


def _in_words(merge: Merge, verdict: str) -> str:
    if verdict.startswith(VETO):
        return f"their {verdict.removeprefix(VETO)} differs"
    return {
        CANNOT_LINK: "a cannot-link label parts their groups",
        QUEUED: "their component is above the cap and waits for review",
        UNLINKED: "a product grouped with one of them has no tie to the other",
    }[verdict]


def _what_is_missing(merge: Merge, first: int, second: int) -> str:
    items = merge.items
    mine, yours = items.product == first, items.product == second
    shared = np.intersect1d(items.node[mine], items.node[yours])
    if merge.evidence.hub[shared].any():
        media = items.media[shared[merge.evidence.hub[shared]][0]]
        return f"the media they share ({media}) are shown by too many products, or resemble too many media"
    sessions = np.intersect1d(items.session[mine], items.session[yours])
    if (sessions >= 0).any():
        return "they share a session, which is not evidence"
    if len(shared):
        return "the domains of the media they share are no evidence"
    if merge.evidence.hub[items.node[mine | yours]].any():
        return "no media of one resemble media of the other, hubs left aside"
    return "no media of one resemble media of the other"
