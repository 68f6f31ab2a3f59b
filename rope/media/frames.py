"""A sample's frames, chosen by the published rule and decoded to RGB."""

import numpy as np
import numpy.typing as npt

from rope.domain import Sample
from rope.errors import DatasetError
from rope.media.choice import choose_frames
from rope.media.images import decode_frame
from rope.media.video import decode_video

__all__ = ["choose_frames", "decode_frame", "decode_frames"]


def decode_frames(
    sample: Sample, n_frames: int, size: tuple[int, int] | None = None, *, short_side: int | None = None
) -> list[npt.NDArray[np.uint8]]:
    """Decode `n_frames` frames of a sample, chosen by `choose_frames` among its stored frames or those of its video.

    Each distinct frame is decoded once; one that is chosen twice is the same array twice.

    Args:
        sample: its frames are taken where it has some, else its video.
        n_frames: how many.
        size: height and width of the result, see `decode_frame`; None for the stored size.
        short_side: of stored frames, see `decode_frame`; a video is decoded whole.

    Returns:
        Arrays uint8 [height, width, 3], RGB, in temporal order.

    Raises:
        DatasetError: the sample has no frame, or one of the chosen cannot be decoded; names the sample.
        UsageError: the sample is a video, and no library to decode it is installed.
        ValueError: `n_frames`, `size` or `short_side` is below 1.
    """
    try:
        if sample.frames or sample.video is None:
            return _decode_stored(sample, n_frames, size, short_side)
        return decode_video(sample.video, n_frames, size)
    except DatasetError as error:
        raise DatasetError(f"{sample.domain} {sample.sample_id}: {error}") from error


def _decode_stored(
    sample: Sample, n_frames: int, size: tuple[int, int] | None, short_side: int | None
) -> list[npt.NDArray[np.uint8]]:
    if not sample.frames:
        raise DatasetError("has no frames")
    chosen = choose_frames(len(sample.frames), n_frames)
    decoded = {index: decode_frame(sample.frames[index], size, short_side) for index in sorted(set(chosen))}
    return [decoded[index] for index in chosen]
