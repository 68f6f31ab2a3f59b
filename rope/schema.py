"""The columns of a dataset directory, as Arrow schemas that `datasets` understands.

The `huggingface` entry in a schema's metadata is what `datasets` reads its feature types from, so a
shard loads with images decoded where `rope` is not installed.
"""

import json
from typing import Any, Final

import pyarrow as pa

__all__ = ["EMPTY_TEXT", "FORMAT_VERSION", "PRODUCT_SCHEMA", "SAMPLE_SCHEMA", "sample_schema"]

FORMAT_VERSION: Final = 1
"""Version of the directory layout and columns, kept in `rope.json`."""

EMPTY_TEXT: Final = "空"
"""What the ROPE release writes where a sample has no text; null in a dataset directory."""

_STRING: Final = {"dtype": "string", "_type": "Value"}
_INT64: Final = {"dtype": "int64", "_type": "Value"}
_STRINGS: Final = {"feature": _STRING, "_type": "List"}


def _with_features(fields: list[tuple[str, pa.DataType]], features: dict[str, Any]) -> pa.Schema:
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(fields, metadata=metadata)


_FILE: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def sample_schema(*, video: bool = False, gallery: bool = False) -> pa.Schema:
    """The columns of `pages/`, `videos/` and `lives/`; the last two are there only where a release needs them.

    `frame_times` is a frame number (video), a timestamp in ms or a frame number (live), 0 (page).

    Args:
        video: with a column `video`, the file of a sample that is a video file; such a sample has no frames.
        gallery: with a column `gallery`, the group of samples that a sample is searched among.

    >>> sample_schema(gallery=True).names
    ['sample_id', 'product_id', 'text', 'frames', 'frame_times', 'category', 'gallery']
    """
    fields = [
        ("sample_id", pa.string()),
        ("product_id", pa.string()),
        ("text", pa.string()),
        ("frames", pa.list_(_FILE)),
        ("frame_times", pa.list_(pa.int64())),
        ("category", pa.string()),
    ]
    features: dict[str, Any] = {
        "sample_id": _STRING,
        "product_id": _STRING,
        "text": _STRING,
        "frames": {"feature": {"_type": "Image"}, "_type": "List"},
        "frame_times": {"feature": _INT64, "_type": "List"},
        "category": _STRING,
    }
    if video:
        fields.append(("video", _FILE))
        # `datasets` decodes with torchcodec alone, and where that is missing no row would load.
        features["video"] = {"decode": False, "_type": "Video"}
    if gallery:
        fields.append(("gallery", pa.string()))
        features["gallery"] = _STRING
    return _with_features(fields, features)


SAMPLE_SCHEMA: Final = sample_schema()
"""The columns that every release has."""

PRODUCT_SCHEMA: Final = _with_features(
    [
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("page_ids", pa.list_(pa.string())),
        ("video_ids", pa.list_(pa.string())),
        ("live_ids", pa.list_(pa.string())),
    ],
    {
        "product_id": _STRING,
        "category": _STRING,
        "page_ids": _STRINGS,
        "video_ids": _STRINGS,
        "live_ids": _STRINGS,
    },
)
"""`products/`: the samples of each product, by domain."""
