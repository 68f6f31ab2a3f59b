"""Frames to a short H.264 file, the same bytes each time."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from rope.extras import require

__all__ = ["FRAMES_PER_SECOND", "require_av", "write_mp4"]

FRAMES_PER_SECOND: Final = 2


def require_av() -> None:
    """Check that PyAV is there.

    Raises:
        UsageError: it is not; says how to get it, or to do without.
    """
    require("av", "writing MP4", "video", ", or do without it (--no-mp4, or mp4=False)")


def write_mp4(path: Path, frames: Sequence[Image.Image]) -> None:
    """Write frames of one size (even width and height) as H.264 in MP4, at `FRAMES_PER_SECOND`."""
    import av

    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(FRAMES_PER_SECOND))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.codec_context.thread_count = 1  # slices follow the number of threads
        # With B-frames, x264's mbtree reads memory that it has not written, so that the bytes would differ by chance.
        stream.options = {"crf": "26", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())
