"""What kind of video file bytes begin like, without a decoder."""

from typing import Final

__all__ = ["is_video", "video_extension"]

_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
"""What an MP4 or QuickTime file may begin with, after four bytes of length (ISO/IEC 14496-12)."""

_MATROSKA: Final = b"\x1a\x45\xdf\xa3"


def video_extension(content: bytes) -> str | None:
    r"""The usual end of the file's name, from the first bytes of MP4, QuickTime, Matroska, WebM or AVI; else None.

    QuickTime counts as MP4, and WebM as Matroska, of which it is a part.

    >>> [video_extension(content) for content in (b"\0\0\0\x20ftypisom", b"\x1a\x45\xdf\xa3", b"<html>")]
    ['mp4', 'mkv', None]
    """
    if content[4:8] in _BOXES:
        return "mp4"
    if content.startswith(_MATROSKA):
        return "mkv"
    return "avi" if content[:4] == b"RIFF" and content[8:12] == b"AVI " else None


def is_video(content: bytes) -> bool:
    r"""Whether the first bytes are those of a video file that `video_extension` knows; the rest may be damaged.

    >>> is_video(b"\0\0\0\x20ftypisom"), is_video(b"")
    (True, False)
    """
    return video_extension(content) is not None
