"""How large the sides of a split are, and what leaks between them, for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from rope.curation.pipeline.accounting import Stages, kept_files
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.splitting.leak_audit import KINDS
from rope.curation.splitting.recipe_leaks import audit_split, leaks_refused
from rope.domain import DOMAINS, SPLITS
from rope.sql import parquet_files

__all__ = ["LeakReport", "ShownLeak", "ShownProduct", "SplitReport", "make_split_report"]

_N_LEAKS: Final = 4
_N_PRODUCTS: Final = 4


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
class ShownProduct:
    """A product of one side, and the first row of each domain that it has."""

    product_id: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SplitReport:
    """The sides of a split.

    Attributes:
        sizes: side -> `products`, `categories` and the domains -> how many.
        products: side -> some of its products, the same for the same products.
        leaks: None where they were not looked for.
    """

    sizes: Mapping[str, Mapping[str, int]]
    products: Mapping[str, tuple[ShownProduct, ...]]
    leaks: LeakReport | None

    @property
    def row_ids(self) -> list[str]:
        """The rows that are shown."""
        shown = [row for products in self.products.values() for product in products for row in product.rows]
        leaks = self.leaks.examples if self.leaks else ()
        return shown + [row for leak in leaks for row in (leak.validation_row, leak.train_row)]


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
        products: dict[str, tuple[ShownProduct, ...]] = {side: _products(connection, paths, side) for side in SPLITS}
    found = {side: dict(zip(("products", "categories", *DOMAINS), counts, strict=True)) for side, *counts in rows}
    sizes: dict[str, Mapping[str, int]] = {side: found[side] for side in SPLITS if side in found}
    return SplitReport(sizes, {side: products[side] for side in sizes}, _leaks(recipe, stages) if leaks else None)


def _products(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], side: str) -> tuple[ShownProduct, ...]:
    """The products whose hashed ids are the smallest, so that they are of all kinds."""
    rows = connection.execute(
        f"""SELECT product_id, list(row ORDER BY domain) FROM (
            SELECT product_id, domain, min(id) AS row FROM {parquet_files(paths)} WHERE split = ? GROUP BY ALL
        ) GROUP BY product_id ORDER BY md5(product_id) LIMIT ?""",  # noqa: S608  names of ours
        [side, _N_PRODUCTS],
    ).fetchall()
    return tuple(ShownProduct(product_id, tuple(shown)) for product_id, shown in rows)


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
