"""A merge as tables, for files and reports."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.curation.dedup.evidence import KINDS
from rope.curation.dedup.merge import MERGED, Merge

__all__ = ["evidence_table", "group_table", "product_table"]


def evidence_table(merge: Merge) -> pa.Table:
    """All evidence with its verdict: `left, right, kind, strength, left_media, right_media, verdict`."""
    items, evidence = merge.items, merge.evidence
    return pa.table(
        {
            "left": items.product_ids[evidence.left],
            "right": items.product_ids[evidence.right],
            "kind": np.asarray(KINDS)[evidence.kind],
            "strength": evidence.strength,
            "left_media": items.media[evidence.left_node],
            "right_media": items.media[evidence.right_node],
            "verdict": merge.verdict,
        }
    )


def product_table(merge: Merge) -> pa.Table:
    """The map from every product to its group: `product_id, group_id, component_id, queued`.

    To undo a merge, forget the group ids; to take one apart for good, add a cannot-link label and merge again.
    """
    ids = merge.items.product_ids
    return pa.table(
        {
            "product_id": ids,
            "group_id": merge.group_ids,
            "component_id": ids[merge.component],
            "queued": merge.queued,
        }
    )


def group_table(merge: Merge) -> pa.Table:
    """Groups of two products or more: `group_id, size, pairs, least, median`.

    `pairs` counts the pairs of products that evidence ties, at most size * (size - 1) / 2; `least` and `median` are of
    the greatest strength of each such pair, null where labels alone made the group.
    """
    group, size = np.unique(merge.group, return_counts=True)
    group, size = group[size > 1], size[size > 1]
    owner, strength = _pair_strengths(merge)
    starts, ends = np.searchsorted(owner, group), np.searchsorted(owner, group, side="right")
    spans = [strength[start:end] for start, end in zip(starts, ends, strict=True)]
    return pa.table(
        {
            "group_id": merge.items.product_ids[group],
            "size": size,
            "pairs": ends - starts,
            "least": pa.array([float(span.min()) if len(span) else None for span in spans], pa.float64()),
            "median": pa.array([float(np.median(span)) if len(span) else None for span in spans], pa.float64()),
        }
    )


def _pair_strengths(merge: Merge) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Group and greatest strength of each merged pair of products, ordered by group."""
    found = merge.evidence
    rows = np.flatnonzero(merge.verdict == MERGED)
    order = rows[np.lexsort((found.strength[rows], found.right[rows], found.left[rows]))]
    pairs = np.stack([found.left[order], found.right[order]])
    last = np.ones(len(order), np.bool_)
    last[:-1] = (np.diff(pairs, axis=1) != 0).any(axis=0)
    order = order[last]
    order = order[np.argsort(merge.group[found.left[order]], kind="stable")]
    return merge.group[found.left[order]], found.strength[order]
