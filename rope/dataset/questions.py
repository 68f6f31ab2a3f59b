"""Checks over all rows of a dataset: each is a query for the ids of wrong rows."""

# ruff: noqa: S608 -- SQL is put together from configurations, splits and domains, which are closed sets

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from rope.domain import DOMAINS, SPLITS, DomainName, Split, config_of, with_published
from rope.schema import EMPTY_TEXT

__all__ = ["Question", "questions"]

_BLANKS: Final = "' ' || chr(9) || chr(10) || chr(13) || chr(12288)"
"""Blanks in SQL that a release may have around a field; U+3000 is that of Chinese text."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query over the views of `rope.dataset.views`.

    Attributes:
        where: the configuration, and the split where it is about one.
        what: what the rows are that it finds, to be read after their number.
        sql: gives one column with the id of each row in question.
        declared_as: the kind of fault under which the manifest counts such rows, which are wrong only where their
            number is another; None where there should be none.
    """

    where: str
    what: str
    sql: str
    declared_as: str | None = None


def questions(domains: Collection[DomainName] = DOMAINS) -> Iterator[Question]:
    """All questions, in the order of a report.

    Args:
        domains: those that the dataset has; no product is expected to have a sample of another.
    """
    for domain in with_published(domains):
        for split in SPLITS:
            yield from _about_samples(domain, split)
        yield _about_repeats(config_of(domain), "sample_id")
    for split in SPLITS:
        yield from _about_products(split)
    yield _about_repeats("products", "product_id")
    for domain in domains:
        yield _about_missing(domain)


def _about_samples(domain: DomainName, split: Split) -> Iterator[Question]:
    config = config_of(domain)
    view, where = f"{config}_{split}", f"{config}/{split}"
    labels = f"SELECT product_id, sample_id FROM {view}"
    listed = f"SELECT product_id, unnest({domain}_ids) FROM products_{split}"
    yield _about_nulls(view, where, "sample_id", "product_id")
    yield _about_order(view, where, "sample_id")
    yield Question(
        where,
        f"texts are blank or the mark {EMPTY_TEXT}, where null is expected",
        f"SELECT sample_id FROM {view} WHERE trim(text, {_BLANKS}) IN ('', '{EMPTY_TEXT}')",
    )
    yield Question(
        where,
        f"samples are not listed with their product in products/{split}",
        f"SELECT sample_id FROM ({labels} EXCEPT {listed})",
    )
    yield Question(
        f"products/{split}",
        f"listed {domain} ids are not in {where} with that product",
        f"SELECT id FROM ({listed} EXCEPT {labels}) AS listed(product_id, id)",
    )
    yield Question(
        where,
        f"samples have another category than their product in products/{split}",
        f"SELECT sample_id FROM {view} AS sample JOIN products_{split} AS product USING (product_id) "
        "WHERE sample.category IS DISTINCT FROM product.category",
    )


def _about_products(split: Split) -> Iterator[Question]:
    view, where = f"products_{split}", f"products/{split}"
    yield _about_nulls(view, where, "product_id")
    yield _about_order(view, where, "product_id")


def _about_nulls(view: str, where: str, *columns: str) -> Question:
    wrong = " OR ".join(f"{column} IS NULL OR trim({column}) = ''" for column in columns)
    return Question(
        where,
        f"rows have a null or blank {' or '.join(columns)}",
        f"SELECT parse_filename(shard) || ' row ' || file_row_number FROM {view} WHERE {wrong}",
    )


def _about_order(view: str, where: str, column: str) -> Question:
    neighbours = f"SELECT {column} AS id, lag({column}) OVER (ORDER BY shard, file_row_number) AS earlier FROM {view}"
    return Question(
        where,
        f"rows are out of canonical order ({column} by length, then by value)",
        f"SELECT id FROM ({neighbours}) "
        "WHERE length(id) < length(earlier) OR (length(id) = length(earlier) AND id < earlier)",
    )


def _about_repeats(config: str, column: str) -> Question:
    everywhere = " UNION ALL ".join(f"SELECT {column} FROM {config}_{split}" for split in SPLITS)
    return Question(
        config,
        f"{column}s appear more than once, in a split or across {' and '.join(SPLITS)}",
        f"SELECT {column} FROM ({everywhere}) GROUP BY {column} HAVING count(*) > 1",
    )


def _about_missing(domain: DomainName) -> Question:
    everywhere = " UNION ALL ".join(f"SELECT product_id, {domain}_ids AS ids FROM products_{split}" for split in SPLITS)
    return Question(
        "products",
        f"products have no {domain}",
        f"SELECT product_id FROM ({everywhere}) WHERE coalesce(len(ids), 0) = 0",
        declared_as=f"no_{domain}",
    )
