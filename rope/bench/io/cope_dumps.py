"""The text files that the COPE authors' `infer.py` writes: one file per GPU and domain, one line per sample."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.bench.io.embeddings import DomainEmbeddings
from rope.domain import DomainName
from rope.errors import FileError
from rope.files import reading_file

__all__ = ["is_dump", "read_dumps"]

_NAME: Final = re.compile(r"\d+_(item|photo|live)")
_DOMAIN_OF: Final[dict[str, DomainName]] = {"item": "page", "photo": "video", "live": "live"}


@dataclass(frozen=True, slots=True)
class _Row:
    """Where a sample was read, with the start and end of its clip where the line has them."""

    index: int
    where: str
    span: tuple[bytes, ...]


@dataclass(slots=True)
class _Rows:
    """The samples of one domain, as far as they are read."""

    by_id: dict[str, _Row] = field(default_factory=dict)
    vectors: list[npt.NDArray[np.float32]] = field(default_factory=list)
    n_dropped: int = 0


def is_dump(path: Path) -> bool:
    """Whether a file has a name that `infer.py` gives.

    >>> is_dump(Path("0_item")), is_dump(Path("12_live")), is_dump(Path("0_item.txt"))
    (True, True, False)
    """
    return _NAME.fullmatch(path.name) is not None


def read_dumps(files: Sequence[Path]) -> dict[DomainName, DomainEmbeddings]:
    r"""Read the dumps of all GPUs: `0_item`, `1_item`, … are pages, `*_photo` videos, `*_live` live clips.

    A line is `id\tnumber,number,…`; in a live dump `id\tstart\tend\tnumber,number,…`. A distributed sampler pads
    its shares with samples that other shares have too: a line that repeats another's id, span and numbers is
    dropped and counted.

    Raises:
        FileError: a line cannot be read, its dimension differs from the first of its domain, or an id comes
            again with other numbers or with another start or end. Names the file and the line.
    """
    found: dict[DomainName, DomainEmbeddings] = {}
    for kind, domain in _DOMAIN_OF.items():
        shards = [file for file in files if file.name.endswith(f"_{kind}")]
        if shards:
            found[domain] = _read_domain(shards, n_keys=3 if kind == "live" else 1)
    return found


def _read_domain(files: Iterable[Path], n_keys: int) -> DomainEmbeddings:
    rows = _Rows()
    for file in files:
        with reading_file(file, "a dump of infer.py"), file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                _add(rows, line.rstrip(b"\r\n"), n_keys, f"{file}:{number}")
    vectors = np.stack(rows.vectors) if rows.vectors else np.empty((0, 0), np.float32)
    return DomainEmbeddings(list(rows.by_id), vectors, "text", rows.n_dropped)


def _add(rows: _Rows, line: bytes, n_keys: int, where: str) -> None:
    """Add the sample of one line, or count it where it repeats another.

    Raises:
        FileError: see `read_dumps`.
    """
    sample_id, span, vector = _parse(line, n_keys, where)
    if rows.vectors and len(vector) != len(rows.vectors[0]):
        first = next(iter(rows.by_id.values())).where
        raise FileError(f"{where}: {len(vector)} numbers, expected {len(rows.vectors[0])} as in {first}")
    known = rows.by_id.get(sample_id)
    if known is None:
        rows.by_id[sample_id] = _Row(len(rows.vectors), where, span)
        rows.vectors.append(vector)
    elif known.span != span:
        spans = " and ".join(b"-".join(s).decode("utf-8", "replace") for s in (known.span, span))
        raise FileError(
            f"{where}: live id {sample_id!r} was at {known.where} with another start and end ({spans}); a live "
            "sample is named by its id alone, so keep one clip of each id"
        )
    elif np.array_equal(rows.vectors[known.index], vector, equal_nan=True):
        rows.n_dropped += 1
    else:
        raise FileError(
            f"{where}: id {sample_id!r} was at {known.where} with other numbers; the files are of "
            "different runs, or one of them is damaged"
        )


def _parse(line: bytes, n_keys: int, where: str) -> tuple[str, tuple[bytes, ...], npt.NDArray[np.float32]]:
    r"""Split one line into its id, its start and end (live only) and its vector, float32 [dim].

    >>> _parse(b"17\t0.5,-1.0", 1, "0_item:1")
    ('17', (), array([ 0.5, -1. ], dtype=float32))
    """
    *keys, numbers = line.split(b"\t")
    if len(keys) != n_keys or not keys[0]:
        layout = "id<TAB>start<TAB>end<TAB>number,…" if n_keys == 3 else "id<TAB>number,…"
        raise FileError(f"{where}: expected {layout}, got {line[:60]!r}")
    try:
        with np.errstate(over="ignore"):
            vector = np.array(numbers.split(b","), np.float64).astype(np.float32)
        return keys[0].decode(), tuple(keys[1:]), vector
    except ValueError as error:
        raise FileError(f"{where}: not readable: {error}") from error
