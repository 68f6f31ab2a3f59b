"""What a stage costs for any number of rows and shards, from what a few shards of a dry run have cost.

Of a stage that takes rows one by one, three costs are told apart: what is paid once a worker (its modules, its model),
once a shard, and for each row. A stage that must see all rows has one shard, so it is run on several parts of the drawn
rows, in few files and in many, and a law `a + f files + b n + c n²` with no term below 0 is fitted to the times. If it
had no term of files, what a file costs would pass for a cost of rows, and a part that needs a second file for a bend.
A law is good near what was measured: beyond `REACH` times as many rows it is not used.

Costs come as many draws: the first is the best guess, the others vary as the measured shards do (Student's t).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.optimize import nnls

from rope.arrays import FloatArray
from rope.curation.pipeline.shard_files import write_rows

__all__ = ["REACH", "FileSize", "Measured", "RowCost", "ScaledCost", "ScaledPoint", "file_size", "mean_of", "row_cost"]

REACH: Final = 10.0
"""How many times as many rows as were measured a law of a stage that must see all rows is used for."""

_N_FILES: Final = 8
"""Files of each of two sizes that are written to measure sizes."""

_UNLIKE: Final = 0.02
"""Relative standard deviation of the size of a file, for what drawn rows do not tell: assumed."""

_NOISE: Final = 0.1
"""Relative standard deviation of one measured time; assumed, where it was measured once."""

_LEAST_NOISE: Final = 0.05
"""Relative standard error of the time of a stage that was measured several times in a row: at least, as the machine may
be a little faster or slower for all of these."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean of a few values.

    Attributes:
        value: not negative.
        error: its standard error.
        degrees: of freedom of this; 0 for a value that does not vary.
    """

    value: float
    error: float = 0.0
    degrees: int = 0

    def draws(self, n: int, rng: np.random.Generator) -> FloatArray:
        """The value, and n that it may have; float64 [1 + n], none negative."""
        spread = self.error * rng.standard_t(self.degrees, n) if self.degrees else np.zeros(n)
        return np.maximum(self.value + np.concatenate([[0.0], spread]), 0.0)


def mean_of(values: Sequence[float]) -> Measured:
    """The mean of some values, not below 0; of one value, it is taken to vary by `_NOISE`.

    >>> mean_of([1.0, 3.0])
    Measured(value=2.0, error=1.0, degrees=1)
    """
    if not values:
        return Measured(0.0)
    centre = max(float(np.mean(values)), 0.0)
    if len(values) == 1:
        return Measured(centre, _NOISE * centre, 1)
    return Measured(centre, float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1)


@dataclass(frozen=True, slots=True)
class RowCost:
    """Of a stage that takes rows one by one, in seconds.

    Attributes:
        once: of a worker before its first shard.
        shard: of a shard, whatever its rows.
        row: of a row.
    """

    once: float
    shard: Measured
    row: Measured

    def draws(self, rows: FloatArray, n_shards: float, rng: np.random.Generator) -> FloatArray:
        """Seconds of all shards together, without what is paid once; float64, as long as `rows`."""
        n = len(rows) - 1
        return np.asarray(n_shards * self.shard.draws(n, rng) + rows * self.row.draws(n, rng))


def row_cost(warm_up: Sequence[tuple[int, float]], shards: Sequence[tuple[int, float]]) -> RowCost:
    """Tell the three costs apart.

    The smallest shards, of at most one row, tell what a shard costs; the others what a row costs above that.

    Args:
        warm_up: rows and seconds of the first shards of the worker: what they took longer than others is paid once.
        shards: of the others.

    >>> cost = row_cost([(10, 9.0)], [(1, 1.1), (0, 1.0), (10, 2.0), (10, 2.0)])
    >>> round(cost.row.value, 3), round(cost.shard.value, 3), round(cost.once, 2)
    (0.1, 1.0, 7.0)
    """
    tiny = [(rows, seconds) for rows, seconds in shards if rows <= 1]
    large = [(rows, seconds) for rows, seconds in shards if rows > 1]
    rate, floor = 0.0, min((seconds for _, seconds in shards), default=0.0) if tiny else 0.0
    for _ in range(2):  # a tiny shard has up to one row of its own to pay for
        if tiny:
            floor = max(float(np.mean([seconds - rate * rows for rows, seconds in tiny])), 0.0)
        if large:
            rate = max(sum(seconds - floor for _, seconds in large) / sum(rows for rows, _ in large), 0.0)
    shard = mean_of([max(seconds - rate * rows, 0.0) for rows, seconds in tiny])
    once = sum(max(seconds - shard.value - rate * rows, 0.0) for rows, seconds in warm_up)
    return RowCost(once, shard, _rate(large, shard.value, rate))


def _rate(large: Sequence[tuple[int, float]], floor: float, rate: float) -> Measured:
    """The cost of a row, and how much it varies between shards."""
    if len(large) < 2:
        return Measured(rate, _NOISE * rate, len(large))
    residuals = [seconds - floor - rate * rows for rows, seconds in large]
    n, n_rows = len(large), sum(rows for rows, _ in large)
    return Measured(rate, math.sqrt(sum(r * r for r in residuals) * n / (n - 1)) / n_rows, n - 1)


@dataclass(frozen=True, slots=True)
class ScaledPoint:
    """Times of a stage that must see all rows, on some of them.

    Attributes:
        rows: that went in.
        files: that they were in.
        seconds: each time that it was run, with all modules loaded.
    """

    rows: int
    files: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ScaledCost:
    """Of a stage that must see all rows, in seconds.

    Attributes:
        once: of a worker before its first task.
        points: what was measured.
    """

    once: float
    points: tuple[ScaledPoint, ...]

    def reaches(self, rows: float) -> bool:
        """Whether the law is used for so many rows."""
        return rows <= REACH * max((point.rows for point in self.points), default=0)

    def draws(self, rows: FloatArray, n_files: float, rng: np.random.Generator) -> FloatArray:
        """Seconds of all rows, without what is paid once; float64, as long as `rows`.

        Each time varies as measured, or by `_LEAST_NOISE` if that is more. A bend is drawn where a line misses a time
        by more than that can explain.
        """
        scale = max(max(point.rows for point in self.points), 1)
        sizes = np.array([point.rows / scale for point in self.points])
        files = np.array([point.files for point in self.points], np.float64)
        times = [mean_of(point.seconds) for point in self.points]
        seconds = np.array([max(time.value, 1e-9) for time in times])
        noise = max(float(np.mean([time.error / max(time.value, 1e-9) for time in times])), _LEAST_NOISE)
        found = np.empty(len(rows))
        for i, n in enumerate(rows / scale):
            noisy = seconds * np.maximum(1 + (noise * rng.standard_normal(len(seconds)) if i else 0.0), 0.1)
            found[i] = _fitted(sizes, files, noisy, noise) @ np.array([1.0, n_files, n, n * n])
        return found


def _fitted(sizes: FloatArray, files: FloatArray, seconds: FloatArray, noise: float) -> FloatArray:
    """The coefficients of 1, the number of files, n and n squared; errors are relative."""
    terms = np.stack([np.ones(len(sizes)), files, sizes, sizes**2], axis=1) / seconds[:, None]
    line = np.append(nnls(terms[:, :3], np.ones(len(sizes)))[0], 0.0)
    misses = np.abs(terms @ line - 1)
    return line if misses.max() <= 3 * noise else np.asarray(nnls(terms, np.ones(len(sizes)))[0])


@dataclass(frozen=True, slots=True)
class FileSize:
    """Bytes of files with so many rows each, about as many as were measured.

    Attributes:
        file: of a file, whatever its rows; below 0 where a row more costs less and less.
        row: of a row.
        spread: relative standard error of both together.
        degrees: of freedom of this.
        bend: how much smaller, as a share, files are where they grow as a power of their rows and not as a line; 0 for
            files with no more rows than were measured.
    """

    file: float
    row: float
    spread: float = 0.0
    degrees: int = 0
    bend: float = 0.0

    def draws(self, rows: FloatArray, n_files: float, rng: np.random.Generator) -> FloatArray:
        """Bytes of all files; float64, as long as `rows`."""
        varied = Measured(1.0, self.spread, self.degrees).draws(len(rows) - 1, rng)
        varied[1:] *= np.maximum(1 + _UNLIKE * rng.standard_normal(len(rows) - 1), 0.0)
        bent = 1 - self.bend * np.concatenate([[0.5], rng.random(len(rows) - 1)])
        return np.asarray(np.maximum(n_files * self.file + rows * self.row, 0.0) * varied * bent)


def file_size(rows: pa.Table, rows_per_file: float) -> FileSize:
    """Measure how large files are, from runs of rows that follow each other: of so many, and of half as many.

    Where there are fewer rows than a file will have, the size is drawn on from these two: as a line, or as a power,
    since rows that repeat each other compress better together. The truth may be anywhere between.
    """
    n = rows.num_rows
    if n == 0:
        return FileSize(_stored_bytes(rows), 0.0)
    high = int(np.clip(round(rows_per_file), min(n, 8), n))
    low = high // 2
    many, few = (_sizes(rows, size) for size in (high, low))
    row = (float(np.mean(many)) - float(np.mean(few))) / (high - low)
    file = float(np.mean(many)) - row * high
    return FileSize(file, row, *_spread(rows), _bend(rows, file + row * rows_per_file, rows_per_file))


def _bend(rows: pa.Table, line: float, rows_per_file: float) -> float:
    """The share by which a power of the rows, through the files of all rows and of half of them, is below a line."""
    n = rows.num_rows
    if rows_per_file <= n or n < 2:
        return 0.0
    empty, half, whole = (_stored_bytes(rows.slice(0, size)) for size in (0, n // 2, n))
    power = math.log(max(whole - empty, 1) / max(half - empty, 1)) / math.log(n / (n // 2))
    bent = empty + (whole - empty) * (rows_per_file / n) ** min(max(power, 0.0), 1.0)
    return float(min(max(1 - bent / line, 0.0), 1.0))


def _spread(rows: pa.Table) -> tuple[float, int]:
    """The relative standard error of the size of all rows, from runs of an eighth of them; and its degrees."""
    if rows.num_rows < _N_FILES:
        return _NOISE, 1
    empty = _stored_bytes(rows.slice(0, 0))
    runs = mean_of([size - empty for size in _sizes(rows, rows.num_rows // _N_FILES)])
    return runs.error / max(runs.value, 1.0), runs.degrees


def _sizes(rows: pa.Table, size: int) -> list[int]:
    """Bytes of files with so many rows, of rows that follow each other."""
    if size == 0:
        return [_stored_bytes(rows.slice(0, 0))]
    n_files = min(rows.num_rows // size, _N_FILES)
    starts = np.linspace(0, rows.num_rows - size, n_files).astype(int) if n_files > 1 else [0]
    return [_stored_bytes(rows.slice(start, size)) for start in starts]


def _stored_bytes(rows: pa.Table) -> int:
    stored = io.BytesIO()
    write_rows(rows, stored)
    return stored.tell()
