"""Describe a dataset directory: sizes, categories, texts, frames, and how many samples its products have."""

# ruff: noqa: S608 -- SQL is put together from configurations, splits and domains, which are closed sets

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import duckdb

from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.dataset.views import open_views
from rope.domain import SPLITS, DomainName, Split, config_of, with_published
from rope.files import AnyPath
from rope.table import Table

__all__ = ["CategorySize", "Description", "DomainFacts", "Spread", "describe", "sizes", "tables"]

N_CATEGORIES: Final = 20
"""How many categories are shown, the largest first."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, the median (the lower of two) and the largest of some counts; zeros where there are none."""

    minimum: int
    median: int
    maximum: int


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """The samples of one domain in one split.

    Attributes:
        split: the split.
        domain: the domain.
        n_samples: how many there are.
        share_without_text: fraction of samples with a null text; 0 without samples.
        text_median: characters of the texts that are there.
        text_p95: 95th percentile of the same.
        text_max: the longest of them.
        frames: frames of a sample.
        of_product: samples of a product.
    """

    split: Split
    domain: DomainName
    n_samples: int
    share_without_text: float
    text_median: int
    text_p95: int
    text_max: int
    frames: Spread
    of_product: Spread


@dataclass(frozen=True, slots=True)
class CategorySize:
    """A category, None for products without one: its products, and its samples by domain, of both splits."""

    name: str | None
    n_products: int
    n_samples: dict[DomainName, int]


@dataclass(frozen=True, slots=True)
class Description:
    """The facts that `rope info` shows.

    Attributes:
        manifest: of the directory.
        n_bytes: of all shards.
        facts: of each split and domain that has a product.
        categories: the largest first, then by name.
    """

    manifest: DatasetManifest
    n_bytes: int
    facts: tuple[DomainFacts, ...]
    categories: tuple[CategorySize, ...]


def describe(directory: AnyPath) -> Description:
    """Describe a dataset directory; texts, times and ids are read, images are not.

    Raises:
        DatasetError: the directory is not a finished dataset.
    """
    manifest = read_manifest(directory)
    domains = with_published(manifest.domains)
    with open_views(directory, manifest) as connection:
        facts = tuple(
            _facts(connection, split, domain) for split in SPLITS if split in manifest.counts for domain in domains
        )
        categories = tuple(_categories(connection, domains))
    return Description(manifest, sum(shard.bytes for shard in manifest.shards.values()), facts, categories)


def sizes(manifest: DatasetManifest) -> dict[str, str]:
    """The rows of each split in words: `{"train": "61 products, 179 pages, ..."}`."""
    return {
        split: ", ".join(f"{manifest.counts[split].get(config, 0):,} {config}" for config in manifest.configs)
        for split in SPLITS
        if split in manifest.counts
    }


def tables(description: Description) -> Iterator[Table]:
    """The description as tables for a terminal."""
    yield _overview_table(description)
    yield _facts_table(description.facts)
    yield _category_table(description)


def _facts(connection: duckdb.DuckDBPyConnection, split: Split, domain: DomainName) -> DomainFacts:
    samples = f"{config_of(domain)}_{split}"
    texts, frames, of_product = (
        _Counts(dict(connection.execute(f"SELECT {value}, count(*) FROM {view} GROUP BY ALL").fetchall()))
        for value, view in (
            ("length(text)", samples),
            ("len(frame_times)", samples),
            (f"len({domain}_ids)", f"products_{split}"),
        )
    )
    n = sum(texts.counts.values())
    without = texts.counts.get(None, 0) / n if n else 0.0
    spreads = (Spread(found.at(0), found.at(0.5), found.at(1)) for found in (frames, of_product))
    return DomainFacts(split, domain, n, without, texts.at(0.5), texts.at(0.95), texts.at(1), *spreads)


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often each number occurs, None for null: in memory that does not grow with the samples."""

    counts: dict[int | None, int]

    def at(self, share: float) -> int:
        """The least number that so large a share of those that are not null does not exceed; 0 where there are none.

        >>> [_Counts({3: 1, 5: 2, 9: 1, None: 7}).at(share) for share in (0, 0.25, 0.5, 0.95, 1)]
        [3, 3, 5, 9, 9]
        """
        found = sorted((number, count) for number, count in self.counts.items() if number is not None)
        rank = max(1, ceil(share * sum(count for _, count in found)))
        for number, count in found:
            rank -= count
            if rank <= 0:
                return number
        return 0


def _categories(connection: duckdb.DuckDBPyConnection, domains: Sequence[DomainName]) -> Iterator[CategorySize]:
    sums = ", ".join(f"coalesce(sum(len({domain}_ids)), 0)::BIGINT" for domain in domains)
    products = " UNION ALL ".join(f"SELECT * FROM products_{split}" for split in SPLITS)
    rows = connection.execute(
        f"SELECT category, count(*), {sums} FROM ({products}) GROUP BY category ORDER BY count(*) DESC, category"
    ).fetchall()
    for name, n_products, *n_samples in rows:
        yield CategorySize(name, n_products, dict(zip(domains, n_samples, strict=True)))


def _overview_table(description: Description) -> Table:
    manifest = description.manifest
    table = Table(manifest.name, show_header=False)
    table.add_column()
    table.add_column()
    table.add_row("fingerprint", manifest.fingerprint)
    table.add_row("images", {"embed": "embedded", "reference": "paths of files elsewhere"}[manifest.media])
    table.add_row("shards", f"{len(manifest.shards):,} files, {description.n_bytes:,} bytes")
    for split, shown in sizes(manifest).items():
        table.add_row(split, shown)
    for fault, count in sorted(manifest.faults.items()):
        table.add_row("fault of the source", f"{fault}: {count:,}")
    return table


def _facts_table(facts: tuple[DomainFacts, ...]) -> Table:
    table = Table("Samples (texts in characters; spreads as minimum / median / maximum)", n_keys=2)
    for heading in ("split", "domain"):
        table.add_column(heading)
    table.add_columns("samples", "no text", "text median", "p95", "longest", "frames", "of a product")
    for row in facts:
        table.add_row(
            row.split,
            row.domain,
            f"{row.n_samples:,}",
            f"{row.share_without_text:.1%}",
            *(f"{length:,}" for length in (row.text_median, row.text_p95, row.text_max)),
            _shown(row.frames),
            _shown(row.of_product),
            end_section=row.domain == facts[-1].domain,
        )
    return table


def _category_table(description: Description) -> Table:
    categories = description.categories
    shown = categories[:N_CATEGORIES]
    table = Table(f"Categories ({len(shown)} of {len(categories)}, both splits)")
    table.add_column("category")
    table.add_columns(*description.manifest.configs)
    for category in shown:
        sizes = (category.n_products, *category.n_samples.values())
        table.add_row(category.name or "(none)", *(f"{size:,}" for size in sizes))
    return table


def _shown(spread: Spread) -> str:
    return f"{spread.minimum:,} / {spread.median:,} / {spread.maximum:,}"
