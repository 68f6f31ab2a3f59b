"""Whether bytes begin like a video file, without a decoder."""

from typing import Final

__all__ = ["is_video"]

_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
"""What an MP4 or QuickTime file may begin with, after four bytes of length (ISO/IEC 14496-12)."""

_MATROSKA: Final = b"\x1a\x45\xdf\xa3"


def is_video(content: bytes) -> bool:
    r"""Whether the first bytes are those of MP4, QuickTime, Matroska, WebM or AVI; the rest may still be damaged.

    >>> [is_video(content) for content in (b"\0\0\0\x20ftypisom", b"\x1a\x45\xdf\xa3", b"<html>", b"")]
    [True, True, False, False]
    """
    is_avi = content[:4] == b"RIFF" and content[8:12] == b"AVI "
    return content[4:8] in _BOXES or content.startswith(_MATROSKA) or is_avi
