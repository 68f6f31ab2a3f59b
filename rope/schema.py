"""The columns of a dataset directory, as Arrow schemas that `datasets` understands.

The `huggingface` entry in a schema's metadata is what `datasets` reads its feature types from, so a
shard loads with images decoded where `rope` is not installed.
"""

import json
from typing import Any, Final

import pyarrow as pa

__all__ = ["EMPTY_TEXT", "FORMAT_VERSION", "PRODUCT_SCHEMA", "SAMPLE_SCHEMA"]

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


SAMPLE_SCHEMA: Final = _with_features(
    [
        ("sample_id", pa.string()),
        ("product_id", pa.string()),
        ("text", pa.string()),
        ("frames", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("frame_times", pa.list_(pa.int64())),
        ("category", pa.string()),
    ],
    {
        "sample_id": _STRING,
        "product_id": _STRING,
        "text": _STRING,
        "frames": {"feature": {"_type": "Image"}, "_type": "List"},
        "frame_times": {"feature": _INT64, "_type": "List"},
        "category": _STRING,
    },
)
"""`pages/`, `videos/` and `lives/`. `frame_times` is a frame number (video), a timestamp in ms (live), 0 (page)."""

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
