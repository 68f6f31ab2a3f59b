"""Small pictures and texts of samples, for a page that loads nothing."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image

from rope.dataset.samples import samples_with_ids
from rope.domain import DomainName, Sample, Split
from rope.errors import RopeError
from rope.files import AnyPath
from rope.media.frames import choose_frames, decode_frames
from rope.media.images import contained
from rope.media.video import count_frames

__all__ = ["SamplePicture", "picture_of", "pictures_of"]

_SIDE: Final = 120
"""Pixels of the longer side of a thumbnail."""

_QUALITY: Final = 60
"""Of WebP: a thumbnail takes about 3 KB."""

_TEXT: Final = 300
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """What is shown of a sample.

    Attributes:
        images: addresses that hold the images themselves; none where the sample has none, or they cannot be decoded.
        text: its text, cut after 300 characters; None where it has none.
        problem: why the image is missing; empty if there is one.
    """

    images: tuple[str, ...]
    text: str | None
    problem: str = ""


def pictures_of(
    directory: AnyPath, split: Split, wanted: Mapping[DomainName, Mapping[str, int]]
) -> dict[DomainName, dict[str, SamplePicture]]:
    """What is shown of some samples.

    Args:
        directory: the dataset directory.
        split: their split.
        wanted: domain -> sample id -> how many frames to show at most.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    return {
        domain: {
            sample.sample_id: picture_of(sample, n_frames[sample.sample_id])
            for sample in samples_with_ids(directory, split, domain, list(n_frames))
        }
        for domain, n_frames in wanted.items()
    }


def picture_of(sample: Sample, n_frames: int, side: int = _SIDE) -> SamplePicture:
    """What is shown of a sample, with at most so many frames, whose longer side has so many pixels."""
    text = None if sample.text is None else sample.text[:_TEXT] + ("…" if len(sample.text) > _TEXT else "")
    try:
        n = len(sample.frames) or (count_frames(sample.video) if sample.video is not None else 0)
        if not n:
            return SamplePicture((), text, "no image")
        pixels = decode_frames(sample, len(choose_frames(n, min(n, n_frames))))
    except RopeError as error:  # whatever it is, it must not cost the page
        return SamplePicture((), text, str(error))
    return SamplePicture(tuple(_thumbnail(Image.fromarray(frame), side) for frame in pixels), text)


def _thumbnail(image: Image.Image, side: int) -> str:
    small, buffer = contained(image, side, Image.Resampling.LANCZOS), BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
