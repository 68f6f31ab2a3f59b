"""What a merge that was run says of one product, from the evidence that it has kept beside the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.dedup.merge import CANNOT_LINK, MERGED, QUEUED, UNLINKED, VETO
from rope.curation.dedup.stage import MERGE, explain_merge
from rope.curation.pipeline.accounting import Stages, kept_files
from rope.curation.pipeline.operation import load_operation
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.runner import finished_stages

__all__ = [
    "Tie",
    "all_ties",
    "in_words",
    "merge_stages",
    "ties_in_words",
    "two_products_in_words",
    "verdict_in_words",
]

_MOST: Final = 20

_VERDICTS: Final = {
    MERGED: "merged",
    CANNOT_LINK: "an answer keeps them apart",
    QUEUED: "their component is above the cap and waits for review",
    UNLINKED: "a product grouped with one of them has no tie to the other",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """Evidence that two products are one, and what became of it; see `rope.curation.dedup.ties.TIES`.

    Attributes:
        left: a product, as it was before merging.
        left_row: the row of it whose media were compared.
        right: another.
        right_row: and its row.
        kind: one of `rope.curation.dedup.evidence.KINDS`.
        score: from 0 to 1.
        rule: by which this is evidence.
        verdict: as in `rope.curation.dedup.merge.Merge`.
        detail: the two values that a veto found, None for another verdict.
    """

    left: str
    left_row: str
    right: str
    right_row: str
    kind: str
    score: float
    rule: str
    verdict: str
    detail: str | None


def merge_stages(recipe: CurationRecipe) -> list[Stage]:
    """The stages of a recipe with the operation merge."""
    return [stage for stage in recipe.stages if load_operation(stage.use) is MERGE]


def all_ties(paths: Sequence[Path], product: str | None = None) -> Iterator[Tie]:
    """The ties that the rows of a stage merge hold: each once, or all of one product as seen from it.

    Args:
        paths: the files that the stage has written.
        product: as it was before merging; None for all.
    """
    for path in paths:
        rows = pq.read_table(path, columns=["id", "product_hint", "ties"])
        rows = rows.filter(pc.is_valid(rows["ties"]))
        owners = pc.coalesce(rows["product_hint"], rows["id"])
        if product is not None:
            is_own = pc.equal(owners, product)
            rows, owners = rows.filter(is_own), owners.filter(is_own)
        for row, owner, ties in zip(*(c.to_pylist() for c in (rows["id"], owners, rows["ties"])), strict=True):
            for tie in ties:
                if product is not None or (owner, row) < (tie["product"], tie["row"]):
                    yield _tie(owner, row, tie)


def _tie(owner: str, row: str, tie: dict[str, Any]) -> Tie:
    rest = {name: tie[name] for name in ("kind", "score", "rule", "verdict", "detail")}
    return Tie(left=owner, left_row=row, right=tie["product"], right_row=tie["row"], **rest)


def in_words(tie: Tie) -> str:
    """A tie as a sentence of `rope curate why`, as seen from its left product.

    >>> tie = Tie(left="7", left_row="p1", right="12", right_row="p2", kind="perceptual", score=0.9712,
    ...           rule="copies of a picture", verdict="veto: brand", detail="Acme and Other")
    >>> in_words(tie)
    'not one with 12: p1 and p2, perceptual 0.9712 (copies of a picture), but their brand differs: Acme and Other'
    """
    evidence = f"{tie.right}: {tie.left_row} and {tie.right_row}, {tie.kind} {tie.score:.4f}"
    evidence += f" ({tie.rule})" if tie.rule != tie.kind else ""
    if tie.verdict == MERGED:
        return f"one with {evidence}"
    return f"not one with {evidence}, but {verdict_in_words(tie)}"


def verdict_in_words(tie: Tie) -> str:
    """What became of a tie, in words."""
    if tie.verdict.startswith(VETO):
        return f"their {tie.verdict.removeprefix(VETO)} differs" + (f": {tie.detail}" if tie.detail else "")
    return _VERDICTS[tie.verdict]


def ties_in_words(stages: Stages, stage: str, row_id: str) -> list[str]:
    """What a stage merge found about the product of a row: a sentence for each tie, the strongest first.

    Args:
        stages: see `rope.curation.pipeline.runner.finished_stages`.
        stage: with the operation merge.
        row_id: a row that it has kept.
    """
    paths = kept_files(stages, stage)
    ties = sorted(all_ties(paths, _product_of(paths, row_id)), key=lambda tie: (tie.verdict != MERGED, -tie.score))
    told = [in_words(tie) for tie in ties[:_MOST]]
    if len(ties) > _MOST:
        told.append(f"and {len(ties) - _MOST:,} ties more; --merged-with PRODUCT tells of one product")
    return told


def _product_of(paths: Sequence[Path], row_id: str) -> str:
    rows = pa.concat_tables(
        pq.read_table(path, columns=["id", "product_hint"], filters=pc.field("id") == row_id) for path in paths
    )
    found: str = rows["product_hint"][0].as_py() or row_id
    return found


def two_products_in_words(recipe: CurationRecipe, one: str, other: str) -> list[str]:
    """Why the stage merge of a recipe that was run has made two products one, or not: a reason, then all ties of them.

    Raises:
        UsageError: the recipe has no such stage, or a product is unknown.
        DatasetError: a stage is not up to date.
    """
    reason = explain_merge(recipe, one, other).reason
    paths = kept_files(finished_stages(recipe), merge_stages(recipe)[-1].name)
    return [reason, *(in_words(tie) for tie in all_ties(paths, one) if tie.right == other)]
