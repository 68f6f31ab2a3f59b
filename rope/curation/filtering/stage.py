"""Keep rows whose similarity, or any number or word in a column, is what it should be."""

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from rope.config import check_record
from rope.curation.pipeline.ids import as_strings
from rope.curation.pipeline.operation import MapOperation, Outcome, rejects_of
from rope.domain import Domain
from rope.errors import UsageError

__all__ = ["FILTER", "Filter", "as_numbers", "cut_of", "filter_rows"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Options of the operation `filter`.

    Attributes:
        minimum: the default cut; a row that reaches it is kept. None for no lower cut.
        column: the column of numbers, or of words.
        maximum: rows above it are not kept; None for no upper cut.
        allowed: the words that are kept, of a column of words; none of a column of numbers.
        domains: domain -> its cut.
        categories: `category`, or `domain/category` which goes before it -> its cut; both go before that of the domain.

    Raises:
        UsageError: a domain is unknown, or there is nothing to judge by.
    """

    minimum: float | None = None
    column: str = "similarity"
    maximum: float | None = None
    allowed: list[str] = field(default_factory=list)
    domains: dict[Domain, float] = field(default_factory=dict)
    categories: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_record(self)
        if self.minimum is None and (self.domains or self.categories):
            raise UsageError("filter: lacks minimum, the cut of all domains and categories that have none of their own")
        if (self.minimum is not None or self.maximum is not None) == bool(self.allowed):
            raise UsageError("filter: expected minimum or maximum for a column of numbers, or allowed for one of words")


def cut_of(domain: Domain, category: str | None, options: Filter) -> float | None:
    """The lowest number of a row that is kept; None without such a cut.

    >>> options = Filter(0.2, domains={"live": 0.1}, categories={"shoes": 0.3, "live/shoes": 0.15})
    >>> [cut_of(*row, options) for row in (("page", None), ("live", "hats"), ("page", "shoes"), ("live", "shoes"))]
    [0.2, 0.1, 0.3, 0.15]
    """
    by_domain = options.domains.get(domain, options.minimum)
    if category is None:
        return by_domain
    by_category = options.categories.get(category, by_domain)
    return options.categories.get(f"{domain}/{category}", by_category)


def as_numbers(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """As float64, to which whole numbers beyond 2^53, such as nanoseconds, are rounded.

    Raises:
        pa.ArrowException: they are no numbers.
    """
    return pc.cast(column, pa.float64(), safe=not pa.types.is_integer(column.type))


def filter_rows(batch: pa.RecordBatch, options: Filter) -> Outcome:
    """Keep rows at or above their cut and at or below the maximum, or those with an allowed word.

    Rejects `low_COLUMN` and `high_COLUMN`, with the number as score; `no_COLUMN` where it is null or not finite; and
    `other_COLUMN`, with the word as detail.

    Raises:
        UsageError: the column does not exist, or is neither of numbers nor of words.
    """
    if options.column not in batch.schema.names:
        raise UsageError(f"filter: no column {options.column!r}; the rows have {', '.join(batch.schema.names)}")
    if options.allowed:
        return _allowed(batch, options)
    try:
        values = as_numbers(batch[options.column])
    except pa.ArrowException as error:
        raise UsageError(
            f"filter: column {options.column!r} is {batch[options.column].type}, not of numbers"
        ) from error
    known = pc.fill_null(pc.is_finite(values), False)
    cuts = pa.array(
        [
            cut_of(*pair, options)
            for pair in zip(batch["domain"].to_pylist(), batch["category"].to_pylist(), strict=True)
        ],
        pa.float64(),
    )
    is_low = pc.fill_null(pc.less(values, cuts), False)  # without a cut, nothing is below it
    is_high = pc.fill_null(pc.greater(values, pa.scalar(options.maximum, pa.float64())), False)
    is_out = pc.or_(pc.invert(known), pc.or_(is_low, is_high))
    is_kept = pc.invert(is_out)
    outside = pc.if_else(is_low, f"low_{options.column}", f"high_{options.column}")
    reasons = pc.if_else(known, outside, f"no_{options.column}").filter(is_out)
    scores = pc.if_else(known, values, None).filter(is_out)
    return Outcome(batch.filter(is_kept), rejects_of(batch.filter(is_out), reasons.to_pylist(), score=scores))


def _allowed(batch: pa.RecordBatch, options: Filter) -> Outcome:
    words = as_strings(batch[options.column])
    is_kept = pc.is_in(words, pa.array(options.allowed, pa.string()))
    is_out = pc.invert(is_kept)
    reasons = pc.if_else(pc.is_valid(words), f"other_{options.column}", f"no_{options.column}").filter(is_out)
    rejects = rejects_of(batch.filter(is_out), reasons.to_pylist(), detail=words.filter(is_out).to_pylist())
    return Outcome(batch.filter(is_kept), rejects)


FILTER: Final = MapOperation(
    version=2,
    options=Filter,
    apply=filter_rows,
    score_column=lambda options: None if options.allowed else options.column,
    cut=lambda options, domain: (cut_of(domain, None, options), options.maximum),
)
