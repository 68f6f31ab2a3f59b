"""Tells kinds of video and sound files by their first bytes, without a decoder."""

from typing import Final

__all__ = ["is_sound", "is_video", "sound_extension", "video_extension"]

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


def sound_extension(content: bytes) -> str | None:
    r"""The usual end of the file's name, from the first bytes of a sound file; else None.

    MP4 and Matroska count, since both hold sound alone as well.

    >>> [sound_extension(content) for content in (b"fLaC\0\0\0\x22", b"\0\0\0\x20ftypM4A ", b"<html>")]
    ['flac', 'm4a', None]
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "wav"
    for begins, extension in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"), (_MATROSKA, "mka")):
        if content.startswith(begins):
            return extension
    if len(content) > 1 and content[0] == 0xFF and content[1] & 0xE6 == 0xE2:  # a frame of MPEG layer III
        return "mp3"
    return "m4a" if content[4:8] in _BOXES else None


def is_sound(content: bytes) -> bool:
    """Whether the first bytes are those of a sound file that `sound_extension` knows; the rest may be damaged.

    >>> is_sound(b"OggS"), is_sound(b"")
    (True, False)
    """
    return sound_extension(content) is not None
