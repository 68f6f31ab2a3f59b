"""Frames as a video file that loses nothing, for libraries that take files alone."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["lossless_video"]


def lossless_video(frames: Sequence[npt.NDArray[np.uint8]]) -> bytes:
    """A Matroska file of FFV1, one frame a second.

    Args:
        frames: uint8 [height, width, 3] each; those of another size than the first are resized to it.
    """
    import av

    height, width = frames[0].shape[:2]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=1)
        stream.width, stream.height = width, height
        stream.pix_fmt = "bgr0"
        for frame in frames:
            same_size = frame
            if frame.shape[:2] != (height, width):
                same_size = np.asarray(Image.fromarray(frame).resize((width, height)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(same_size, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
