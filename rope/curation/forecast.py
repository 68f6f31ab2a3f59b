"""What a recipe will cost on a pool of any size, from what a small hashed part of it has cost.

Shares of rows are known as well as a simple random sample tells them (Wilson's interval); seconds a row as well as the
shards of the dry run agree (Student's t). An interval of a product is made of the ends of both, so it is too wide
rather than too narrow. What a stage does that must see all rows cannot be seen in a part: a sample keeps what its
options say, any other stage every row, and the time of these is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Final

from scipy.special import stdtrit

from rope.errors import UsageError

if TYPE_CHECKING:
    from rope.table import Table

__all__ = ["Forecast", "Measure", "Range", "StageForecast", "annotator_hours", "forecast", "forecast_table", "wilson"]

_Z: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Range:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __mul__(self, other: "Range | float") -> "Range":
        """The product, end by end, of numbers that are not negative."""
        if not isinstance(other, Range):
            return Range(self.value * other, self.low * other, self.high * other)
        return Range(self.value * other.value, self.low * other.low, self.high * other.high)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a dry run has seen of a stage.

    Attributes:
        stage: its name.
        n_rows: rows of the pool that were drawn.
        n_in: of these, rows that reached the stage; `n_rows` or fewer.
        n_kept: rows that the stage has kept; those that reached it where it must see all rows.
        rate: share of its rows that a sampling stage keeps by its options; 1 for any other stage.
        count: of the rows that a sampling stage keeps by its options, instead of `rate`; None for any other.
        seconds: of one worker for a row, in each shard; empty for a stage that was left out.
        bytes_in_work: of what the stage writes, kept rows and others together.
        needs_gpu: whether it runs on accelerators where there are any.
    """

    stage: str
    n_rows: int
    n_in: int
    n_kept: int
    rate: float
    count: int | None
    seconds: tuple[float, ...]
    bytes_in_work: int
    needs_gpu: bool


@dataclass(frozen=True, slots=True)
class StageForecast:
    """A stage on the whole pool.

    Attributes:
        stage: its name.
        kept: rows.
        worker_hours: of all workers together; None for a stage that was left out of the dry run.
        hours: from its beginning to its end; None as before.
        gigabytes: of the files that it writes.
    """

    stage: str
    kept: Range
    worker_hours: Range | None
    hours: Range | None
    gigabytes: Range


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of a recipe on a pool.

    Attributes:
        n_rows: rows of the pool.
        n_drawn: rows that the dry run was made with.
        stages: in order.
    """

    n_rows: float
    n_drawn: int
    stages: tuple[StageForecast, ...]

    @property
    def hours(self) -> Range:
        """Of all stages that were measured, one after the other."""
        return _sum([stage.hours for stage in self.stages if stage.hours is not None])

    @property
    def gigabytes(self) -> Range:
        """Of all files of the work."""
        return _sum([stage.gigabytes for stage in self.stages])


def forecast(measures: Sequence[Measure], n_rows: float, *, workers: int, gpus: int) -> Forecast:
    """What the stages will do with `n_rows` rows.

    Args:
        measures: of the stages in order.
        n_rows: of the whole pool.
        workers: processes, each as fast as the one of the dry run.
        gpus: accelerators, each as fast as that of the dry run; with 0, stages that want one run on one worker.

    >>> decode = Measure("decode", 1000, 1000, 900, 1.0, None, (0.01, 0.012, 0.011), 50_000, False)
    >>> sample = Measure("sample", 1000, 900, 900, 0.01, None, (), 45_000, False)
    >>> made = forecast([decode, sample], 1e6, workers=4, gpus=0)
    >>> [round(stage.kept.value) for stage in made.stages], round(made.hours.value, 2)
    ([900000, 9000], 0.76)

    Raises:
        UsageError: a number is out of range, or no row was drawn.
    """
    if n_rows < 1 or workers < 1 or gpus < 0 or not measures or measures[0].n_rows < 1:
        raise UsageError(
            f"rows is {n_rows:g}, workers {workers} and gpus {gpus}; expected at least 1, 1 and 0, and a pool with rows"
        )
    stages, sampled = [], 1.0
    for one in measures:
        rows_in = wilson(one.n_in, one.n_rows) * (n_rows * sampled)
        sampled *= one.rate if one.count is None else min(1.0, one.count / max(rows_in.value, 1.0))
        kept = wilson(one.n_kept, one.n_rows) * (n_rows * sampled)
        worker_hours = rows_in * (_mean(one.seconds) * (1 / 3600)) if one.seconds else None
        at_a_time = max(gpus, 1) if one.needs_gpu else workers
        hours = worker_hours * (1 / at_a_time) if worker_hours else None
        written = rows_in if one.seconds else kept
        gigabytes = written * (one.bytes_in_work / max(one.n_in, 1) / 1e9)
        stages.append(StageForecast(one.stage, kept, worker_hours, hours, gigabytes))
    return Forecast(n_rows, measures[0].n_rows, tuple(stages))


def wilson(n_hits: int, n: int) -> Range:
    """A share and Wilson's 95 % interval.

    >>> wilson(0, 100).high.__round__(3), wilson(50, 100).low.__round__(3)
    (0.037, 0.404)
    """
    share, spread = n_hits / n, _Z * _Z / n
    centre = (share + spread / 2) / (1 + spread)
    reach = _Z * math.sqrt(share * (1 - share) / n + spread / n / 4) / (1 + spread)
    return Range(share, max(centre - reach, 0.0) if n_hits else 0.0, min(centre + reach, 1.0) if n_hits < n else 1.0)


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

    title = f"{name}: forecast for {made.n_rows:,.0f} rows, from {made.n_drawn:,} of the pool"
    table = Table(title)
    table.add_column("stage")
    table.add_columns("rows kept", "95 %", "worker hours", "hours", "GB")
    for stage in made.stages:
        table.add_row(
            Text(stage.stage, style="bold"),
            f"{stage.kept.value:,.0f}",
            f"{stage.kept.low:.4g} - {stage.kept.high:.4g}",
            *(_hours(one) for one in (stage.worker_hours, stage.hours)),
            f"{stage.gigabytes.value:,.3g}",
        )
    return table


def _hours(found: Range | None) -> str:
    return "not measured" if found is None else f"{found.value:,.3g} ({found.low:,.3g} - {found.high:,.3g})"


def _mean(values: Sequence[float]) -> Range:
    """The mean and its interval by Student's t; of one value, the value."""
    centre = fmean(values)
    if len(values) < 2:
        return Range(centre, centre, centre)
    reach = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return Range(centre, max(centre - reach, 0.0), centre + reach)


def _sum(parts: Sequence[Range]) -> Range:
    return Range(sum(p.value for p in parts), sum(p.low for p in parts), sum(p.high for p in parts))
