"""A merge as tables, for files and reports."""

import numpy as np
import pyarrow as pa

from rope.curation.dedup.evidence import KINDS
from rope.curation.dedup.merge import Merge

__all__ = ["evidence_table", "product_table"]


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
