"""Weigh the rows of a pool by a sample of its keys, in the memory of a part of the pool.

What is drawn is what `draw_sample` draws of all keys at once. Rows are appended to files, the divisions, by the first
bits of the hash of their key. Then the divisions are taken in the order of their hashes: the first keys of each stratum
are drawn, and the weights of their rows are appended to files of consecutive rows, the blocks. In memory are the rows
of one division or one block, and the counts of the strata: neither the keys of the pool, nor those of the sample.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray, IntArray
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

__all__ = ["DIVISION_ROWS", "DRAWN", "Draw", "append_hashes", "divided_draws", "divided_weights", "read_records"]

DIVISION_ROWS: Final = 500_000
"""Rows of a division, about, and of a block."""

_ROW: Final = np.dtype([("hash", "<u8"), ("row", "<i8"), ("category", "<i4"), ("domains", "u1")])
DRAWN: Final = np.dtype([("weight", "<f8"), ("run", "<i2")])
"""What is told of a key: its weight, 0 where it is not drawn; and which earlier run has drawn it, -1 for none."""

_DRAWN_ROW: Final = np.dtype([("row", "<i8"), *DRAWN.descr])

_Records = npt.NDArray[Any]

Draw = Callable[[Callable[[], Iterator[Units]], int], Iterator[tuple[Units, _Records]]]
"""Draws from divisions, which come in the order of their hashes whenever they are asked for, and of which there are so
many; gives each division with `DRAWN` of its keys."""


def divided_weights(
    parts: Iterable[KeyRows], n_rows: int, size: SampleSize, division_rows: int = DIVISION_ROWS
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


def divided_draws(
    parts: Iterable[KeyRows], n_rows: int, draw: Draw, division_rows: int = DIVISION_ROWS
) -> Iterator[_Records]:
    """What is told of each row of a pool by the hash of its key, where anything draws.

    Args:
        parts: see `divided_weights`, as for the next.
        n_rows: rows of the pool.
        draw: what draws.
        division_rows: rows of a division, about.

    Yields:
        `DRAWN` [rows of the part], for each part.
    """
    n_files = max(1, -(-n_rows // division_rows))
    with tempfile.TemporaryDirectory(prefix="rope-sample-") as folder:
        divisions = [Path(folder) / f"{i}.rows" for i in range(n_files)]
        blocks = [Path(folder) / f"{i}.weights" for i in range(n_files)]
        names, lengths = _divide(parts, divisions, division_rows)
        told = draw(lambda: (_units(read_records(division, _ROW), names) for division in divisions), n_files)
        for division, (units, of_keys) in zip(divisions, told, strict=True):
            drawn = _told_rows(read_records(division, _ROW), units, of_keys)
            _append(blocks, drawn, drawn["row"] // division_rows)
            division.unlink(missing_ok=True)
        yield from _in_order(blocks, lengths, division_rows)


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


def _divide(parts: Iterable[KeyRows], divisions: Sequence[Path], waiting_rows: int) -> tuple[dict[str, int], list[int]]:
    """Append the rows of all parts to their divisions; the codes of categories there, and the rows of each part."""
    code_of: dict[str, int] = {}
    lengths: list[int] = []
    waiting: list[_Records] = []
    first = first_waiting = 0
    for part in parts:
        waiting.append(_stored(part, first, code_of))
        lengths.append(len(part.hashes))
        first += lengths[-1]
        if first - first_waiting >= waiting_rows:
            append_hashes(divisions, np.concatenate(waiting))
            waiting, first_waiting = [], first
    append_hashes(divisions, np.concatenate([np.empty(0, _ROW), *waiting]))
    return code_of, lengths


def _stored(part: KeyRows, first: int, code_of: dict[str, int]) -> _Records:
    """The rows of a part as they lie in a division; gives new categories the next codes."""
    codes = np.array([code_of.setdefault(name, len(code_of)) for name in part.categories], np.int32)
    stored = np.empty(len(part.hashes), _ROW)
    stored["hash"], stored["row"] = part.hashes, np.arange(first, first + len(stored))
    stored["category"], stored["domains"] = codes[part.category], part.domains
    return stored


def append_hashes(divisions: Sequence[Path], records: _Records) -> None:
    """Append records to the files of their divisions, by the first bits of their field `hash`."""
    starts = np.array([(i << 64) // len(divisions) for i in range(len(divisions))], np.uint64)
    _append(divisions, records, np.searchsorted(starts, records["hash"], side="right") - 1)


def _append(files: Sequence[Path], records: _Records, place: IntArray) -> None:
    """Append each record to the file at its place."""
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(1, len(files)))
    for file, group in zip(files, np.split(records[order], ends), strict=True):
        if len(group):
            with file.open("ab") as opened:
                opened.write(group.tobytes())


def read_records(file: Path, kind: np.dtype[Any]) -> _Records:
    """The records that were appended to a file; none where it does not exist."""
    return np.fromfile(file, kind) if file.exists() else np.empty(0, kind)


def _units(rows: _Records, code_of: dict[str, int]) -> Units:
    """The keys of a division."""
    categories = sorted(code_of)
    moved = np.empty(len(categories), np.int64)
    moved[[code_of[name] for name in categories]] = np.arange(len(categories))
    domains = rows["domains"].astype(np.int64)
    return units_of(KeyRows(rows["hash"], moved[rows["category"]], domains, tuple(categories)))


def _told_rows(rows: _Records, units: Units, of_keys: _Records) -> _Records:
    """The rows of the drawn keys of a division, with what is told of these."""
    of_row = of_keys[np.searchsorted(units.hashes, rows["hash"])]
    is_drawn = of_row["weight"] > 0
    found = np.empty(int(is_drawn.sum()), _DRAWN_ROW)
    found["row"] = rows["row"][is_drawn]
    for name in DRAWN.names or ():
        found[name] = of_row[name][is_drawn]
    return found


def _in_order(blocks: Sequence[Path], lengths: Sequence[int], block_rows: int) -> Iterator[_Records]:
    """What is told of so many rows after one another."""
    start = 0
    for n_rows in lengths:
        told = np.zeros(n_rows, DRAWN)
        for block in blocks[start // block_rows : -(-(start + n_rows) // block_rows)]:
            drawn = read_records(block, _DRAWN_ROW)
            drawn = drawn[(drawn["row"] >= start) & (drawn["row"] < start + n_rows)]
            for name in DRAWN.names or ():
                told[name][drawn["row"] - start] = drawn[name]
        start += n_rows
        yield told
