"""What a stage does to rows: a pure function with a version, options and, for some, a model.

To add one, write a function and a frozen dataclass of its options in any module, and name them in a constant:

    CAPTION = MapOperation(version=1, options=Caption, apply=caption)

A recipe then says `use = "my_module:CAPTION"`.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from rope.domain import Domain
from rope.errors import UsageError

__all__ = [
    "BUILT_IN",
    "NOT_SAMPLED",
    "REJECT_SCHEMA",
    "REPEATED",
    "Earlier",
    "Fate",
    "GlobalOperation",
    "MapOperation",
    "Operation",
    "Outcome",
    "Reject",
    "divide",
    "load_operation",
    "one_batch",
    "rejects_of",
]

Fate = Literal["kept", "rejected", "quarantined", "not sampled"]

NOT_SAMPLED: Final = "not sampled"
"""The reason of a row that no fault kept out; the accounting counts it apart from rejected rows."""

REPEATED: Final = "repeated_id"
"""The reason of a row whose id another row has that went on; with it, an id may be in the pool several times."""

BUILT_IN: Final[Mapping[str, str]] = {
    "deduplicate": "rope.curation.operations.deduplicate:DEDUPLICATE",
    "download": "rope.curation.operations.download:DOWNLOAD",
    "decode": "rope.curation.operations.decode:DECODE",
    "thumbnail": "rope.curation.operations.thumbnail:THUMBNAIL",
    "embed": "rope.curation.operations.embed:EMBED",
    "encode": "rope.curation.operations.encode:ENCODE",
    "quality": "rope.curation.operations.quality:QUALITY",
    "score": "rope.curation.operations.score:SCORE",
    "language": "rope.curation.operations.language:LANGUAGE",
    "filter": "rope.curation.filtering.stage:FILTER",
    "sample": "rope.curation.sampling.stage:SAMPLE",
    "answers": "rope.curation.annotation.stage:ANSWERS",
    "merge": "rope.curation.dedup.stage:MERGE",
    "split": "rope.curation.splitting.stage:SPLIT",
}
"""Short name in a recipe -> module and constant."""

REJECT_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("reason", pa.string()),
        ("score", pa.float64()),
        ("detail", pa.string()),
    ]
)
"""Rows that an operation does not keep: why, the number that decided it or null, and what else there is to say."""

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Reject:
    """Why one row is not kept.

    Attributes:
        reason: one of a few words, counted in reports: `low_similarity`.
        score: the number that decided it; None where none did.
        detail: the particulars of this row; None where the reason says all.
    """

    reason: str
    score: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some rows: each is in one of the two.

    Attributes:
        kept: rows that go on, with at least `id` and `domain`; its schema does not depend on the rows.
        rejects: the others, in `REJECT_SCHEMA`.
        notes: what a global operation measured of its own work, such as the recall of a search: plain values for the
            manifest, the same in every run.
    """

    kept: pa.RecordBatch
    rejects: pa.RecordBatch
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MapOperation(Generic[Options]):
    """An operation on rows of which none depends on another.

    Attributes:
        version: higher after each change that alters what comes out; part of the key of a shard.
        options: frozen dataclass; its fields are the options in a recipe, checked at its birth.
        apply: from any number of rows, also none, to their outcome. It is pure: the outcome of a row depends on the row
            and the options alone, not on its neighbours, the process or the clock.
        fingerprint: hash of what the options name but do not hold, such as the weights of a model.
        score_column: name of the kept column that holds the score of a row, for the report; None where there is none.
        cut: the lowest and the highest score that is kept of a domain, for the report; None for no such bound.
        needs_gpu: it is run by as many processes as there are accelerators, and each keeps its model.
        announce: told which rows `apply` will get after those that it has, so that they can be prepared meanwhile; see
            `rope.curation.pipeline.ahead`. It changes nothing that comes out.
    """

    version: int
    options: type[Options]
    apply: Callable[[pa.RecordBatch, Options], Outcome]
    fingerprint: Callable[[Options], str] | None = None
    score_column: Callable[[Options], str | None] | None = None
    cut: Callable[[Options, Domain], tuple[float | None, float | None]] | None = None
    needs_gpu: bool = False
    announce: Callable[[pa.RecordBatch, Options], None] | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the same stage of the previous run has decided, for a stage whose decisions stay.

    Attributes:
        run: name of the previous run, which is that of its folder of work.
        given: Parquet files of the rows that the stage got then.
        kept: of those that it kept.
        rejects: of the others, with their reasons.
    """

    run: str
    given: Sequence[Path]
    kept: Sequence[Path]
    rejects: Sequence[Path]


@dataclass(frozen=True, slots=True)
class GlobalOperation(Generic[Options]):
    """An operation that must see all rows, such as the last cut of a sample, a merge or a split.

    Attributes:
        version: see `MapOperation`.
        options: see `MapOperation`.
        apply: from the Parquet files of all rows, in the order of the pool, to outcomes; each outcome becomes one shard
            of the next stage. Which rows come out, and where, follows from the rows and the options alone; sorting
            by id makes it independent of the order of the pool.
        fingerprint: see `MapOperation`.
        apply_after: the same, where the previous run has decided about some of the rows; None for an operation that
            decides anew about all of them.
        settled: options that the previous run must have had too, for its decisions to stay.
    """

    version: int
    options: type[Options]
    apply: Callable[[Sequence[Path], Options], Iterable[Outcome]]
    fingerprint: Callable[[Options], str] | None = None
    apply_after: Callable[[Sequence[Path], Options, Earlier], Iterable[Outcome]] | None = None
    settled: tuple[str, ...] = ()


Operation = MapOperation[Any] | GlobalOperation[Any]


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as the one batch that an outcome holds."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


def rejects_of(
    rows: pa.RecordBatch,
    reason: str | Sequence[str],
    *,
    score: Sequence[float | None] | pa.Array | None = None,
    detail: Sequence[str | None] | None = None,
) -> pa.RecordBatch:
    """The rejects of all of some rows.

    Args:
        rows: with `id` and `domain`.
        reason: one for all, or one for each row.
        score: one for each row, or none at all.
        detail: one for each row, or none at all.

    >>> rows = pa.RecordBatch.from_pydict({"id": ["1", "2"], "domain": ["page", "live"]})
    >>> rejects_of(rows, "low_similarity", score=[0.1, None]).to_pylist()[0]
    {'id': '1', 'domain': 'page', 'reason': 'low_similarity', 'score': 0.1, 'detail': None}
    """
    n = rows.num_rows
    columns = [
        rows["id"],
        rows["domain"],
        pa.repeat(reason, n) if isinstance(reason, str) else pa.array(list(reason), pa.string()),
        pa.nulls(n, pa.float64()) if score is None else pa.array(score, pa.float64()),
        pa.nulls(n, pa.string()) if detail is None else pa.array(detail, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=REJECT_SCHEMA)


def divide(batch: pa.RecordBatch, verdicts: Sequence[Reject | None]) -> Outcome:
    """Keep the rows whose verdict is None, and reject the others.

    >>> rows = pa.RecordBatch.from_pydict({"id": ["1", "2"], "domain": ["page", "live"]})
    >>> outcome = divide(rows, [None, Reject("too_small", 12.0)])
    >>> outcome.kept["id"].to_pylist(), outcome.rejects["reason"].to_pylist()
    (['1'], ['too_small'])
    """
    mask = pa.array([verdict is None for verdict in verdicts], pa.bool_())
    found = [verdict for verdict in verdicts if verdict is not None]
    rejects = rejects_of(
        batch.select(["id", "domain"]).filter(pc.invert(mask)),
        [verdict.reason for verdict in found],
        score=[verdict.score for verdict in found],
        detail=[verdict.detail for verdict in found],
    )
    return Outcome(batch.filter(mask) if found else batch, rejects)


def load_operation(use: str) -> Operation:
    """The operation of a short name, or of `module:CONSTANT`.

    A module is looked for in Python's path and then in the current folder.

    >>> load_operation("decode").version >= 1
    True

    Raises:
        UsageError: the name, module or constant does not exist, or it is not an operation.
    """
    module_name, _, constant = BUILT_IN.get(use, use).partition(":")
    if not constant:
        raise UsageError(f"no operation {use!r}; expected one of {', '.join(BUILT_IN)}, or module:CONSTANT")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that a file there hides no installed module
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(f"operation {use!r}: no module {error.name!r} in Python's path or in {here}") from error
    operation = getattr(module, constant, None)
    if not isinstance(operation, MapOperation | GlobalOperation):
        raise UsageError(f"operation {use!r}: {constant} of {module_name} is not a MapOperation or GlobalOperation")
    return operation
