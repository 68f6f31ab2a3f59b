"""Chosen frames of a video file, the same whichever library decodes it."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from rope.domain import Video
from rope.errors import DatasetError, UsageError
from rope.extras import require
from rope.media import with_decord, with_pyav, with_torchcodec
from rope.media.choice import choose_frames
from rope.media.container import checked
from rope.media.containers import is_video
from rope.media.guard import guarded
from rope.media.images import check_size, resize
from rope.media.orientation import is_plain_turn, orientation_of

__all__ = ["BACKENDS", "Backend", "check_backend", "count_frames", "decode_video"]

Backend = Literal["pyav", "torchcodec", "decord", "nvdec"]
"""What decodes a video; `nvdec` is torchcodec on an NVIDIA GPU."""

BACKENDS: Final[tuple[Backend, ...]] = get_args(Backend)

_PACKAGE_OF: Final[dict[Backend, str]] = {
    "pyav": "av",
    "torchcodec": "torchcodec",
    "decord": "decord",
    "nvdec": "torchcodec",
}
_KINDS: Final = "MP4, QuickTime, Matroska, WebM or AVI"


def decode_video(
    video: Video, n_frames: int, size: tuple[int, int] | None = None, backend: Backend = "pyav"
) -> list[npt.NDArray[np.uint8]]:
    """Decode `n_frames` frames of a video file, chosen by `choose_frames` among those it shows.

    Frames count in the order of presentation, whatever their times, and are turned as the file says. PyAV reads the
    packets whatever decodes them, so that all agree on the frames and on what is wrong with a file.

    Args:
        video: MP4, QuickTime, Matroska, WebM, or AVI without B-frames.
        n_frames: how many; frames repeat where the video has fewer.
        size: height and width to which the frames are resized as by `decode_frame`; None for the size of the video.
        backend: what decodes. PyAV measures fastest at a few frames of many; the others are there to compare, and
            where a GPU decodes. A damaged file can end the process in which decord reads it: give it known files only.

    Returns:
        Arrays uint8 [height, width, 3], RGB, in temporal order; a frame that is chosen twice is the same array twice.

    Raises:
        DatasetError: the file is missing, is not a video, shows no frame, ends before its last frame, or has a chosen
            frame that cannot be decoded.
        UsageError: the backend is unknown, or PyAV or the backend is not installed.
        ValueError: `n_frames` or `size` is below 1.
    """
    check_size(size)
    choose_frames(1, n_frames)  # for its ValueError
    check_backend(backend)
    _require(backend)
    with guarded(video):
        distinct = _read(checked(video, is_video, _KINDS), n_frames, backend)
    resized = [resize(pixels, size) for pixels in distinct]
    return [resized[index] for index in choose_frames(len(resized), n_frames)]


def count_frames(video: Video) -> int:
    """How many frames a video file shows, from its packets; none is decoded.

    Raises:
        DatasetError: the file is missing, is not a video, shows no frame, or ends before its last frame.
        UsageError: PyAV is not installed.
    """
    _require("pyav")
    with guarded(video):
        return len(with_pyav.times_s(checked(video, is_video, _KINDS)))


def _read(source: str | bytes, n_frames: int, backend: Backend) -> list[npt.NDArray[np.uint8]]:
    """The distinct ones of the chosen frames."""

    def choose(n_stored: int) -> Sequence[int]:
        return choose_frames(n_stored, min(n_stored, n_frames))

    if backend == "pyav":
        return with_pyav.read(source, choose)
    matrix = with_pyav.display_matrix(source)
    if matrix is not None and orientation_of(matrix) and not is_plain_turn(matrix):
        raise DatasetError(f"is to be shown mirrored or stretched, which {backend} does not do; decode it with pyav")
    times_s = with_pyav.times_s(source)
    chosen = choose(len(times_s))
    if backend == "decord":
        return with_decord.read(source, chosen, len(times_s))
    return with_torchcodec.read(source, chosen, times_s, "cuda" if backend == "nvdec" else "cpu")


def check_backend(backend: str) -> None:
    """Check that a backend exists, installed or not.

    Raises:
        UsageError: it does not; names those that do.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")


def _require(backend: Backend) -> None:
    """Check that PyAV and a backend are installed.

    Raises:
        UsageError: one is not; says how to get it.
    """
    for name in dict.fromkeys(("av", _PACKAGE_OF[backend])):
        require(name, "decoding video")
