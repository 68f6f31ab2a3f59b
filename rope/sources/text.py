"""Text files as blocks of UTF-8, whatever they are compressed with and whatever encoding and line end they are in."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from rope.errors import ReleaseError, UsageError
from rope.sources.looks import foreign_kind

__all__ = ["DAMAGED", "check_encoding", "iter_blocks", "read_text", "text_files"]

DAMAGED: Final = "\udcff"
"""What stands in `read_text` for bytes that are not of the file's encoding."""

_BLOCK_BYTES: Final = 16 << 20
_HEAD_BYTES: Final = 4096
_ENDS: Final = (b"\r", "\u0085".encode(), "\u2028".encode())
"""What ends the lines of a file that has no LF."""

_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
    b"\x84\x31\x95\x33": "gb18030",
}
"""Byte order mark -> encoding."""

_SUFFIXES: Final = (".txt", ".json", ".tsv", ".csv")
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def text_files(folder: Path) -> dict[str, str]:
    """The text files of a folder by the names that they have without `.gz` or `.zst`; of two, the one without.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.txt", "a.txt.gz", "b.txt.zst"):
    ...         Path(folder, name).touch()
    ...     text_files(Path(folder))
    {'a.txt': 'a.txt', 'b.txt': 'b.txt.zst'}
    """
    found: dict[str, str] = {}
    with os.scandir(folder) as entries:  # images may be there too, by the million
        names = sorted((entry.name for entry in entries if entry.is_file()), key=lambda name: (len(name), name))
    for name in names:
        plain = name.removesuffix(".gz").removesuffix(".zst")
        if plain.endswith(_SUFFIXES):
            found.setdefault(plain, name)
    return dict(sorted(found.items()))


def check_encoding(encoding: str | None) -> None:
    """Check that Python knows an encoding of text.

    Raises:
        UsageError: it does not.
    """
    try:
        "1".encode(encoding or "utf-8")
        codecs.getincrementaldecoder(encoding or "utf-8")
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"{encoding!r} is not an encoding of text; give one such as gb18030, utf-16-le or cp1252"
        ) from error


def iter_blocks(
    path: Path,
    on_bytes: Callable[[bytes], None] = lambda _: None,
    block_bytes: int = _BLOCK_BYTES,
    encoding: str | None = None,
) -> Iterator[bytes]:
    """Read a text file as blocks of UTF-8 without a byte order mark, with lines that end at LF.

    gzip and Zstandard are known by their first bytes. In a file without LF, lines end at CR, NEL or U+2028. Where the
    bytes are not of the file's encoding, the block has bytes that are not UTF-8.

    Args:
        path: the file.
        on_bytes: called with every byte of the file as it is on disk, in order; for a hash or a progress bar.
        block_bytes: about how much to read at a time.
        encoding: of a file without a byte order mark; None for UTF-8.

    Raises:
        OSError: the file cannot be read.
        ReleaseError: it is of another kind, or its compressed data are damaged.
    """
    with path.open("rb") as file, _decompressed(path, io.BufferedReader(_Tee(file, on_bytes), 1 << 20)) as plain:
        head = plain.read(_HEAD_BYTES)
        marked = next((mark for mark in _MARKS if head.startswith(mark)), b"")
        known = _MARKS[marked] if marked else encoding
        if kind := foreign_kind(head, is_decoded=known not in (None, "utf-8")):
            raise ReleaseError(f"{path}: expected text, but it is {kind}")
        start = head.removeprefix(marked)
        first = (start[i : i + block_bytes] for i in range(0, len(start), block_bytes))
        pieces = chain(first, iter(lambda: plain.read(block_bytes), b""))
        yield from _with_lf(_as_utf8(pieces, known or "utf-8"))


def read_text(path: Path, on_bytes: Callable[[bytes], None] = lambda _: None, encoding: str | None = None) -> str:
    """The whole text of a file, see `iter_blocks`; `DAMAGED` stands for bytes that are not of its encoding."""
    return b"".join(iter_blocks(path, on_bytes, encoding=encoding)).decode("utf-8", _ERRORS)


class _Tee(io.RawIOBase):
    """A file that tells what is read of it."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[bytes], None]) -> None:
        self._file, self._on_bytes = file, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 -- any buffer
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._on_bytes(piece)
        return len(piece)


@contextmanager
def _decompressed(path: Path, file: io.BufferedReader) -> Iterator[BinaryIO]:
    """The content of a file, which is read to its end."""
    start = file.peek(4)
    if not start.startswith((_GZIP, _ZSTD)):
        yield file
        return
    name = "gzip" if start.startswith(_GZIP) else "Zstandard"
    try:
        if name == "gzip":
            yield gzip.GzipFile(fileobj=file)  # type: ignore[misc]
        else:
            yield pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
        while file.read(1 << 20):
            pass
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise ReleaseError(f"{path}: is compressed with {name}, and damaged ({error}); fetch it again") from error


def _mark_damaged(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return DAMAGED, error.end


_ERRORS: Final = "rope.damaged"
codecs.register_error(_ERRORS, _mark_damaged)


def _as_utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii"):
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(encoding)(_ERRORS)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _with_lf(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same lines, each ended by LF, where there is none in what is first read."""
    first = b""
    for block in blocks:
        first += block
        if b"\n" in block or len(first) >= _BLOCK_BYTES:
            break
    end = next((end for end in _ENDS if end in first), None) if b"\n" not in first else None
    if end is None:
        yield first
        yield from blocks
        return
    rest = b""
    for block in chain([first], blocks):
        lines, found, rest = (rest + block).rpartition(end)
        yield (lines + found).replace(end, b"\n")
    yield rest
