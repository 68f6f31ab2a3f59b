"""Keep rows whose media can be read: every image to its last pixel, every video file to a frame."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from rope.addresses import TooLargeError, read_file
from rope.config import Count, check_record
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.domain import Frame, Video
from rope.errors import DatasetError
from rope.media import decode_frame, decode_video

__all__ = ["DECODE", "Decode", "decode"]


@dataclass(frozen=True, slots=True)
class Decode:
    """Options of the operation `decode`.

    Attributes:
        min_side: pixels that the shorter side of every image must have.
        max_bytes: size of a file, above which it is not read.

    Raises:
        UsageError: a number is below 1.
    """

    min_side: Count = 1
    max_bytes: Count = 1 << 30

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of the media of a row: SHA-256 of each file, the shortest side, and what is wrong."""

    hashes: tuple[str, ...] = ()
    side: int | None = None
    verdict: Reject | None = None


def decode(batch: pa.RecordBatch, options: Decode) -> Outcome:
    """Read all media of the rows, and keep those that can be decoded.

    Adds the columns `media_sha256` (list of strings: of the bytes of each image, or of the video file) and
    `shortest_side` (pixels). Rejects, with the file in the detail: `unreadable_image`, `unreadable_video`, `too_large`
    (score: bytes) and `too_small` (score: pixels of the shortest side).
    """
    looks = [_look(row, options) for row in batch.select(["frames", "video"]).to_pylist()]
    hashes = pa.array([list(look.hashes) for look in looks], pa.list_(pa.string()))
    sides = pa.array([look.side for look in looks], pa.int32())
    looked = batch.append_column("media_sha256", hashes).append_column("shortest_side", sides)
    return divide(looked, [look.verdict for look in looks])


DECODE: Final = MapOperation(version=1, options=Decode, apply=decode)


def _look(row: Mapping[str, Any], options: Decode) -> _Look:
    hashes, sides = [], []
    media = [("image", frame) for frame in row["frames"] or []]
    media += [("video", row["video"])] if row["video"] is not None else []
    for kind, stored in media:
        place = stored["path"] or f"embedded {kind}"
        try:
            data = stored["bytes"] if stored["bytes"] is not None else read_file(stored["path"], options.max_bytes)
            side = _shortest_side(kind, data)
        except TooLargeError as error:
            return _Look(verdict=Reject("too_large", error.n_bytes, place))
        except (OSError, DatasetError) as error:
            return _Look(verdict=Reject(f"unreadable_{kind}", None, f"{place}: {_why(error)}"))
        if side < options.min_side:
            return _Look(verdict=Reject("too_small", side, place))
        hashes.append(hashlib.sha256(data).hexdigest())
        sides.append(side)
    return _Look(tuple(hashes), min(sides)) if sides else _Look(verdict=Reject("no_media"))


def _shortest_side(kind: str, data: bytes) -> int:
    pixels = decode_frame(Frame(data)) if kind == "image" else decode_video(Video(data), 1)[0]
    height, width = pixels.shape[:2]
    return int(min(height, width))


def _why(error: Exception) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else str(error).partition(": ")[2] or str(error)
