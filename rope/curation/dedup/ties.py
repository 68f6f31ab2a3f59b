"""The evidence of a merge beside the rows: with which product, by which pictures, at which score, by which rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrays import BoolArray, IntArray
from rope.curation.dedup.evidence import KINDS, DomainPair, Evidence
from rope.curation.dedup.merge import VETO, Merge
from rope.domain import DOMAINS

__all__ = ["TIES", "Ties", "make_ties", "tied_rows"]

TIES: Final = pa.list_(
    pa.struct(
        [
            ("product", pa.string()),
            ("row", pa.string()),
            ("kind", pa.string()),
            ("score", pa.float64()),
            ("rule", pa.string()),
            ("verdict", pa.string()),
            ("detail", pa.string()),
        ]
    )
)
"""What ties a row to rows of other products, the strongest first: the other product (as it was before merging) and row;
kind and score as `rope.curation.dedup.evidence.Evidence` has them; the rule by which that is evidence, and the verdict
on it, as in `Merge.verdict`; and the two values that a veto found."""

_RULES: Final[Mapping[str, str]] = {"same media": "the same files", "perceptual": "copies of a picture"}


@dataclass(frozen=True, slots=True)
class Ties:
    """The evidence of n rows.

    Attributes:
        start: int64 [n + 1]; row i has the ties from `start[i]` to `start[i + 1]`.
        values: the ties, as the structs of `TIES`.
    """

    start: IntArray
    values: pa.StructArray

    def of_rows(self, first: int, stop: int) -> pa.Array:
        """The ties of some rows, in `TIES`; null where a row has none."""
        bounds = self.start[first : stop + 1]
        is_none = np.append(np.diff(bounds) == 0, False)
        offsets = pa.array((bounds - bounds[0]).astype(np.int32), pa.int32(), mask=is_none)
        return pa.ListArray.from_arrays(offsets, self.values.slice(int(bounds[0]), int(bounds[-1] - bounds[0])), TIES)


def tied_rows(merge: Merge, rows: pa.Table, products: Sequence[str], media: Sequence[str]) -> tuple[IntArray, IntArray]:
    """The row at either end of all evidence: that with the smallest id of those that show the product and the media.

    Args:
        merge: the decision.
        rows: with `id`.
        products: of each row.
        media: the name of the media of each row.

    Returns:
        Places in `rows`, int64 [m], of the left ends and of the right ones.
    """
    items, evidence = merge.items, merge.evidence
    product, node = (
        pc.fill_null(pc.index_in(pa.array(values, pa.string()), pa.array(names.tolist(), pa.string())), -1).to_numpy()
        for values, names in ((products, items.product_ids), (media, items.media))
    )
    by_id = pc.sort_indices(rows["id"]).to_numpy().astype(np.int64)
    width = len(items.media) + 1
    keys, first = np.unique((product.astype(np.int64) * width + node + 1)[by_id], return_index=True)
    place = by_id[first]

    def of(owners: IntArray, nodes: IntArray) -> IntArray:
        found: IntArray = place[np.searchsorted(keys, owners * width + nodes + 1)]
        return found

    return of(evidence.left, evidence.left_node), of(evidence.right, evidence.right_node)


def make_ties(
    merge: Merge,
    rows: pa.Table,
    ends: tuple[IntArray, IntArray],
    thresholds: Mapping[DomainPair, float],
    attributes: Mapping[str, Mapping[str, Any]],
) -> Ties:
    """What ties each row to rows of other products.

    Args:
        merge: the decision.
        rows: with `id` and `domain`.
        ends: see `tied_rows`.
        thresholds: pair of domains -> smallest cosine.
        attributes: attribute -> product -> value, of those named as vetoes.
    """
    evidence, m = merge.evidence, len(merge.evidence.left)
    own, other = np.concatenate(ends), np.concatenate(ends[::-1])
    whose = np.concatenate([evidence.left, evidence.right])
    other_product = np.concatenate([evidence.right, evidence.left])
    twice = np.tile(np.arange(m), 2)
    order = np.lexsort((evidence.kind[twice], other_product, -evidence.strength[twice], own))
    own, other, whose, other_product, at = (one[order] for one in (own, other, whose, other_product, twice))
    columns = {
        "product": pa.array(merge.items.product_ids.tolist(), pa.string()).take(pa.array(other_product)),
        "row": rows["id"].combine_chunks().take(pa.array(other)),
        "kind": pa.array(KINDS, pa.string()).take(pa.array(evidence.kind[at])),
        "score": pa.array(evidence.strength[at], pa.float64()),
        "rule": _rules(evidence, rows["domain"], ends, thresholds).take(pa.array(at)),
        "verdict": pa.array(merge.verdict.tolist(), pa.string()).take(pa.array(at)),
        "detail": _details(merge, at, whose, other_product, attributes),
    }
    start = np.searchsorted(own, np.arange(len(rows) + 1))
    return Ties(start, pa.StructArray.from_arrays(list(columns.values()), fields=list(TIES.value_type)))


def _rules(
    evidence: Evidence,
    domains: pa.ChunkedArray,
    ends: tuple[IntArray, IntArray],
    thresholds: Mapping[DomainPair, float],
) -> pa.Array:
    """Why each score is evidence; of several cuts that a cosine reaches, that of its own domains."""
    words = [_RULES.get(kind, kind) for kind in KINDS]
    chosen = evidence.kind.copy()
    is_cosine = evidence.kind == KINDS.index("embedding")
    code = pc.index_in(domains, pa.array(DOMAINS, pa.string())).to_numpy()
    left, right = (code[end] for end in ends)
    any_of: list[tuple[BoolArray, int]] = []
    for (a, b), cut in thresholds.items():
        is_met = is_cosine & (evidence.strength >= cut)
        one, two = DOMAINS.index(a), DOMAINS.index(b)
        is_own = ((left == one) & (right == two)) | ((left == two) & (right == one))
        any_of = [(is_met, len(words)), *any_of, (is_met & is_own, len(words))]
        words.append(f"a cosine of {cut:g} or more ({a}-{b})")
    for is_met, rule in any_of:
        chosen[is_met] = rule
    return pa.array(words, pa.string()).take(pa.array(chosen))


def _details(
    merge: Merge, at: IntArray, whose: IntArray, other: IntArray, attributes: Mapping[str, Mapping[str, Any]]
) -> pa.Array:
    """The two values of each tie that a veto stopped."""
    found: list[str | None] = [None] * len(at)
    ids = merge.items.product_ids
    is_veto = np.char.startswith(merge.verdict, VETO)[at] if len(at) else np.zeros(0, np.bool_)
    for place in np.flatnonzero(is_veto).tolist():
        values = attributes[str(merge.verdict[at[place]]).removeprefix(VETO)]
        found[place] = f"{values[str(ids[whose[place]])]} and {values[str(ids[other[place]])]}"
    return pa.array(found, pa.string())
