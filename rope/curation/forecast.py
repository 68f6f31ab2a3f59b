"""What a recipe will cost on a pool of any size, from what a small part of it has cost; see `rope.curation.measure`.

Every number is a best guess with the 95 % interval of that number on a run of the whole pool: the spread of many draws,
in which the rows that reach a stage, what a row costs and how large files are vary as far as the part leaves them open.
Totals are the totals of the draws. A stage that was not measured is named, and its part of a total is missing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

import numpy as np

from rope.arrays import FloatArray
from rope.curation.cost_laws import RowCost
from rope.curation.measure import Measure, Measures
from rope.errors import UsageError

if TYPE_CHECKING:
    from rope.table import Table

__all__ = [
    "Forecast",
    "Range",
    "StageForecast",
    "annotator_hours",
    "costs_table",
    "forecast",
    "forecast_table",
    "shown_size",
    "shown_time",
    "totals_in_words",
]

_ENDS: Final = (0.025, 0.975)

_DRIFT: Final = 0.1
"""Relative standard deviation of the speed of a machine from one run to the next, the same for all stages of a run;
assumed."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __mul__(self, other: float) -> "Range":
        """So many times the number; not negative."""
        return Range(self.value * other, self.low * other, self.high * other)


@dataclass(frozen=True, slots=True)
class StageForecast:
    """A stage on the whole pool.

    Attributes:
        stage: its name.
        rows_in: rows that reach it.
        kept: rows that it keeps.
        hours: from its beginning to its end; None for a stage that was not measured.
        processor_hours: of all workers together; None as before.
        gigabytes: of the files that it writes; None as before.
        missing: why something was not measured; None where all was.
        assumed: what `kept` takes for granted; None for nothing.
    """

    stage: str
    rows_in: Range
    kept: Range
    hours: Range | None
    processor_hours: Range | None
    gigabytes: Range | None
    missing: str | None
    assumed: str | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of a recipe on a pool.

    Attributes:
        n_rows: rows of the pool.
        n_drawn: rows that the dry run was made with.
        stages: in order.
        hours: of all stages that were measured, one after the other.
        processor_hours: of their workers.
        gigabytes: of all files of the work that were measured.
        workers: processes that `hours` are for.
        media: what -> gigabytes that are not among these, or why they are not known: downloads, the published dataset.
    """

    n_rows: float
    n_drawn: int
    stages: tuple[StageForecast, ...]
    hours: Range
    processor_hours: Range
    gigabytes: Range
    workers: int
    media: dict[str, Range | str]

    def lacking(self, total: str) -> dict[str, str]:
        """The stages that a total lacks, and why.

        Args:
            total: `hours`, `processor_hours` or `gigabytes`.
        """
        return {one.stage: one.missing or "" for one in self.stages if getattr(one, total) is None}


def forecast(measures: Measures, *, workers: int, gpus: int) -> Forecast:
    """What the stages will do.

    Args:
        measures: of the stages in order.
        workers: processes, each as fast as the one of the dry run.
        gpus: accelerators, each as fast as that of the dry run; with 0, stages that want one run on one worker.

    Raises:
        UsageError: a number is out of range.
    """
    if workers < 1 or gpus < 0:
        raise UsageError(f"workers is {workers} and gpus {gpus}; expected at least 1 and 0")
    rng = np.random.default_rng(3)
    n_draws = len(measures.stages[0].kept) - 1
    drift = np.concatenate([[1.0], np.maximum(1 + _DRIFT * rng.standard_normal(n_draws), 0.1)])
    totals = {name: np.zeros(1) for name in ("hours", "processor_hours", "gigabytes")}
    stages = []
    for one in measures.stages:
        slots = max(gpus, 1) if one.needs_gpu else workers
        hours, processor_hours = _elapsed(one, slots, rng), _processor_time(one, slots, rng)
        costs = {
            "hours": None if hours is None else hours * drift,
            "processor_hours": None if processor_hours is None else processor_hours * drift,
            "gigabytes": None if one.n_bytes is None else one.n_bytes / 1e9,
        }
        totals = {name: totals[name] if cost is None else totals[name] + cost for name, cost in costs.items()}
        ranges = {name: None if cost is None else range_of(cost) for name, cost in costs.items()}
        stages.append(
            StageForecast(
                one.stage,
                range_of(one.rows_in),
                range_of(one.kept),
                ranges["hours"],
                ranges["processor_hours"],
                ranges["gigabytes"],
                one.missing,
                one.assumed,
            )
        )
    summed = {name: range_of(total) for name, total in totals.items()}
    media = {
        one.what: one.n_bytes if isinstance(one.n_bytes, str) else range_of(one.n_bytes / 1e9) for one in measures.media
    }
    return Forecast(measures.n_rows, measures.n_drawn, tuple(stages), **summed, workers=workers, media=media)


def range_of(draws: FloatArray) -> Range:
    """The first draw, between the ends that 95 of 100 of the others are within; it is never outside of them itself.

    >>> range_of(np.array([5.0, *range(101)]))
    Range(value=5.0, low=2.5, high=97.5)
    """
    value = float(draws[0])
    if len(draws) == 1:
        return Range(value, value, value)
    low, high = np.quantile(draws[1:], _ENDS).tolist()
    return Range(value, min(low, value), max(high, value))


def _elapsed(one: Measure, slots: int, rng: np.random.Generator) -> FloatArray | None:
    """Hours from the beginning of a stage to its end: shards in turns of as many as there are workers."""
    if one.seconds is None:
        return None
    if not isinstance(one.seconds, RowCost):
        return (one.idle_s + one.seconds.once + one.seconds.draws(one.rows_in, one.n_shards, rng)) / 3600
    turns = math.ceil(one.n_shards / slots) / one.n_shards
    return (one.idle_s + one.seconds.once + turns * one.seconds.draws(one.rows_in, one.n_shards, rng)) / 3600


def _processor_time(one: Measure, slots: int, rng: np.random.Generator) -> FloatArray | None:
    """Hours of all workers, each of which pays what is paid once."""
    if one.processor_seconds is None:
        return None
    if not isinstance(one.processor_seconds, RowCost):
        return (one.processor_seconds.once + one.processor_seconds.draws(one.rows_in, one.n_shards, rng)) / 3600
    once = one.processor_seconds.once * min(slots, one.n_shards)
    return (once + one.processor_seconds.draws(one.rows_in, one.n_shards, rng)) / 3600


def annotator_hours(rows: Range, seconds_per_item: float) -> Range:
    """Hours of people who look at every row once.

    >>> annotator_hours(Range(360, 180, 720), 20).value
    2.0
    """
    return rows * (seconds_per_item / 3600)


def forecast_table(name: str, made: Forecast) -> "Table":
    """The forecast for a terminal."""
    from rich.text import Text

    from rope.table import Table

    table = Table(
        f"{name}: forecast for {made.n_rows:,.0f} rows and {_workers(made.workers)}, from {made.n_drawn:,} of the pool"
    )
    table.add_column("stage")
    table.add_columns("rows kept", "time", "processor time", "files")
    for stage in made.stages:
        kept = f"{stage.kept.value:,.0f} ({stage.kept.low:,.0f} - {stage.kept.high:,.0f})"
        times = (shown_time(one) for one in (stage.hours, stage.processor_hours))
        table.add_row(Text(stage.stage, style="bold"), kept, *times, shown_size(stage.gigabytes))
    return table


def totals_in_words(made: Forecast, people: Range) -> list[str]:
    """The totals, a line each, with what they lack: `planned 5 (4 - 6) s` of a number of workers.

    Args:
        made: the forecast.
        people: hours of annotators.
    """
    totals = [
        (f"time in all with {_workers(made.workers)}", "hours", shown_time(made.hours)),
        ("processor time in all", "processor_hours", shown_time(made.processor_hours)),
        ("files of the work folder in all", "gigabytes", shown_size(made.gigabytes)),
    ]
    lines = []
    for words, total, shown in totals:
        lacking = made.lacking(total)
        lines.append(f"{words}{', without ' + ', '.join(lacking) if lacking else ''}: {shown}")
    for what, size in made.media.items():
        lines.append(f"{what}, in addition: {f'not known: {size}' if isinstance(size, str) else shown_size(size)}")
    lines.append("time of publish: not measured, as it copies media at the speed of disks")
    return [*lines, f"annotators' time: {shown_time(people)}"]


def _workers(n: int) -> str:
    return "1 worker" if n == 1 else f"{n:,} workers"


def costs_table(name: str, measures: Sequence[Measure]) -> "Table":
    """What is paid once, for each shard and for each row, for a terminal."""
    from rich.text import Text

    from rope.table import Table

    table = Table(f"{name}: processor time of one worker, as measured")
    table.add_column("stage")
    table.add_columns("once, s", "a shard, ms", "1,000 rows, s", "shards")
    for one in measures:
        cost, row = one.processor_seconds, ["not measured", "", ""]
        if isinstance(cost, RowCost):
            row = [f"{cost.once:,.2f}", f"{1000 * cost.shard.value:,.1f}", f"{1000 * cost.row.value:,.3g}"]
        elif cost is not None:
            last = cost.points[-1]
            per_row = fmean(last.seconds) / max(last.rows, 1)
            row = [f"{cost.once:,.2f}", "", f"{1000 * per_row:,.3g} at {last.rows:,} rows"]
        table.add_row(Text(one.stage, style="bold"), *row, f"{one.n_shards:,.0f}")
    return table


_TIMES: Final = {"ms": 1 / 3.6e6, "s": 1 / 3600, "min": 1 / 60, "h": 1.0}
_SIZES: Final = {"kB": 1e-6, "MB": 1e-3, "GB": 1.0, "TB": 1e3}
"""Units from the smallest up, in hours and in gigabytes."""


def shown_time(found: Range | None) -> str:
    """Hours in the unit that suits them.

    >>> shown_time(Range(0.00118, 0.0009, 0.0014)), shown_time(Range(30, 20, 40)), shown_time(None)
    ('4.2 (3.2 - 5.0) s', '30 (20 - 40) h', 'not measured')
    """
    return _shown(found, _TIMES)


def shown_size(found: Range | None) -> str:
    """Gigabytes in the unit that suits them.

    >>> shown_size(Range(0.0202, 0.0191, 0.0212))
    '20.2 (19.1 - 21.2) MB'
    """
    return _shown(found, _SIZES)


def _shown(found: Range | None, units: Mapping[str, float]) -> str:
    if found is None:
        return "not measured"
    name = next((name for name in reversed(list(units)) if found.value >= 1.5 * units[name]), next(iter(units)))
    value, low, high = (end / units[name] for end in (found.value, found.low, found.high))
    digits = 0 if value >= 100 or (value >= 10 and value == round(value)) else 1
    return f"{value:,.{digits}f} ({low:,.{digits}f} - {high:,.{digits}f}) {name}"
