"""The columns of a dataset directory, as Arrow schemas that `datasets` understands.

The `huggingface` entry in a schema's metadata is what `datasets` reads its feature types from, so a
shard loads with images decoded where `rope` is not installed.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from rope.domain import DomainName, with_published

__all__ = ["EMPTY_TEXT", "FORMAT_VERSION", "SAMPLE_SCHEMA", "product_schema", "sample_schema"]

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


def sample_schema(*, video: bool = False, audio: bool = False, gallery: bool = False) -> pa.Schema:
    """The columns of samples, the same in every domain; the last two are there only where a release needs them.

    `frame_times` is a frame number (video), a timestamp in ms or a frame number (live), 0 (page), the number of an
    image (other domains).

    Args:
        video: with a column `video`, the file of a sample that is a video file; such a sample has no frames.
        audio: with a column `audio`, a file with the sound of a sample that is not a video file.
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
    if audio:
        fields.append(("audio", _FILE))
        features["audio"] = {"decode": False, "_type": "Audio"}
    if gallery:
        fields.append(("gallery", pa.string()))
        features["gallery"] = _STRING
    return _with_features(fields, features)


SAMPLE_SCHEMA: Final = sample_schema()
"""The columns that every release has."""


def product_schema(domains: Iterable[DomainName] = ()) -> pa.Schema:
    """The columns of `products/`: the samples of each product, by domain.

    Args:
        domains: those of the dataset. ROPE's three have a column even where the dataset lacks them; then its lists are
            empty.

    >>> product_schema(["review", "page"]).names
    ['product_id', 'category', 'page_ids', 'video_ids', 'live_ids', 'review_ids']
    """
    ids = [f"{domain}_ids" for domain in with_published(domains)]
    return _with_features(
        [("product_id", pa.string()), ("category", pa.string()), *((name, pa.list_(pa.string())) for name in ids)],
        {"product_id": _STRING, "category": _STRING, **dict.fromkeys(ids, _STRINGS)},
    )
