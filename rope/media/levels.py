"""Pictures of any kind of pixel to 8 bits a channel, RGB."""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from rope.errors import DatasetError

__all__ = ["to_rgb"]

_BITS_PER_SAMPLE: Final = 258
_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB.

    Alpha is left out: colours are those that are stored, whatever shines through. Of more than 8 bits, the upper eight
    count, as Pillow takes them of 16-bit colour. Floats go from 0, black, to 1. Colour profiles are not applied.

    Args:
        image: a loaded picture, still with the tags of its file.

    Raises:
        DatasetError: its numbers have no agreed white: integers of 32 bits, signed ones, floats beyond 0 and 1.
    """
    image.info.pop("transparency", None)  # Pillow would warn of it, or look for a colour to stand for it
    if image.mode == "F":
        return Image.fromarray(_from_floats(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I"):
        return Image.fromarray(_from_integers(image)).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_floats(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[height, width] from 0 to 1, as levels of grey."""
    if not (values.min() >= 0 and values.max() <= 1):  # NaN is neither
        raise DatasetError(
            f"has floats from {values.min():g} to {values.max():g} for pixels; expected 0 (black) to 1 (white)"
        )
    return np.asarray(np.rint(values * 255), np.uint8)


def _from_integers(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Levels of grey [height, width] of a picture of more than 8 bits."""
    tags = getattr(image, "tag_v2", {})
    # What PNG and PGM give as 32 bits has 16.
    if image.mode == "I" and tags:
        raise DatasetError("has pixels of 32 bits, or signed ones, whose white is nowhere agreed; convert it to 8 bits")
    n_bits = max(8, *tags.get(_BITS_PER_SAMPLE, (16,)))
    levels = np.asarray(np.asarray(image).astype(np.int64) >> (n_bits - 8), np.uint8)
    return 255 - levels if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else levels
