"""Stored media to arrays of pixels."""

from rope.media.frames import choose_frames, decode_frame, decode_frames

__all__ = ["choose_frames", "decode_frame", "decode_frames"]
