"""Weigh the rows of a pool by a sample of its keys, in the memory of a part of the pool.

What is drawn is what `draw_sample` draws of all keys at once. Rows are appended to files, the divisions, by the first
bits of the hash of their key. Then the divisions are taken in the order of their hashes: the first keys of each stratum
are drawn, and the weights of their rows are appended to files of consecutive rows, the blocks. In memory are the rows
of one division or one block, and the counts of the strata: neither the keys of the pool, nor those of the sample.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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

__all__ = ["DIVISION_ROWS", "divided_weights"]

DIVISION_ROWS: Final = 500_000
"""Rows of a division, about, and of a block."""

_ROW: Final = np.dtype([("hash", "<u8"), ("row", "<i8"), ("category", "<i4"), ("domains", "u1")])
_WEIGHT: Final = np.dtype([("row", "<i8"), ("weight", "<f8")])

_Records = npt.NDArray[Any]


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
    n_files = max(1, -(-n_rows // division_rows))
    with tempfile.TemporaryDirectory(prefix="rope-sample-") as folder:
        divisions = [Path(folder) / f"{i}.rows" for i in range(n_files)]
        blocks = [Path(folder) / f"{i}.weights" for i in range(n_files)]
        names, lengths = _divide(parts, divisions, division_rows)
        counts = Counter[Stratum]()
        for division in divisions:
            counts += count_strata(_units(_read(division, _ROW), names))
        allocation = allocate(counts, size)
        weights = draw_in_order((_units(_read(division, _ROW), names) for division in divisions), counts, allocation)
        for division, (units, weight) in zip(divisions, weights, strict=True):
            drawn = _weighed(_read(division, _ROW), units, weight)
            _append(blocks, drawn, drawn["row"] // division_rows)
            division.unlink(missing_ok=True)
        yield from _weights(blocks, lengths, division_rows)


def _divide(parts: Iterable[KeyRows], divisions: Sequence[Path], waiting_rows: int) -> tuple[dict[str, int], list[int]]:
    """Append the rows of all parts to their divisions; the codes of categories there, and the rows of each part."""
    starts = np.array([(i << 64) // len(divisions) for i in range(len(divisions))], np.uint64)
    code_of: dict[str, int] = {}
    lengths: list[int] = []
    waiting: list[_Records] = []
    first = first_waiting = 0
    for part in parts:
        waiting.append(_stored(part, first, code_of))
        lengths.append(len(part.hashes))
        first += lengths[-1]
        if first - first_waiting >= waiting_rows:
            _append_hashes(divisions, waiting, starts)
            waiting, first_waiting = [], first
    _append_hashes(divisions, waiting, starts)
    return code_of, lengths


def _stored(part: KeyRows, first: int, code_of: dict[str, int]) -> _Records:
    """The rows of a part as they lie in a division; gives new categories the next codes."""
    codes = np.array([code_of.setdefault(name, len(code_of)) for name in part.categories], np.int32)
    stored = np.empty(len(part.hashes), _ROW)
    stored["hash"], stored["row"] = part.hashes, np.arange(first, first + len(stored))
    stored["category"], stored["domains"] = codes[part.category], part.domains
    return stored


def _append_hashes(divisions: Sequence[Path], waiting: Sequence[_Records], starts: npt.NDArray[np.uint64]) -> None:
    rows = np.concatenate([np.empty(0, _ROW), *waiting])
    _append(divisions, rows, np.searchsorted(starts, rows["hash"], side="right") - 1)


def _append(files: Sequence[Path], records: _Records, place: IntArray) -> None:
    """Append each record to the file at its place."""
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(1, len(files)))
    for file, group in zip(files, np.split(records[order], ends), strict=True):
        if len(group):
            with file.open("ab") as opened:
                opened.write(group.tobytes())


def _read(file: Path, kind: np.dtype[Any]) -> _Records:
    return np.fromfile(file, kind) if file.exists() else np.empty(0, kind)


def _units(rows: _Records, code_of: dict[str, int]) -> Units:
    """The keys of a division."""
    categories = sorted(code_of)
    moved = np.empty(len(categories), np.int64)
    moved[[code_of[name] for name in categories]] = np.arange(len(categories))
    domains = rows["domains"].astype(np.int64)
    return units_of(KeyRows(rows["hash"], moved[rows["category"]], domains, tuple(categories)))


def _weighed(rows: _Records, units: Units, weight: FloatArray) -> _Records:
    """The rows of the drawn keys of a division, with their weights."""
    of_row = weight[np.searchsorted(units.hashes, rows["hash"])]
    is_drawn = of_row > 0
    found = np.empty(int(is_drawn.sum()), _WEIGHT)
    found["row"], found["weight"] = rows["row"][is_drawn], of_row[is_drawn]
    return found


def _weights(blocks: Sequence[Path], lengths: Sequence[int], block_rows: int) -> Iterator[FloatArray]:
    """The weights of so many rows after one another."""
    start = 0
    for n_rows in lengths:
        weight = np.zeros(n_rows)
        for block in blocks[start // block_rows : -(-(start + n_rows) // block_rows)]:
            drawn = _read(block, _WEIGHT)
            drawn = drawn[(drawn["row"] >= start) & (drawn["row"] < start + n_rows)]
            weight[drawn["row"] - start] = drawn["weight"]
        start += n_rows
        yield weight
