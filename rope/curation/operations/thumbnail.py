"""A small picture of every row, by which merging knows copies of an image that were cut, scaled or recoloured."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from PIL import Image

from rope.curation.dedup.near_duplicate_images import SIDE, thumbnail
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.domain import Frame, Video
from rope.errors import DatasetError
from rope.media import decode_frame, decode_video

__all__ = ["THUMBNAIL", "Thumbnail", "make_thumbnails"]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Options: none."""


def make_thumbnails(batch: pa.RecordBatch, options: Thumbnail) -> Outcome:
    """Add `thumbnail`, the bytes of uint8 [64, 64, 3]: of a page's image, or the best frame of a video or live clip.

    The best frame is the first that shows the product, where an earlier stage has said so (`shown_frames`), or the one
    in the middle. Rejects `unreadable_media`.
    """
    names = [name for name in ("frames", "video", "shown_frames") if name in batch.schema.names]
    made: list[bytes | None] = []
    verdicts: list[Reject | None] = []
    for row in batch.select(names).to_pylist():
        try:
            made.append(thumbnail(_picture(row)).tobytes())
            verdicts.append(None)
        except (DatasetError, OSError) as error:
            made.append(None)
            verdicts.append(Reject("unreadable_media", None, str(error)))
    column = pa.array(made, pa.binary(SIDE * SIDE * 3))
    return divide(batch.append_column("thumbnail", column), verdicts)


def _picture(row: dict[str, Any]) -> Image.Image:
    frames = row["frames"] or []
    if not frames:
        video = row["video"] or {}
        return Image.fromarray(decode_video(Video(video.get("bytes"), video.get("path")), 1)[0])
    shown = row.get("shown_frames") or [len(frames) // 2]
    frame = frames[min(shown[0], len(frames) - 1)]
    return Image.fromarray(np.asarray(decode_frame(Frame(frame["bytes"], frame["path"]))))


THUMBNAIL: Final = MapOperation(version=2, options=Thumbnail, apply=make_thumbnails)
