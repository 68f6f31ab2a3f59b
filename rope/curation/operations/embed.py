"""How well text and pictures of a row fit together, which frames show the product, and the row's vector.

Chinese-CLIP, since it filtered the published dataset. Images of one row go through the model as one batch and alone, so
that no bit of a row depends on its neighbours: shards can be divided, and run anywhere, with the same result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.arrays import FloatArray
from rope.config import Count, NonNegative, check_record
from rope.curation.media_rows import decode_looked_at, looked_at, media_rows
from rope.curation.pipeline.ahead import Ahead, media_key, model_at_work
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.curation.wide import new_column
from rope.errors import DatasetError
from rope.extras import needed_by

if TYPE_CHECKING:
    import torch

    from rope.encoders.chinese_clip import ChineseClip

__all__ = ["EMBED", "Embed", "embed", "unit_mean"]


_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class Embed:
    """Options of the operation `embed`.

    Attributes:
        model: a Chinese-CLIP: Hub id, folder, or checkpoint of the authors.
        backend: `transformers`, or `cn_clip` for the authors' package.
        precision: `fp32`, `bf16` or `fp16`.
        device: `auto` takes a GPU where there is one.
        frames: of a video or live clip, by the rule of `rope.media.choose_frames`.
        margin: a frame shows the product where its similarity is at most this much below that of the best frame.
        column: what the vectors are called; another than that of an earlier stage.

    Raises:
        UsageError: a number is out of range.
    """

    model: str = "OFA-Sys/chinese-clip-vit-base-patch16"
    backend: str = "transformers"
    precision: str = "fp32"
    device: str = "auto"
    frames: Count = 8
    margin: NonNegative = 0.05
    column: str = "embedding"

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the model says of a row."""

    similarity: float | None = None
    frame_similarity: tuple[float, ...] | None = None
    shown: tuple[int, ...] = ()
    vector: npt.NDArray[np.float32] | None = None
    verdict: Reject | None = None


def embed(batch: pa.RecordBatch, options: Embed) -> Outcome:
    """Add what the model says of each row; rejects only `unreadable_media`.

    Columns: `similarity`, the cosine of the text and the best frame, rounded to 4 digits, null without a text;
    `frame_similarity`, of each frame looked at; `shown_frames`, the places among those stored of the frames that show
    the product, all without a text; `embedding` or the name that `column` gives, float32 of length 1, the mean
    over these frames.

    Raises:
        UsageError: the rows have one of these columns.
    """
    looks = [_look(row, options) for row in media_rows(batch)]
    added = {
        "similarity": pa.array([look.similarity for look in looks], pa.float64()),
        "frame_similarity": pa.array([look.frame_similarity for look in looks], pa.list_(pa.float64())),
        "shown_frames": pa.array([look.shown for look in looks], pa.list_(pa.int32())),
        options.column: pa.array([look.vector for look in looks], pa.list_(pa.float32())),
    }
    for name, column in added.items():
        batch = new_column(batch, name, column, "embed")
    return divide(batch, [look.verdict for look in looks])


@lru_cache(maxsize=1)
def _model(options: Embed) -> "ChineseClip":
    with needed_by("the operation embed", "cope"):
        from rope.encoders.chinese_clip import load_chinese_clip
    return load_chinese_clip(options.model, backend=options.backend, precision=options.precision, device=options.device)


def _look(row: Mapping[str, Any], options: Embed) -> _Look:
    try:
        images = _AHEAD.take((row, options))
    except DatasetError as error:
        return _Look(verdict=Reject("unreadable_media", None, str(error)))
    with model_at_work():
        return _look_at(row, images, options)


def _prepared(row: Mapping[str, Any], options: Embed) -> "list[torch.Tensor]":
    """The chosen frames of a row as the model takes them."""
    model = _model(options)
    return [model.prepare(image) for image in decode_looked_at(row, options.frames)]


def _look_at(row: Mapping[str, Any], images: "list[torch.Tensor]", options: Embed) -> _Look:
    model = _model(options)
    vectors = _unit(model.encode_images(images).numpy(force=True))  # [n, dim]
    places = looked_at(row, options.frames)
    if not row["text"]:
        return _Look(shown=tuple(places), vector=unit_mean(vectors))
    text = _unit(model.encode_texts([row["text"]]).numpy(force=True))[0]
    similarities = np.round(vectors @ text, _DECIMALS)
    shown = np.flatnonzero(similarities >= similarities.max() - options.margin)
    return _Look(
        float(similarities.max()),
        tuple(similarities.tolist()),
        tuple(places[i] for i in shown),
        unit_mean(vectors[shown]),
    )


def _unit(vectors: npt.NDArray[Any]) -> FloatArray:
    wide: FloatArray = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide


def unit_mean(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The mean of the unit vectors, of length 1 again; [n, dim] to [dim].

    >>> unit_mean(np.array([[2.0, 0.0], [0.0, 1.0]])).round(3).tolist()
    [0.7070000171661377, 0.7070000171661377]
    """
    return _unit(_unit(vectors).mean(axis=0)).astype(np.float32)


_AHEAD: "Final[Ahead[tuple[Mapping[str, Any], Embed], list[torch.Tensor]]]" = Ahead(
    lambda asked: _prepared(*asked), lambda asked: (asked[1], media_key(asked[0])), threads=4
)


def _announce(batch: pa.RecordBatch, options: Embed) -> None:
    _model(options)  # once, and not in each thread
    _AHEAD.announce((row, options) for row in media_rows(batch))


EMBED: Final = MapOperation(
    version=1,
    options=Embed,
    apply=embed,
    fingerprint=lambda options: _model(options).fingerprint,
    score_column=lambda _: "similarity",
    needs_gpu=True,
    announce=_announce,
)
