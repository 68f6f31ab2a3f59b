"""How large the sides of a split are, and what leaks between them, for the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import duckdb

from rope.curation.pipeline.accounting import Stages, kept_files
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.splitting.leak_audit import KINDS
from rope.curation.splitting.recipe_leaks import audit_split, leaks_refused
from rope.domain import DOMAINS, SPLITS
from rope.sql import parquet_files

__all__ = ["LeakReport", "ShownLeak", "SplitReport", "make_split_report"]

_N_LEAKS: Final = 4


@dataclass(frozen=True, slots=True)
class ShownLeak:
    """A validation sample, a training sample of another product, and what they share."""

    kind: str
    validation_row: str
    train_row: str
    cosine: float | None


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What the leak audit found.

    Attributes:
        leaking: kind -> validation samples with a leak; None for near samples that were not searched.
        accepted: kind -> how many the recipe accepts.
        refused: a sentence for each kind of which there are more.
        examples: of each kind the first leaks, the nearest first.
    """

    leaking: Mapping[str, int | None]
    accepted: Mapping[str, int]
    refused: tuple[str, ...]
    examples: tuple[ShownLeak, ...]


@dataclass(frozen=True, slots=True)
class SplitReport:
    """The sides of a split.

    Attributes:
        sizes: side -> `products`, `categories` and the domains -> how many.
        leaks: None where they were not looked for.
    """

    sizes: Mapping[str, Mapping[str, int]]
    leaks: LeakReport | None

    @property
    def row_ids(self) -> list[str]:
        """The rows that are shown."""
        shown = self.leaks.examples if self.leaks else ()
        return [row for leak in shown for row in (leak.validation_row, leak.train_row)]


def make_split_report(recipe: CurationRecipe, stages: Stages, *, leaks: bool) -> SplitReport:
    """Count what the rows of the last stage say, and look for leaks, if asked to.

    Raises:
        DatasetError: some rows have an embedding and others none.
    """
    counted = ", ".join(f"count(*) FILTER (WHERE domain = '{domain}')" for domain in DOMAINS)
    paths = kept_files(stages, list(stages)[-1])
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"""SELECT split, count(DISTINCT product_id), count(DISTINCT category), {counted}
            FROM {parquet_files(paths)} GROUP BY split"""  # noqa: S608  names of ours
        ).fetchall()
    found = {side: dict(zip(("products", "categories", *DOMAINS), counts, strict=True)) for side, *counts in rows}
    sizes: dict[str, Mapping[str, int]] = {side: found[side] for side in SPLITS if side in found}
    return SplitReport(sizes, _leaks(recipe, stages) if leaks else None)


def _leaks(recipe: CurationRecipe, stages: Stages) -> LeakReport:
    audit = audit_split(recipe, stages)
    is_searched = audit.threshold is not None
    leaking: dict[str, int | None] = {
        kind: n if kind != "near" or is_searched else None for kind, n in audit.leaking().items()
    }
    rows = audit.leaks.to_pylist()
    examples = []
    for kind in KINDS:
        own = sorted((row for row in rows if row["kind"] == kind), key=lambda row: -(row["cosine"] or 0))
        examples += [ShownLeak(kind, row["validation_id"], row["train_id"], row["cosine"]) for row in own[:_N_LEAKS]]
    accepted: dict[str, int] = {kind: n for kind, n in recipe.leaks.accepted.items() if n}
    return LeakReport(leaking, accepted, tuple(leaks_refused(audit, recipe.leaks)), tuple(examples))
