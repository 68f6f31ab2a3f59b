"""A sample's stored frames, chosen by the published rule and decoded to RGB."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from rope.domain import Frame, Sample
from rope.errors import DatasetError

__all__ = ["choose_frames", "decode_frame", "decode_frames"]


def choose_frames(n_stored: int, n_frames: int) -> list[int]:
    """Indices of `n_frames` frames spread evenly over `n_stored`: `(2i + 1) * n_stored // (2 * n_frames)`.

    The rule of the published COPE code; frames repeat where there are fewer than asked for.

    >>> choose_frames(16, 8)
    [1, 3, 5, 7, 9, 11, 13, 15]
    >>> choose_frames(3, 8)
    [0, 0, 0, 1, 1, 2, 2, 2]

    Raises:
        ValueError: `n_stored` or `n_frames` is below 1.
    """
    if n_stored < 1 or n_frames < 1:
        raise ValueError(f"need at least one stored and one wanted frame, got {n_stored} and {n_frames}")
    return [(2 * i + 1) * n_stored // (2 * n_frames) for i in range(n_frames)]


def decode_frame(frame: Frame) -> npt.NDArray[np.uint8]:
    """Decode one frame to uint8 [height, width, 3], RGB.

    Raises:
        DatasetError: the file is missing, or its bytes are no image that Pillow reads to the end.
    """
    try:
        with Image.open(io.BytesIO(frame.data) if frame.data is not None else str(frame.path)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{frame.path or 'embedded frame'}: cannot be decoded: {error}") from error


def decode_frames(sample: Sample, n_frames: int) -> list[npt.NDArray[np.uint8]]:
    """Decode `n_frames` frames of a sample, chosen by `choose_frames`; each distinct one is decoded once.

    Raises:
        DatasetError: the sample has no frame, or one of the chosen cannot be decoded; names the sample.
    """
    if not sample.frames:
        raise DatasetError(f"{sample.domain} {sample.sample_id}: has no frames")
    chosen = choose_frames(len(sample.frames), n_frames)
    try:
        decoded = {index: decode_frame(sample.frames[index]) for index in sorted(set(chosen))}
    except DatasetError as error:
        raise DatasetError(f"{sample.domain} {sample.sample_id}: {error}") from error
    return [decoded[index] for index in chosen]
