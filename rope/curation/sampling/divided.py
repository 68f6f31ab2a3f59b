"""Weigh the rows of a pool by a sample of its keys, in the memory of a part of the pool.

What is drawn is what `draw_sample` draws of all keys at once. Rows are scattered by the hash of their key. Then the
divisions are taken in the order of their hashes: the first keys of each stratum are drawn, and the weights of their
rows are scattered by row. In memory are the rows of one division, and the counts of the strata: neither the keys of the
pool, nor those of the sample.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from rope.arrays import FloatArray
from rope.curation.sampling.sample import (
    KeyRows,
    SampleSize,
    Stratum,
    Units,
    allocate,
    count_strata,
    draw_in_order,
    units_of,
)
from rope.curation.scattered import FILE_ROWS, ByHash, ByRow, Records, n_files

__all__ = ["DRAWN", "Draw", "divided_draws", "divided_units", "divided_weights"]

_ROW: Final = np.dtype([("hash", "<u8"), ("row", "<i8"), ("category", "<i4"), ("domains", "u1")])
DRAWN: Final = np.dtype([("weight", "<f8"), ("run", "<i2")])
"""What is told of a key: its weight, 0 where it is not drawn; and which earlier run has drawn it, -1 for none."""

_DRAWN_ROW: Final = np.dtype([("row", "<i8"), *DRAWN.descr])

Draw = Callable[[Callable[[], Iterator[Units]], int], Iterator[tuple[Units, Records]]]
"""Draws from divisions, which come in the order of their hashes whenever they are asked for, and of which there are so
many; gives each division with `DRAWN` of its keys."""


def divided_weights(
    parts: Iterable[KeyRows], n_rows: int, size: SampleSize, division_rows: int = FILE_ROWS
) -> Iterator[FloatArray]:
    """The weight of each row of a pool by the hash of its key, 0 where it is not in the sample.

    Args:
        parts: the rows of the pool, some at a time; each part is looked at once.
        n_rows: rows of the pool.
        size: how much to draw.
        division_rows: rows of a division, about.

    Yields:
        float64 [rows of the part], for each part.

    Raises:
        UsageError: `size` does not fit the pool, see `rope.curation.sampling.sample.allocate`.
    """
    for drawn in divided_draws(parts, n_rows, partial(_draw_anew, size=size), division_rows):
        yield drawn["weight"]


def divided_units(parts: Iterable[KeyRows], n_rows: int, division_rows: int = FILE_ROWS) -> Iterator[Units]:
    """The keys of a pool, each once, division by division; see `divided_weights`."""
    with tempfile.TemporaryDirectory(prefix="rope-sample-") as folder:
        rows = ByHash(Path(folder) / "hash", _ROW, n_files(n_rows, division_rows))
        code_of: dict[str, int] = {}
        for part in parts:
            rows.add(_stored(part, 0, code_of))
        yield from (_units(division, code_of) for division in rows)


def divided_draws(
    parts: Iterable[KeyRows], n_rows: int, draw: Draw, division_rows: int = FILE_ROWS
) -> Iterator[Records]:
    """What is told of each row of a pool by the hash of its key, where anything draws.

    Args:
        parts: see `divided_weights`, as for the next.
        n_rows: rows of the pool.
        draw: what draws.
        division_rows: rows of a division, about.

    Yields:
        `DRAWN` [rows of the part], for each part.
    """
    n_divisions = n_files(n_rows, division_rows)
    with tempfile.TemporaryDirectory(prefix="rope-sample-") as folder:
        rows = ByHash(Path(folder) / "hash", _ROW, n_divisions)
        of_rows = ByRow(Path(folder) / "row", _DRAWN_ROW, division_rows)
        code_of: dict[str, int] = {}
        ends = [0]
        for part in parts:
            rows.add(_stored(part, ends[-1], code_of))
            ends.append(ends[-1] + len(part.hashes))
        told = draw(lambda: (_units(division, code_of) for division in rows), n_divisions)
        for division, (units, of_keys) in zip(rows, told, strict=True):
            of_rows.add(_told_rows(division, units, of_keys))
        for start, stop in pairwise(ends):
            yield _told(of_rows.between(start, stop), start, stop)


def _draw_anew(divisions: Callable[[], Iterator[Units]], n_divisions: int, size: SampleSize) -> Iterator[Any]:
    """See `Draw`."""
    del n_divisions
    counts = Counter[Stratum]()
    for units in divisions():
        counts += count_strata(units)
    for units, weight in draw_in_order(divisions(), counts, allocate(counts, size)):
        told = np.full(len(weight), -1, DRAWN)
        told["weight"] = weight
        yield units, told


def _stored(part: KeyRows, first: int, code_of: dict[str, int]) -> Records:
    """The rows of a part as they lie in a division; gives new categories the next codes."""
    codes = np.array([code_of.setdefault(name, len(code_of)) for name in part.categories], np.int32)
    stored = np.empty(len(part.hashes), _ROW)
    stored["hash"], stored["row"] = part.hashes, np.arange(first, first + len(stored))
    stored["category"], stored["domains"] = codes[part.category], part.domains
    return stored


def _units(rows: Records, code_of: Mapping[str, int]) -> Units:
    """The keys of a division."""
    categories = sorted(code_of)
    moved = np.empty(len(categories), np.int64)
    moved[[code_of[name] for name in categories]] = np.arange(len(categories))
    domains = rows["domains"].astype(np.int64)
    return units_of(KeyRows(rows["hash"], moved[rows["category"]], domains, tuple(categories)))


def _told_rows(rows: Records, units: Units, of_keys: Records) -> Records:
    """The rows of the drawn keys of a division, with what is told of these."""
    of_row = of_keys[np.searchsorted(units.hashes, rows["hash"])]
    is_drawn = of_row["weight"] > 0
    found = np.empty(int(is_drawn.sum()), _DRAWN_ROW)
    found["row"] = rows["row"][is_drawn]
    for name in DRAWN.names or ():
        found[name] = of_row[name][is_drawn]
    return found


def _told(drawn: Records, start: int, stop: int) -> Records:
    """What is told of each of some rows, where this is known of the drawn ones."""
    told = np.zeros(stop - start, DRAWN)
    for name in DRAWN.names or ():
        told[name][drawn["row"] - start] = drawn[name]
    return told
