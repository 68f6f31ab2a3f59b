"""Text files as a stream of numbered lines, in blocks, without a Python object a line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from rope.sources.text import iter_blocks

__all__ = ["LINE_SCHEMA", "scan_lines"]

LINE_SCHEMA: Final = pa.schema([("line", pa.int64()), ("text", pa.string())])
"""`line` counts from 1; `text` is null where a line is not valid in the encoding of the file."""

_BLOCK_BYTES: Final = 4 << 20
"""Measured: blocks and what is made of them are passed on fastest while they fit in a processor's cache."""


def scan_lines(
    path: Path,
    on_bytes: Callable[[bytes], None] = lambda _: None,
    block_bytes: int = _BLOCK_BYTES,
    encoding: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a text file as batches of LINE_SCHEMA.

    Lines end at LF; a CR before it stays part of the line, a byte order mark at the start does not. The last line
    may lack its LF. Memory is a few times `block_bytes`, or the longest line. What else a file may be is said at
    `rope.sources.text.iter_blocks`.

    Args:
        path: the file.
        on_bytes: called with every byte of the file, in order; for a hash or a progress bar.
        block_bytes: how much to read at a time.
        encoding: of a file without a byte order mark; None for UTF-8.

    Raises:
        OSError: the file cannot be read.
        ReleaseError: the file is not text.
    """
    first_line, rest = 1, b""
    for piece in iter_blocks(path, on_bytes, block_bytes, encoding):
        lines, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            batch = _split(lines + newline, first_line)
            first_line += batch.num_rows
            yield batch
    if rest:
        yield _split(rest + b"\n", first_line)


def _split(block: bytes, first_line: int) -> pa.RecordBatch:
    """Lines of a block that ends with LF."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    # Arrow wants the lines back to back, so the LFs go and every offset moves by the number of those before it.
    offsets = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int32)
    bare = pa.py_buffer(block.replace(b"\n", b""))
    lines = pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), bare])
    numbers = pa.array(np.arange(first_line, first_line + len(ends)))
    return pa.record_batch([numbers, _decode(lines)], schema=LINE_SCHEMA)


def _decode(lines: pa.Array) -> pa.Array:
    try:
        return lines.cast(pa.string())
    except pa.ArrowInvalid:  # some line is not UTF-8: find out which
        return pa.array([_decode_one(line) for line in lines.to_pylist()], pa.string())


def _decode_one(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None
