"""Operations that go wrong on purpose, and one that must see all rows."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_info

from rope.curation.pipeline.operation import (
    NOT_SAMPLED,
    GlobalOperation,
    MapOperation,
    Outcome,
    Reject,
    divide,
    rejects_of,
)


@dataclass(frozen=True)
class Poison:
    """Ids on which the operation raises, kills its worker, or hangs; ids that it rejects.

    If `gate` names a file, rows wait until it exists.
    """

    raises: list[str] = field(default_factory=list)
    segfaults: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)
    loses: list[str] = field(default_factory=list)
    gate: str = ""


def poison(batch: pa.RecordBatch, options: Poison) -> Outcome:
    ids = batch["id"].to_pylist()
    while ids and options.gate and not Path(options.gate).exists():
        time.sleep(0.02)
    for row_id in ids:
        if row_id in options.segfaults:
            os.kill(os.getpid(), signal.SIGSEGV)
        if row_id in options.hangs:
            time.sleep(3600)
        if row_id in options.raises:
            raise ValueError(f"cannot stand {row_id}, {object()}")
    kept = batch.filter(pa.array([row_id not in options.loses for row_id in ids], pa.bool_()))
    lengths = pa.array([len(row_id) for row_id in kept["id"].to_pylist()], pa.int32())
    verdicts = [
        Reject("unwanted", float(len(i)), "as asked") if i in options.rejects else None for i in kept["id"].to_pylist()
    ]
    if "length" not in kept.schema.names:  # a recipe may have it twice
        kept = kept.append_column("length", lengths)
    return divide(kept, verdicts)


@dataclass(frozen=True)
class Half:
    """Keep one row in two, by id; `parts` files come out."""

    parts: int = 1


def half(paths: Sequence[Path], options: Half) -> Iterator[Outcome]:
    table = pa.concat_tables([pq.read_table(path) for path in paths]).sort_by("id").combine_chunks()
    for part in range(options.parts):
        numbers = pa.array(range(table.num_rows), pa.int64())
        own = table.filter(
            pc.equal(pc.subtract(numbers, pc.multiply(pc.divide(numbers, options.parts), options.parts)), part)
        )
        rows = own.to_batches()[0] if own.num_rows else pa.RecordBatch.from_pylist([], schema=own.schema)
        is_kept = pa.array([row % 2 == 0 for row in range(rows.num_rows)], pa.bool_())
        yield Outcome(rows.filter(is_kept), rejects_of(rows.filter(pc.invert(is_kept)), NOT_SAMPLED))


def break_always(batch: pa.RecordBatch, _: Half) -> Outcome:
    raise KeyError("colour")


@dataclass(frozen=True)
class Halve:
    """The last product, by name, is for validation."""


def halve(paths: Sequence[Path], _: Halve) -> Iterator[Outcome]:
    table = pa.concat_tables([pq.read_table(path) for path in paths]).combine_chunks()
    last = pc.max(table["product_hint"])
    split = pc.if_else(pc.equal(table["product_hint"], last), "validation", "train")
    rows = table.append_column("product_id", table["product_hint"]).append_column("split", split).to_batches()[0]
    yield Outcome(rows, rejects_of(rows.slice(0, 0), NOT_SAMPLED))


def prepare_poison(batch: pa.RecordBatch, options: Poison) -> None:
    """Die as a library does that decodes ahead in a thread."""
    if set(batch["id"].to_pylist()) & set(options.segfaults):
        os.kill(os.getpid(), signal.SIGSEGV)


POISON_AHEAD = MapOperation(version=1, options=Poison, apply=poison, announce=prepare_poison)
POISON = MapOperation(version=1, options=Poison, apply=poison, score_column=lambda _: "length")


def score(batch: pa.RecordBatch, _: Halve) -> Outcome:
    values = [int(row_id[1:]) / 1000 for row_id in batch["id"].to_pylist()]
    return divide(batch.append_column("similarity", pa.array(values, pa.float64())), [None] * len(values))


def count_threads(batch: pa.RecordBatch, _: Halve) -> Outcome:
    threads = pa.array([blas_threads()] * batch.num_rows, pa.int64())
    return divide(batch.append_column("threads", threads), [None] * batch.num_rows)


def blas_threads() -> int:
    return max(library["num_threads"] for library in threadpool_info())


THREADS = MapOperation(version=1, options=Halve, apply=count_threads)
SCORE = MapOperation(version=1, options=Halve, apply=score, score_column=lambda _: "similarity")


def fingerprint_of_model(_: Halve) -> str:
    return "weights"


MODELLED = MapOperation(
    version=1,
    options=Halve,
    apply=lambda rows, _: divide(rows, [None] * rows.num_rows),
    fingerprint=lambda options: fingerprint_of_model(options),
    needs_gpu=True,
)
HALVE = GlobalOperation(version=1, options=Halve, apply=halve)
HALF = GlobalOperation(version=1, options=Half, apply=half)
BROKEN = MapOperation(version=1, options=Half, apply=break_always)
NOT_ONE = "a string"
