"""Whether a video or sound file holds all the bytes that its outermost elements claim, without a decoder."""

import io
import os
from typing import BinaryIO, Final

__all__ = ["missing_bytes"]

_EBML: Final = b"\x1a\x45\xdf\xa3"
_TO_THE_END: Final = 0


def missing_bytes(source: str | bytes) -> int:
    r"""How many bytes the last outermost element claims beyond the end of the file; 0 where the claims are kept.

    MP4 and QuickTime are a row of boxes (ISO/IEC 14496-12), Matroska and WebM of EBML elements (RFC 8794), each with
    its length; a WAV file is one RIFF chunk. A file that is cut between two is not noticed, nor one of another format.

    >>> box = b"\0\0\0\x0cfree" + b"1234"
    >>> missing_bytes(box + box), missing_bytes(box + box[:-1]), missing_bytes(b"RIFF")
    (0, 1, 0)

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return _missing(io.BytesIO(source), len(source))
    with open(source, "rb") as file:  # noqa: PTH123 -- the path is text
        return _missing(file, os.fstat(file.fileno()).st_size)


def _missing(file: BinaryIO, n_bytes: int) -> int:
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return max(0, _riff_length(head) - n_bytes)
    length_of = _ebml_length if head[:4] == _EBML else _box_length
    start = 0
    while start < n_bytes:
        file.seek(start)
        length = length_of(file.read(16))
        if length == _TO_THE_END:
            return 0
        start += length
    return start - n_bytes


def _box_length(head: bytes) -> int:
    """Bytes of a box with its head; _TO_THE_END also for what is not a box."""
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        length = int.from_bytes(head[8:16], "big")
    return length if length >= 8 and head[4:8].isalnum() else _TO_THE_END


def _riff_length(head: bytes) -> int:
    """Bytes of a chunk with its head; _TO_THE_END also where a writer that could not go back left the length open."""
    length = int.from_bytes(head[4:8], "little")
    return _TO_THE_END if length in (0, 0xFFFFFFFF) else 8 + length


def _ebml_length(head: bytes) -> int:
    """Bytes of an element with its head; _TO_THE_END if the length is unknown or it is not an element."""
    n_id = 9 - head[0].bit_length()
    n_length = 9 - head[n_id].bit_length() if n_id <= 4 and len(head) > n_id else 9
    if n_length > 8:
        return _TO_THE_END
    all_ones = (1 << 7 * n_length) - 1
    length = int.from_bytes(head[n_id : n_id + n_length], "big") & all_ones
    return _TO_THE_END if length == all_ones else n_id + n_length + length
