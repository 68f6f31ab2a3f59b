"""What is asked next: items from the rows of a recipe that was run, and those that answers leave open."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from rope.curation.annotation.again import plan_again
from rope.curation.annotation.batches import BatchOptions, NearCut, TaskBatch, plan_batches, read_batches
from rope.curation.annotation.from_rows import name_items, pair_items, read_gold, read_rows, row_pairs, with_gold
from rope.curation.annotation.items import Item, Question
from rope.curation.annotation.ledger import read_ledger
from rope.curation.annotation.precision import Precision, claims_of, digest_of, draw_claims, measure_precision
from rope.curation.dedup.questions import merge_questions
from rope.curation.dedup.stage import MergeRows
from rope.curation.pipeline.accounting import Stages, kept_files
from rope.curation.pipeline.recipe import CurationRecipe, cut_recipe, stages_of
from rope.curation.pipeline.runner import POOL_STAGE, finished_stages
from rope.errors import UsageError

__all__ = ["LEDGER", "MEDIA", "ExportOptions", "audited_precision", "plan_export"]

MEDIA: Final = "media"
"""The folder of media that the pool holds inside its rows, beside the batches."""

LEDGER: Final = "ledger"
"""The folder of answers, beside the batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What to ask.

    Attributes:
        question: see `rope.curation.annotation.items.Question`.
        stage: whose kept rows; None for those that answers are applied to, or else the last.
        gold: CSV of known answers.
        near: choose items by their score near a cut; None asks about all.
        column: of that score.
        below: of a merge, ask about merged ties that are weaker too; None asks about none.
        count: items of an audit.
        batches: how items become batches.
    """

    question: Question
    stage: str | None = None
    gold: Path | None = None
    near: NearCut | None = None
    column: str = "similarity"
    below: float | None = None
    count: int = 400
    batches: BatchOptions


def plan_export(recipe: CurationRecipe, folder: Path, options: ExportOptions) -> list[TaskBatch]:
    """The batches that are due: what was not asked yet, and what is open although all have answered.

    Args:
        recipe: run as far as the rows that are asked about.
        folder: of earlier batches and the ledger.
        options: what to ask.

    Raises:
        UsageError: a stage, a column or people are missing.
        DatasetError: the recipe was not run so far.
    """
    earlier = read_batches(folder)
    again = [
        batch
        for batch in plan_again(earlier, read_ledger(folder / LEDGER), options.batches)
        if batch.question == options.question
    ]
    asked = frozenset(task.item.task_id for batch in earlier for task in batch.tasks)
    if options.question == "precision":
        return [*_audit(recipe, folder / MEDIA, earlier, options), *again]
    pairs = {task.item.item_id for batch in earlier for task in batch.tasks if task.item.question == "same_product"}
    items = _items(recipe, folder / MEDIA, options, pairs)
    known = with_gold(items, read_gold(options.gold) if options.gold else {})
    if options.near is not None:
        near = options.near
        known = [item for item in known if item.gold is not None or near.takes(item)]
    new = plan_batches(known, asked, options.batches)
    return [*(replace(batch, near=options.near) for batch in new), *again]


def _items(recipe: CurationRecipe, media: Path, options: ExportOptions, asked: Collection[str]) -> list[Item]:
    if options.question == "merge":
        return _merge_items(recipe, media, options)
    stage = options.stage or _asked_stage(recipe)
    score = options.column if options.near else None
    rows = read_rows(kept_files(_stages(recipe, stage), stage), media, score=score)
    return list(pair_items(rows, asked) if options.question == "same_product" else name_items(rows))


def _stages(recipe: CurationRecipe, last: str) -> Stages:
    return finished_stages(cut_recipe(recipe, last))


def _before(recipe: CurationRecipe, stage: str) -> str:
    names = [POOL_STAGE, *(one.name for one in recipe.stages)]
    return names[names.index(stage) - 1]


def _asked_stage(recipe: CurationRecipe) -> str:
    """The stage whose rows answers are applied to; the last where none are."""
    applying = stages_of(recipe, "answers")
    return _before(recipe, applying[0].name) if applying else recipe.stages[-1].name


def _merge_items(recipe: CurationRecipe, media: Path, options: ExportOptions) -> list[Item]:
    merging = stages_of(recipe, "merge")
    if not merging:
        raise UsageError(f"{recipe.name}: has no stage merge to ask about")
    stage = merging[0]
    before = _before(recipe, stage.name)
    paths = kept_files(_stages(recipe, before), before)
    questions = merge_questions(paths, MergeRows(**stage.options), options.below)
    pairs = list(dict.fromkeys((one.left, one.right) for one in questions))
    only = {row_id for pair in pairs for row_id in pair}
    return list(row_pairs("merge", read_rows(paths, media, only=only), pairs))


def audited_precision(recipe: CurationRecipe, folder: Path) -> Precision:
    """The precision of what a recipe keeps in the end, from the audit in a folder of batches and answers.

    Raises:
        UsageError: the rows have no product ids.
        DatasetError: the recipe was not run to its end, or as `rope.curation.annotation.precision.measure_precision`.
    """
    claims = claims_of(_with_products(_last_rows(recipe), recipe))
    return measure_precision(read_batches(folder), read_ledger(folder / LEDGER), claims)


def _last_rows(recipe: CurationRecipe) -> list[Path]:
    return kept_files(finished_stages(recipe), recipe.stages[-1].name)


def _audit(
    recipe: CurationRecipe, media: Path, earlier: Sequence[TaskBatch], options: ExportOptions
) -> list[TaskBatch]:
    """The audit of the dataset as it is; none where it was exported before."""
    paths = _last_rows(recipe)
    claims = claims_of(_with_products(paths, recipe))
    population = digest_of(claims)
    if any(batch.population == population for batch in earlier):
        return []
    drawn = draw_claims(claims, options.count, options.batches.seed)
    pairs = [(claim.reference, claim.row) for claim in drawn]
    only = {row_id for pair in pairs for row_id in pair}
    items = row_pairs("precision", read_rows(paths, media, only=only), pairs)
    planned = plan_batches(items, frozenset(), options.batches)
    return [
        replace(batch, name=f"{batch.name}-{population[:6]}", population=population, n_population=len(claims))
        for batch in planned
    ]


def _with_products(paths: Sequence[Path], recipe: CurationRecipe) -> list[dict[str, Any]]:
    names = ["id", "domain", "product_id"]
    there = all("product_id" in pq.read_schema(path).names for path in paths)
    rows = [row for path in paths if there for row in pq.read_table(path, columns=names).to_pylist()]
    if not there or any(row["product_id"] is None for row in rows):
        raise UsageError(f"{recipe.name}: its rows have no product_id; end the recipe with the stages merge and split")
    return rows
