"""Keep rows whose similarity, or any number in a column, reaches the cut of their domain and category."""

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from rope.config import check_record
from rope.curation.pipeline.operation import MapOperation, Outcome, rejects_of
from rope.domain import Domain
from rope.errors import UsageError

__all__ = ["FILTER", "Filter", "cut_of", "filter_rows"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Options of the operation `filter`.

    Attributes:
        minimum: the cut where no other is given; a row that reaches it is kept.
        column: the column of numbers.
        domains: domain -> its cut.
        categories: `category`, or `domain/category` which goes before it -> its cut; both go before that of the domain.

    Raises:
        UsageError: a domain is unknown.
    """

    minimum: float
    column: str = "similarity"
    domains: dict[Domain, float] = field(default_factory=dict)
    categories: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_record(self)


def cut_of(domain: Domain, category: str | None, options: Filter) -> float:
    """The cut of a row.

    >>> options = Filter(0.2, domains={"live": 0.1}, categories={"shoes": 0.3, "live/shoes": 0.15})
    >>> [cut_of(*row, options) for row in (("page", None), ("live", "hats"), ("page", "shoes"), ("live", "shoes"))]
    [0.2, 0.1, 0.3, 0.15]
    """
    by_domain = options.domains.get(domain, options.minimum)
    if category is None:
        return by_domain
    by_category = options.categories.get(category, by_domain)
    return options.categories.get(f"{domain}/{category}", by_category)


def filter_rows(batch: pa.RecordBatch, options: Filter) -> Outcome:
    """Keep rows at or above their cut.

    Rejects `low_COLUMN`, with the number as score, and `no_COLUMN` where it is null or not finite.

    Raises:
        UsageError: there is no such column of numbers.
    """
    if options.column not in batch.schema.names:
        raise UsageError(f"filter: no column {options.column!r}; the rows have {', '.join(batch.schema.names)}")
    values = pc.cast(batch[options.column], pa.float64())
    known = pc.fill_null(pc.is_finite(values), False)
    cuts = pa.array(
        [
            cut_of(*pair, options)
            for pair in zip(batch["domain"].to_pylist(), batch["category"].to_pylist(), strict=True)
        ],
        pa.float64(),
    )
    is_kept = pc.and_(known, pc.fill_null(pc.greater_equal(values, cuts), False))
    is_out = pc.invert(is_kept)
    reasons = pc.if_else(known, f"low_{options.column}", f"no_{options.column}").filter(is_out)
    scores = pc.if_else(known, values, None).filter(is_out)
    return Outcome(batch.filter(is_kept), rejects_of(batch.filter(is_out), reasons.to_pylist(), score=scores))


FILTER: Final = MapOperation(
    version=1,
    options=Filter,
    apply=filter_rows,
    score_column=lambda options: options.column,
    cut=lambda options, domain: cut_of(domain, None, options),
)
