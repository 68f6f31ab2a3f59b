"""The evidence of a merge beside the rows: with which product, by which pictures, at which score, by which rule."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from rope.arrays import IntArray
from rope.curation.dedup.evidence import KINDS, DomainPair
from rope.curation.dedup.merge import VETO, Merge

__all__ = ["TIES", "tied_rows", "ties_by_row"]

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


def tied_rows(
    merge: Merge, rows: pa.Table, products: Iterable[str], media: Iterable[str]
) -> dict[tuple[str, str], tuple[str, str]]:
    """(product, media) of all evidence -> id and domain of the smallest row that shows them.

    Args:
        merge: the decision.
        rows: with `id` and `domain`.
        products: of each row.
        media: the name of the media of each row.
    """
    evidence = merge.evidence
    wanted = {
        _key(merge, product, node, at)
        for product, node in ((evidence.left, evidence.left_node), (evidence.right, evidence.right_node))
        for at in range(len(product))
    }
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for row_id, domain, *key in zip(rows["id"].to_pylist(), rows["domain"].to_pylist(), products, media, strict=True):
        place = (key[0], key[1])
        if place in wanted:
            found[place] = min((row_id, domain), found.get(place, (row_id, domain)))
    return found


def ties_by_row(
    merge: Merge,
    shown: Mapping[tuple[str, str], tuple[str, str]],
    thresholds: Mapping[DomainPair, float],
    attributes: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    """Row -> what ties it to other products, as `TIES` has it.

    Args:
        merge: the decision.
        shown: see `tied_rows`.
        thresholds: pair of domains -> smallest cosine.
        attributes: attribute -> product -> value, of those named as vetoes.
    """
    evidence = merge.evidence
    found: dict[str, list[dict[str, Any]]] = {}
    for at, verdict in enumerate(merge.verdict.tolist()):
        kind, score = str(KINDS[evidence.kind[at]]), float(evidence.strength[at])
        keys = _key(merge, evidence.left, evidence.left_node, at), _key(merge, evidence.right, evidence.right_node, at)
        ends = [(key[0], *shown[key]) for key in keys]
        for (product, row, domain), (other, other_row, other_domain) in (ends, ends[::-1]):
            values = attributes.get(verdict.removeprefix(VETO), {}) if verdict.startswith(VETO) else {}
            tie = {
                "product": other,
                "row": other_row,
                "kind": kind,
                "score": score,
                "rule": _rule(kind, score, (domain, other_domain), thresholds),
                "verdict": verdict,
                "detail": f"{values[product]} and {values[other]}" if values else None,
            }
            found.setdefault(row, []).append(tie)
    for ties in found.values():
        ties.sort(key=lambda tie: (-tie["score"], tie["product"], tie["row"], tie["kind"]))
    return found


def _key(merge: Merge, product: IntArray, node: IntArray, at: int) -> tuple[str, str]:
    """The product and the media at one end of a piece of evidence."""
    return str(merge.items.product_ids[product[at]]), str(merge.items.media[node[at]])


def _rule(kind: str, score: float, domains: Sequence[str], thresholds: Mapping[DomainPair, float]) -> str:
    """Why a score is evidence; of several cuts that it reaches, that of its own domains."""
    if kind != "embedding":
        return _RULES.get(kind, kind)
    met = {pair: cut for pair, cut in thresholds.items() if score >= cut}
    pair = next((pair for pair in met if sorted(pair) == sorted(domains)), next(iter(met), None))
    return "embedding" if pair is None else f"a cosine of {met[pair]:g} or more ({'-'.join(pair)})"
