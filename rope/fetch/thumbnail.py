"""Whether a picture is the one that was expected, where the bytes of its file are not known.

A thumbnail is the picture in 4 x 4 levels of grey, each the mean of its part, as 32 hex digits. Scaling a photograph
and re-encoding it moves these levels by less than 1 of 255 on average; 99 of 100 pictures of the Grocery Store
Dataset differ from every other one by more than 3. The quarter turns that an EXIF orientation may ask for make no
difference.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from rope.domain import Frame
from rope.errors import DatasetError
from rope.fetch.outcome import FetchError
from rope.media.images import decode_frame

__all__ = ["MARK", "check_thumbnail", "thumbnail_of"]

MARK: Final = "thumbnail:"
"""What tells a thumbnail from a hash in a list of checksums."""

_SIDE: Final = 4
_TOLERANCE: Final = 3.0
"""Mean difference of levels, of 255."""


def thumbnail_of(content: bytes) -> str:
    """The thumbnail of an image file, in hex.

    Raises:
        DatasetError: it cannot be decoded.
    """
    grey = Image.fromarray(decode_frame(Frame(content))).convert("L")
    return grey.resize((_SIDE, _SIDE), Image.Resampling.BOX).tobytes().hex()


def check_thumbnail(content: bytes, expected: str) -> None:
    """Check that an image file shows the picture with a thumbnail.

    Raises:
        FetchError: wrong_checksum; it shows another, or cannot be decoded.
    """
    try:
        found = _levels(thumbnail_of(content))
    except DatasetError as error:
        raise FetchError("wrong_checksum", f"cannot be decoded ({error})", is_temporary=True) from error
    wanted = _levels(expected)
    difference = min(float(np.abs(np.rot90(found, turns) - wanted).mean()) for turns in range(4))
    if difference > _TOLERANCE:
        raise FetchError(
            "wrong_checksum",
            f"shows another picture: its thumbnail differs by {difference:.1f} of 255, expected at most {_TOLERANCE}",
            is_temporary=True,
        )


def _levels(thumbnail: str) -> npt.NDArray[np.int16]:
    return np.frombuffer(bytes.fromhex(thumbnail), np.uint8).astype(np.int16).reshape(_SIDE, _SIDE)
