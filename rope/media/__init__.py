"""Stored media to arrays of pixels."""

from rope.media.anything import decode
from rope.media.choice import choose_frames
from rope.media.frames import decode_frames
from rope.media.images import decode_frame, opaque_share
from rope.media.video import BACKENDS, Backend, count_frames, decode_video

__all__ = [
    "BACKENDS",
    "Backend",
    "choose_frames",
    "count_frames",
    "decode",
    "decode_frame",
    "decode_frames",
    "decode_video",
    "opaque_share",
]
