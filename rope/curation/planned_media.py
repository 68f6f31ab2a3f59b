"""Bytes of media that a plan counts apart: what `download` brings, by host, and what `publish` writes.

Both are the mean of the rows that the dry run has looked at, times the rows of the whole pool; the interval is that of
a Bayesian bootstrap over these rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from rope.arrays import FloatArray
from rope.curation.cost_laws import file_size
from rope.curation.operations.download import file_of, urls_of
from rope.curation.publish import shown_media

__all__ = ["MediaBytes", "downloaded", "n_there_before", "published"]

_TEXTS: Final = ("id", "domain", "text", "category", "product_id")


@dataclass(frozen=True, slots=True)
class MediaBytes:
    """Bytes that a run or `publish` adds to the files of the stages.

    Attributes:
        what: they are.
        n_bytes: float64 [1 + draws]; or why they are not known.
    """

    what: str
    n_bytes: FloatArray | str


def downloaded(stage: str, rows: pa.Table, folder: Path, n_rows: FloatArray) -> Iterator[MediaBytes]:
    """What a stage `download` brings, for each host; an address that several of the rows have counts once.

    Args:
        stage: its name.
        rows: that went in.
        folder: of the files.
        n_rows: float64 [1 + draws]; rows of the whole pool that go in.
    """
    seen: set[str] = set()
    sizes: dict[str, FloatArray] = {}
    for i, row in enumerate(rows.select(["frames", "video"]).to_pylist()):
        for url in urls_of(row):
            own = sizes.setdefault(urlsplit(url).hostname or "", np.zeros(rows.num_rows))
            path = file_of(url, folder)
            own[i] += path.stat().st_size if url not in seen and path.is_file() else 0
            seen.add(url)
    for host, each in sorted(sizes.items()):
        yield MediaBytes(f"{stage} from {host}", _total(each, n_rows))


def n_there_before(rows: pa.Table, folder: Path, began: float) -> tuple[int, int]:
    """Files of the rows that were in the folder before a time, and all that are there."""
    urls = {url for row in rows.select(["frames", "video"]).to_pylist() for url in urls_of(row)}
    times = [path.stat().st_mtime for url in urls if (path := file_of(url, folder)).is_file()]
    return sum(time < began for time in times), len(times)


def published(rows: pa.Table, n_rows: FloatArray) -> MediaBytes:
    """What `publish` writes: the media of each kept row, and its texts.

    Args:
        rows: that the last stage has kept.
        n_rows: float64 [1 + draws]; how many it keeps of the whole pool.
    """
    what = "published dataset"
    if not rows.num_rows:
        return MediaBytes(what, "no row of the part was kept")
    there = [name for name in ("domain", "frames", "video", "shown_frames") if name in rows.column_names]
    shown = [shown_media(row) for row in rows.select(there).to_pylist()]
    if elsewhere := [one["path"] for media in shown for one in media if _is_elsewhere(one)]:
        return MediaBytes(what, f"the sizes of media at addresses, such as {elsewhere[0]}, are not looked up")
    sizes = np.array([sum(map(_size, media)) for media in shown], np.float64)
    texts = rows.select([name for name in _TEXTS if name in rows.column_names])
    return MediaBytes(what, _total(sizes + file_size(texts, rows.num_rows).row, n_rows))


def _is_elsewhere(stored: Mapping[str, Any]) -> bool:
    return stored["bytes"] is None and "://" in str(stored["path"])


def _size(stored: Mapping[str, Any]) -> int:
    """Bytes of one file; none if it does not exist, as `publish` leaves it out."""
    if stored["bytes"] is not None:
        return len(stored["bytes"])
    path = Path(str(stored["path"]))
    return path.stat().st_size if path.is_file() else 0


def _total(each: FloatArray, n_rows: FloatArray) -> FloatArray:
    weights = np.random.default_rng(4).standard_gamma(1.0, (len(n_rows), len(each)))
    weights[0] = 1.0
    return np.asarray(weights @ each / weights.sum(axis=1) * n_rows)
