"""A vector of the pictures of every row, by an image model in an ONNX file: a copy detector for merging, say."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.config import Count, check_record
from rope.curation.media_rows import decode_looked_at, media_rows
from rope.curation.operations.embed import unit_mean
from rope.curation.pipeline.ahead import Ahead, media_key, model_at_work
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.curation.wide import new_column
from rope.encoders.onnx_images import Fit, OnnxImages, PixelPreparation, load_onnx_images
from rope.errors import DatasetError, UsageError

__all__ = ["ENCODE", "Encode", "encode"]


@dataclass(frozen=True, slots=True)
class Encode:
    """Options of the operation `encode`.

    Attributes:
        model: an ONNX file from one image to one vector; relative to the recipe.
        fit: how an image becomes the square that the model takes: `stretch`, `crop` or `pad`.
        column: what the vectors are called; another than that of an earlier stage.
        side: of the square in pixels, where the file leaves it open.
        mean: of the three channels from 0 to 1, as the model was trained; none for a model that takes bytes.
        std: their deviations; none for a model that takes bytes.
        channels: their order, `rgb` or `bgr`.
        output: the file's output that is the vector, where it has several.
        frames: of a video or live clip, by the rule of `rope.media.choose_frames`; the row gets the mean of their unit
            vectors.

    Raises:
        UsageError: a number is out of range, or mean or std are not three.
    """

    model: Path
    fit: Fit
    column: str = "embedding"
    side: Count | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    channels: Literal["rgb", "bgr"] = "rgb"
    output: str | None = None
    frames: Count = 8

    def __post_init__(self) -> None:
        check_record(self)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != 3:
                raise UsageError(f"{name} has {len(values)} numbers; expected 3, one for each channel")

    def preparation(self) -> PixelPreparation:
        """How an image becomes the input of the model."""
        mean, std = (None if values is None else (values[0], values[1], values[2]) for values in (self.mean, self.std))
        return PixelPreparation(self.fit, self.side, mean, std, self.channels)


def encode(batch: pa.RecordBatch, options: Encode) -> Outcome:
    """Add the vectors, float32 of length 1; rejects only `unreadable_media`.

    Raises:
        UsageError: the rows have a column of this name.
    """
    vectors: list[npt.NDArray[np.float32] | None] = []
    verdicts: list[Reject | None] = []
    for row in media_rows(batch):
        try:
            vectors.append(_vector(row, options))
            verdicts.append(None)
        except DatasetError as error:
            vectors.append(None)
            verdicts.append(Reject("unreadable_media", None, str(error)))
    return divide(new_column(batch, options.column, pa.array(vectors, pa.list_(pa.float32())), "encode"), verdicts)


def _vector(row: Mapping[str, Any], options: Encode) -> npt.NDArray[np.float32]:
    model, inputs = _loaded(options), _AHEAD.take((row, options))
    with model_at_work():
        return unit_mean(np.stack([model.encode_prepared(image) for image in inputs]))


def _prepared(row: Mapping[str, Any], options: Encode) -> list[npt.NDArray[np.generic]]:
    """The inputs of the model of the chosen frames of a row."""
    model = _loaded(options)
    return [model.prepare(image) for image in decode_looked_at(row, options.frames)]


def _loaded(options: Encode) -> OnnxImages:
    return _model(options.model, options.preparation(), options.output)


@lru_cache(maxsize=1)
def _model(path: Path, preparation: PixelPreparation, output: str | None) -> OnnxImages:
    return load_onnx_images(Path(path), preparation, output=output)


def _fingerprint(options: Encode) -> str:
    return _model(options.model, options.preparation(), options.output).fingerprint


_AHEAD: Final = Ahead[tuple[Mapping[str, Any], Encode], list[npt.NDArray[np.generic]]](
    lambda asked: _prepared(*asked), lambda asked: (repr(asked[1]), media_key(asked[0])), threads=2
)


def _announce(batch: pa.RecordBatch, options: Encode) -> None:
    _loaded(options)  # once, and not in each thread
    _AHEAD.announce((row, options) for row in media_rows(batch))


ENCODE: Final = MapOperation(
    version=1,
    options=Encode,
    apply=encode,
    fingerprint=_fingerprint,
    announce=_announce,
)
