"""From decoded frames to what the visual tower takes: augmentation while training, and normalisation."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageEnhance

from rope.feed import stack_frames

__all__ = ["IMAGE_MEAN", "IMAGE_STD", "Augment", "normalised", "reading_size"]

IMAGE_MEAN: Final = (0.485, 0.456, 0.406)
IMAGE_STD: Final = (0.229, 0.224, 0.225)
"""ImageNet's, as in the released code and in X-CLIP; not CLIP's."""

_RATIOS: Final = (3 / 4, 4 / 3)
"""Of height and width of a crop, as in torchvision's RandomResizedCrop."""


def normalised(frames: torch.Tensor) -> torch.Tensor:
    """uint8 [..., 3, h, w] to float32, by ImageNet's mean and deviation; on the device that `frames` is on.

    What a pretrained model has prepared is float32 already, and stays as it is.

    >>> normalised(torch.full((3, 1, 1), 255, dtype=torch.uint8)).flatten()
    tensor([2.2489, 2.4286, 2.6400])
    """
    if frames.is_floating_point():
        return frames
    mean = torch.tensor(IMAGE_MEAN, device=frames.device)[:, None, None]
    std = torch.tensor(IMAGE_STD, device=frames.device)[:, None, None]
    return (frames.float() / 255 - mean) / std


def reading_size(image_size: int, crop: float) -> int:
    """The side to decode frames at, so that the smallest crop is not enlarged.

    >>> reading_size(224, 0.64), reading_size(224, 1.0)
    (280, 224)
    """
    return round(float(image_size / crop**0.5))


@dataclass(frozen=True, slots=True)
class Augment:
    """A transform for `rope.feed.ClipReader`: one random crop, flip and jitter for all frames of a sample.

    The released code draws a crop and then resizes the whole image, by nearest neighbours; what it says it does is done
    here, bilinear and antialiased.

    Attributes:
        size: side of the result; None keeps the crop as it is, for a processor that resizes itself.
        crop: smallest share of the area that is kept; 1 keeps everything.
        flip: probability of mirroring.
        jitter: largest change of brightness, contrast and saturation, as a share.
    """

    size: int | None
    crop: float
    flip: float
    jitter: float

    def __call__(self, frames: list[npt.NDArray[np.uint8]], rng: np.random.Generator) -> torch.Tensor:
        """uint8 [n_frames, 3, size, size] from frames uint8 [h, w, 3]."""
        return stack_frames(self.frames(frames, rng), rng)

    def frames(self, frames: list[npt.NDArray[np.uint8]], rng: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
        """The frames uint8 [size, size, 3] by themselves."""
        box = _crop_box(frames[0].shape[0], frames[0].shape[1], self.crop, rng)
        is_flipped = rng.random() < self.flip
        gains = rng.uniform(1 - self.jitter, 1 + self.jitter, 3)
        return [self._one(frame, box, is_flipped, gains) for frame in frames]

    def _one(
        self,
        frame: npt.NDArray[np.uint8],
        box: tuple[int, int, int, int],
        is_flipped: bool,
        gains: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.uint8]:
        size = (box[2] - box[0], box[3] - box[1]) if self.size is None else (self.size, self.size)
        image = Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, box=box)
        if self.jitter:
            for enhance, gain in zip(
                (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), gains, strict=True
            ):
                image = enhance(image).enhance(float(gain))
        pixels = np.asarray(image)
        return np.ascontiguousarray(pixels[:, ::-1]) if is_flipped else pixels


def _crop_box(height: int, width: int, smallest: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a random part with a share of the area from `smallest` to 1.

    The ratio of its sides is that of the image times a factor from 3/4 to 4/3, or what still fits.
    """
    area = rng.uniform(smallest, 1)
    ratio = np.exp(rng.uniform(np.log(_RATIOS[0]), np.log(_RATIOS[1])))
    crop_width = min(width, round(width * (area * ratio) ** 0.5))
    crop_height = min(height, round(height * (area / ratio) ** 0.5))
    left = int(rng.integers(width - crop_width + 1))
    top = int(rng.integers(height - crop_height + 1))
    return left, top, left + crop_width, top + crop_height
