"""Images to the input of CLIP-like models, bit for bit as their authors prepare them with Pillow."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

__all__ = ["CLIP_MEAN", "CLIP_STD", "clip_pixels", "square_pixels"]

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(image: npt.NDArray[np.uint8], side: int) -> torch.Tensor:
    """CLIP's transform: the short side to `side` (bicubic), the middle square, CLIP's mean and deviation.

    Args:
        image: uint8 [height, width, 3], RGB.
        side: of the model's input, in pixels.

    Returns:
        float32 [3, side, side].

    >>> clip_pixels(np.zeros((40, 60, 3), np.uint8), 32).shape
    torch.Size([3, 32, 32])
    """
    height, width = image.shape[:2]
    scaled = (max(side, side * width // height), max(side, side * height // width))
    resized = Image.fromarray(image).resize(scaled, Image.Resampling.BICUBIC)
    left, top = (round((length - side) / 2) for length in scaled)
    return _normalised(resized.crop((left, top, left + side, top + side)))


def square_pixels(image: npt.NDArray[np.uint8], side: int) -> torch.Tensor:
    """Chinese-CLIP's transform: both sides to `side` (bicubic) without keeping the aspect ratio, nothing cut off.

    Args and result are those of `clip_pixels`.

    >>> square_pixels(np.zeros((40, 60, 3), np.uint8), 32).shape
    torch.Size([3, 32, 32])
    """
    return _normalised(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _normalised(image: Image.Image) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255
    return (pixels - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
