"""Video decoding with decord, for intact files only."""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rope.errors import DatasetError

if TYPE_CHECKING:
    import decord

__all__ = ["read"]


def read(source: str | bytes, chosen: Sequence[int], n_frames: int) -> list[npt.NDArray[np.uint8]]:
    """Some frames of a video that has been looked through before, uint8 [height, width, 3].

    Args:
        source: the path, or the bytes, of a video.
        chosen: places of frames, ascending.
        n_frames: how many there are.

    Raises:
        DatasetError: a chosen frame cannot be decoded, or decord counts other frames.
    """
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(io.BytesIO(source) if isinstance(source, bytes) else source, num_threads=1)
    if len(reader) != n_frames:
        raise DatasetError(f"shows {n_frames} frames, of which decord finds {len(reader)}; decode it with pyav")
    return list(_in_order(reader, chosen))


def _in_order(reader: "decord.VideoReader", chosen: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """The chosen frames by way of all before them: decord miscounts after a jump where groups of pictures are open."""
    wanted = set(chosen)
    for index in range(max(chosen) + 1):
        try:
            frame = reader.next()
        except StopIteration as error:
            raise DatasetError(f"is damaged: ends before its frame {index}") from error
        if index in wanted:
            yield frame.asnumpy()
