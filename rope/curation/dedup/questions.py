"""What to ask people about a merge: the ties whose answers would change it, or could show it to be wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from rope.curation.dedup.evidence import KINDS
from rope.curation.dedup.merge import MERGED, QUEUED, UNLINKED, VETO, Merge
from rope.curation.dedup.stage import MergeRows, merge_inputs, plan_merge
from rope.curation.dedup.ties import tied_rows

__all__ = ["MergeQuestion", "merge_questions"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MergeQuestion:
    """Two rows of two products that evidence ties.

    Attributes:
        left: id of a row of the one product.
        right: id of a row of the other.
        strength: of the evidence, from 0 to 1.
        kind: of the evidence, one of `rope.curation.dedup.evidence.KINDS`.
        verdict: what became of it, as in `Merge.verdict`.
    """

    left: str
    right: str
    strength: float
    kind: str
    verdict: str


def merge_questions(paths: Sequence[Path], options: MergeRows, below: float | None = None) -> list[MergeQuestion]:
    """The questions that a merge of the rows of some files leaves, the strongest tie of two products first.

    * Of a component that is queued, the strongest ties that hold it together: one less than it has products.
    * Of two groups that complete linkage or vetoes have put apart, the strongest tie between them.
    * Of products that were merged, the ties below a strength, if one is given.

    Args:
        paths: what goes into the stage `merge`.
        options: of that stage.
        below: a strength; None asks about no tie that was merged.
    """
    merge = plan_merge(paths, options)
    rows, products, media = merge_inputs(paths, options)
    ids = rows["id"].to_pylist()
    lefts, rights = (end.tolist() for end in tied_rows(merge, rows, products, media))
    chosen = np.concatenate([_spanning(merge), _between_groups(merge), _weak(merge, below)])
    evidence = merge.evidence
    found = []
    for at in chosen[np.argsort(-evidence.strength[chosen], kind="stable")].tolist():
        left, right = ids[lefts[at]], ids[rights[at]]
        kind, verdict = str(KINDS[evidence.kind[at]]), str(merge.verdict[at])
        found.append(MergeQuestion(left, right, float(evidence.strength[at]), kind, verdict))
    return found


def _strongest(merge: Merge, places: Ints, left: Ints, right: Ints) -> Ints:
    """Of the ties at some places, the strongest of each two ends."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((places, -merge.evidence.strength[places], high, low))
    pairs = np.stack([low, high])[:, order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (np.diff(pairs, axis=1) != 0).any(axis=0)
    return places[order[is_first]]


def _spanning(merge: Merge) -> Ints:
    """The strongest ties that hold the queued components together."""
    evidence, n = merge.evidence, len(merge.group)
    places = np.flatnonzero(merge.verdict == QUEUED)
    places = _strongest(merge, places, merge.group[evidence.left[places]], merge.group[evidence.right[places]])
    ends = merge.group[evidence.left[places]], merge.group[evidence.right[places]]
    tree = minimum_spanning_tree(coo_matrix((2 - evidence.strength[places], ends), shape=(n, n))).tocoo()
    kept = {frozenset(pair) for pair in zip(tree.row.tolist(), tree.col.tolist(), strict=True)}
    is_kept = [frozenset(pair) in kept for pair in zip(*(end.tolist() for end in ends), strict=True)]
    return places[np.array(is_kept, np.bool_)]


def _between_groups(merge: Merge) -> Ints:
    evidence = merge.evidence
    places = np.flatnonzero((merge.verdict == UNLINKED) | np.char.startswith(merge.verdict, VETO))
    return _strongest(merge, places, merge.group[evidence.left[places]], merge.group[evidence.right[places]])


def _weak(merge: Merge, below: float | None) -> Ints:
    evidence = merge.evidence
    places = np.flatnonzero((merge.verdict == MERGED) & (evidence.left != evidence.right))
    best = _strongest(merge, places, evidence.left[places], evidence.right[places])
    return best[evidence.strength[best] < (0.0 if below is None else below)]
