"""Whether stored media may be handed to FFmpeg: a file of a known kind, as long as it claims to be."""

from collections.abc import Callable
from pathlib import Path

from rope.domain import Audio, Video
from rope.errors import DatasetError
from rope.media.whole import missing_bytes

__all__ = ["checked", "name_of"]


def checked(media: Video | Audio, is_known: Callable[[bytes], bool], kinds: str) -> str | bytes:
    """The bytes of a file, or the absolute path of one that begins as it should and is as long as it claims.

    Neither a playlist nor an address gets to FFmpeg, which would follow it.

    Args:
        media: the file.
        is_known: whether a file with these first 16 bytes may be read.
        kinds: which those are, for the error.

    Raises:
        DatasetError: there is no such file, something else in it, or its end is missing.
    """
    source = media.data if media.data is not None else str(Path(str(media.path)).absolute())
    try:
        head = source[:16] if isinstance(source, bytes) else _head(source)
        if not is_known(head):
            raise DatasetError(f"{name_of(media)}: is no {kinds} file")
        if missing := missing_bytes(source):
            raise DatasetError(f"{name_of(media)}: is truncated: its last {missing:,} bytes are missing")
    except OSError as error:
        raise DatasetError(f"{name_of(media)}: cannot be read: {error.strerror}") from error
    return source


def name_of(media: Video | Audio) -> str:
    """What errors call a file.

    >>> name_of(Video(path="a.mp4")), name_of(Audio(b"fLaC"))
    ('a.mp4', 'embedded audio')
    """
    return media.path or f"embedded {type(media).__name__.lower()}"


def _head(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(16)
