"""Draw a sample of more keys than memory holds: keys are divided by the first bits of their hash, on disk.

What is drawn is what `draw_sample` draws of all keys at once. In memory are one division, and the keys of the sample.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rope.curation.sampling.sample import (
    Drawn,
    SampleSize,
    Stratum,
    Units,
    allocate,
    candidates,
    count_strata,
    join_units,
    trim,
)

__all__ = ["DIVISION_ROWS", "draw_divided"]

DIVISION_ROWS: Final = 2_000_000
"""Rows of a division, about; some 300 MB while it is counted."""

_UNIT: Final = np.dtype([("hash", "<u8"), ("rows", "<i8"), ("category", "<i4"), ("domains", "u1")])


def draw_divided(parts: Iterable[Units], n_rows: int, size: SampleSize, division_rows: int = DIVISION_ROWS) -> Drawn:
    """Draw from the units of a whole pool.

    Args:
        parts: the units of some rows each; each part is looked at once.
        n_rows: rows of the pool.
        size: how much to draw.
        division_rows: rows of a division.

    Raises:
        UsageError: `size` does not fit the pool, see `rope.curation.sampling.sample.allocate`.
    """
    n_divisions = max(1, -(-n_rows // division_rows))
    with tempfile.TemporaryDirectory(prefix="rope-sample-") as folder:
        files = [Path(folder) / f"{i}.units" for i in range(n_divisions)]
        names = _divide(parts, files)
        counts = Counter[Stratum]()
        for units in _divisions(files, names):
            counts += count_strata(units)
        allocation = allocate(counts, size)
        found = [candidates(units, counts, allocation) for units in _divisions(files, names)]
    return trim(join_units(found), counts, allocation)


def _divide(parts: Iterable[Units], files: Sequence[Path]) -> list[str]:
    """Append the units of all parts to the files of their divisions; returns the categories by their codes there."""
    code_of: dict[str, int] = {}
    starts = np.array([(i << 64) // len(files) for i in range(len(files))], np.uint64)
    for part in parts:
        codes = np.array([code_of.setdefault(name, len(code_of)) for name in part.categories], np.int64)
        stored = np.empty(len(part.hashes), _UNIT)
        stored["hash"], stored["rows"], stored["domains"] = part.hashes, part.rows, part.domains
        stored["category"] = codes[part.category]
        for file, units in zip(files, np.split(stored, np.searchsorted(part.hashes, starts[1:])), strict=True):
            with file.open("ab") as opened:
                opened.write(units.tobytes())
    return list(code_of)


def _divisions(files: Sequence[Path], names: Sequence[str]) -> Iterator[Units]:
    """The units of each division, each key once."""
    categories = sorted(names)
    place = {name: i for i, name in enumerate(categories)}
    moved = np.array([place[name] for name in names], np.int64)
    for file in files:
        stored = np.fromfile(file, _UNIT) if file.exists() else np.empty(0, _UNIT)
        units = Units(
            stored["hash"].astype(np.uint64),
            moved[stored["category"]],
            stored["domains"].astype(np.int64),
            stored["rows"],
            tuple(categories),
        )
        yield join_units([units])
