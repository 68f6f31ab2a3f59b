"""The one way in to libraries that read media: whatever they raise comes out as an error that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rope.domain import Audio, Frame, Video
from rope.errors import DatasetError, UsageError

__all__ = ["MAX_PIXELS", "guarded", "name_of"]

MAX_PIXELS: Final = 178_956_970
"""Of a picture: above this, Pillow takes an image for a bomb; 540 MB of RGB."""


@contextmanager
def guarded(media: Frame | Video | Audio, fault: str = "cannot be decoded") -> Iterator[None]:
    """Give every error that is raised inside the name of a file.

    Readers of damaged files raise whatever they stumble over: struct.error, NotImplementedError, KeyError, MemoryError.
    A list of them is never complete, so all are caught. Only reading a file belongs inside.

    Args:
        media: the file.
        fault: what to say of it where the library's own words are all there is.

    Raises:
        DatasetError: anything but a `UsageError` was raised, which is its cause.
    """
    try:
        yield
    except UsageError:
        raise
    except DatasetError as error:
        raise DatasetError(f"{name_of(media)}: {error}") from error
    except Exception as error:
        raise DatasetError(f"{name_of(media)}: {fault}: {_reason(error)}") from error


def name_of(media: Frame | Video | Audio) -> str:
    """The name of a file in error messages.

    >>> name_of(Video(path="a.mp4")), name_of(Audio(b"fLaC"))
    ('a.mp4', 'embedded audio')
    """
    return media.path or f"embedded {type(media).__name__.lower()}"


def _reason(error: Exception) -> str:
    """One line; with the class where the text alone says little.

    >>> _reason(FileNotFoundError(2, "No such file or directory", "a.jpg")), _reason(KeyError(34))
    ('No such file or directory', 'KeyError: 34')
    """
    if spoken := getattr(error, "strerror", None):  # of the operating system and of FFmpeg
        return str(spoken)
    text = str(error).partition("\n")[0]
    return text if text and isinstance(error, (OSError, SyntaxError)) else f"{type(error).__name__}: {text}"
