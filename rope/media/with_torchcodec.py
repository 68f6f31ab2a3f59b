"""Decoding with torchcodec, on the CPU or with the decoder of an NVIDIA GPU."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rope.errors import DatasetError, UsageError

__all__ = ["read"]


def read(
    source: str | bytes, chosen: Sequence[int], times_s: Sequence[float], device: Literal["cpu", "cuda"] = "cpu"
) -> list[npt.NDArray[np.uint8]]:
    """Some frames of a video that has been looked through before, uint8 [height, width, 3].

    Args:
        source: the path, or the bytes, of a video.
        chosen: places of frames, ascending.
        times_s: when each of its frames is shown, in seconds, ascending.
        device: where to decode.

    Raises:
        DatasetError: a chosen frame cannot be decoded, or torchcodec finds other frames.
        UsageError: torchcodec finds no FFmpeg libraries, or the machine has no GPU for decoding.
    """
    try:
        from torch.cuda import is_available
        from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined,import-not-found,unused-ignore]
    except (ImportError, OSError, RuntimeError) as error:
        raise UsageError("torchcodec cannot be loaded; it needs the libraries of FFmpeg, and its own torch") from error
    if device == "cuda" and not is_available():
        raise UsageError("nvdec needs an NVIDIA GPU that torch can use; decode with pyav")
    decoder = VideoDecoder(source, dimension_order="NHWC", device=device)
    batch = decoder.get_frames_at(list(chosen)) if len(decoder) == len(times_s) else None
    if batch is None or not np.allclose(batch.pts_seconds, [times_s[i] for i in chosen], rtol=0, atol=1e-6):
        raise DatasetError("torchcodec finds other frames than PyAV; decode it with pyav")
    return list(batch.data.cpu().numpy())
