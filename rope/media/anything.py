"""Frames of whatever a person holds: a path, bytes, a picture, a video, a row of a dataset, or a list of frames."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from rope.domain import Frame, Sample, Video
from rope.errors import DatasetError, UsageError
from rope.media.choice import choose_frames
from rope.media.containers import is_video
from rope.media.frames import decode_frames
from rope.media.images import check_size, decode_frame, resize
from rope.media.levels import to_rgb
from rope.media.video import Backend, check_backend, decode_video

__all__ = ["decode"]

_FIRST_BYTES: Final = 64
_PICTURES: Final = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""Brands of pictures in the container of MP4 (ISO/IEC 23008-12)."""

_FORMS: Final = (
    "a path, the bytes of a file, a picture of Pillow, an array uint8 [height, width, 3], a Frame, Video or Sample, a "
    "row of load_dataset, or a list of frames"
)

Pixels = npt.NDArray[np.uint8]


def decode(
    given: Any,  # noqa: ANN401  the forms below
    n: int = 8,
    size: tuple[int, int] | None = None,
    *,
    backend: Backend = "pyav",
) -> list[Pixels]:
    """Decode `n` frames of an image, a video, or a sequence of frames, chosen by `choose_frames`.

    Args:
        given: the path of an image or video file; its bytes; a picture of Pillow; an array uint8 [height, width, 3],
            RGB; a `Frame`, `Video` or `Sample`; a row of `rope.load_dataset`, with `frames` or `video`; a row's image
            or video as `{"bytes": ..., "path": ...}`; or a list of frames in any of these forms, in temporal order.
        n: how many; one image, or a list of fewer frames, gives some twice.
        size: height and width of the result, see `decode_frame`; None for the stored size.
        backend: what decodes video, see `decode_video`.

    Returns:
        Arrays uint8 [height, width, 3], RGB; a frame that is chosen twice is the same array twice.

    Raises:
        DatasetError: a file is missing or cannot be decoded, or there are no frames.
        UsageError: it has another form, the backend is unknown, or a library to decode it is not installed.
        ValueError: `n` or `size` is below 1.
    """
    check_backend(backend)
    check_size(size)
    choose_frames(1, n)  # for its ValueError
    if isinstance(given, Sample):
        return decode_frames(given, n, size)
    if isinstance(given, Mapping) and not {"bytes", "path"} & set(given):
        return _of_row(given, n, size, backend)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray | memoryview):
        if not given:
            raise DatasetError("an empty list of frames")
        chosen = choose_frames(len(given), n)
        decoded = {index: _one(given[index], size) for index in sorted(set(chosen))}
        return [decoded[index] for index in chosen]
    stored = _stored(given)
    if isinstance(stored, Video):
        return decode_video(stored, n, size, backend)
    return [_one(given if stored is None else stored, size)] * n


def _of_row(row: Mapping[str, Any], n: int, size: tuple[int, int] | None, backend: Backend) -> list[Pixels]:
    """Of a row of a dataset: its frames if it has some, else its video."""
    if row.get("frames"):
        return decode(list(row["frames"]), n, size)
    if row.get("video") is not None:
        return decode(row["video"], n, size, backend=backend)
    if "frames" in row or "video" in row:
        raise DatasetError(f"{row.get('sample_id', 'the row')}: has no frames")
    raise UsageError(f"a mapping with {', '.join(map(str, row)) or 'nothing'}: expected a row with frames or video")


def _one(given: Any, size: tuple[int, int] | None) -> Pixels:  # noqa: ANN401
    """The pixels of one image."""
    if isinstance(given, Image.Image):
        return resize(np.asarray(to_rgb(given.copy())), size)
    if isinstance(given, np.ndarray):
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3:
            raise UsageError(f"an array {given.dtype} {given.shape}: expected uint8 [height, width, 3]")
        return resize(given, size)
    stored = _stored(given)
    if isinstance(stored, Video):
        raise UsageError("a video instead of a frame; give the video alone")
    if stored is None:
        raise UsageError(f"{type(given).__name__} cannot be decoded: expected {_FORMS}")
    return decode_frame(stored, size)


def _stored(given: Any) -> Frame | Video | None:  # noqa: ANN401
    """A file by its content: a video if its first bytes are those of one, else an image; None if it is not a file."""
    if isinstance(given, Frame | Video):
        return given
    if isinstance(given, Mapping):
        data, path = given.get("bytes"), given.get("path")
        return _stored(data if data is not None else path) if data is not None or path is not None else None
    if isinstance(given, bytes | bytearray | memoryview):
        content = bytes(given)
        return Video(data=content) if _is_video(content[:_FIRST_BYTES]) else Frame(data=content)
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        try:
            with path.open("rb") as file:
                first = file.read(_FIRST_BYTES)
        except OSError as error:
            raise DatasetError(f"{path}: {error.strerror or error}") from error
        return Video(path=str(path)) if _is_video(first) else Frame(path=str(path))
    return None


def _is_video(first: bytes) -> bool:
    return is_video(first) and not (first[4:8] == b"ftyp" and first[8:12] in _PICTURES)
