"""Vectors of images from any ONNX file, such as a copy detector's; how images are prepared is for its user to say.

The file says the type and layout of its input, and often its size. Whether the image is stretched, cut or padded to
that size, and the mean and deviation that its values are normalised with, are in no file: a wrong one gives vectors
that look sound and are not. So they are stated, and nothing that matters has a default.
"""

import hashlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["Fit", "OnnxImages", "PixelPreparation", "load_onnx_images"]

Fit = Literal["stretch", "crop", "pad"]
"""To a square: both sides scaled apart; the short side scaled and the middle kept; the long side scaled and the rest
black."""

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

_TYPES: Final[dict[str, type[np.generic]]] = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


@dataclass(frozen=True, slots=True)
class PixelPreparation:
    """How an image becomes the input of a model.

    Attributes:
        fit: how it becomes a square.
        side: of the square, in pixels; None takes that of the file.
        mean: of the three channels, from 0 to 1; None for a file that takes bytes.
        std: their deviations; None for a file that takes bytes.
        channels: their order.
    """

    fit: Fit
    side: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True, slots=True)
class OnnxImages:
    """A loaded file, ready to give vectors.

    Attributes:
        session: of onnxruntime.
        input_name: of its one input.
        output_name: of the output that is read.
        dtype: of the input.
        channels_last: whether the input is [1, side, side, 3], and not [1, 3, side, side].
        preparation: with the side known.
        fingerprint: SHA-256 of the file, and of FILE.data beside it where there is one.
    """

    session: Any
    input_name: str
    output_name: str
    dtype: type[np.generic]
    channels_last: bool
    preparation: PixelPreparation
    fingerprint: str

    def encode(self, image: Pixels) -> Vectors:
        """The vector of one image; an image alone, so that no bit depends on its neighbours.

        Args:
            image: uint8 [height, width, 3], RGB.

        Returns:
            float32 [dim], as the model gives it: not normalised.

        Raises:
            UsageError: the output is not one vector.
        """
        return self.encode_prepared(self.prepare(image))

    def encode_prepared(self, prepared: npt.NDArray[np.generic]) -> Vectors:
        """The same of what `prepare` gives."""
        found = np.asarray(self.session.run([self.output_name], {self.input_name: prepared})[0])
        if found.size == 0 or max(found.shape, default=0) != found.size:
            raise UsageError(
                f"the ONNX output {self.output_name!r} is of shape {list(found.shape)} for one image; expected one "
                "vector, [1, dim]: name another output"
            )
        return found.reshape(-1).astype(np.float32)

    def prepare(self, image: Pixels) -> npt.NDArray[np.generic]:
        """The input of the model for one image; may be called in threads."""
        how = self.preparation
        pixels = _square(image, how.fit, how.side or 0)
        pixels = pixels[..., ::-1] if how.channels == "bgr" else pixels
        values: npt.NDArray[np.generic] = pixels
        if how.mean is not None and how.std is not None:
            values = (pixels.astype(np.float32) / 255 - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
        values = values if self.channels_last else values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None], self.dtype)


def load_onnx_images(path: Path, preparation: PixelPreparation, *, output: str | None = None) -> OnnxImages:
    """Load an ONNX file that takes an image and gives a vector. It runs on one thread: a run has many workers.

    Args:
        path: the file.
        preparation: see `PixelPreparation`.
        output: name of the output to read; None where there is only one.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        UsageError: the file does not exist, it has other inputs or outputs, or the preparation does not fit it.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected an ONNX model")
    with needed_by("an ONNX encoder", "onnxruntime"):
        runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each code
        raise UsageError(f"{path}: not an ONNX model that can be run: {str(error).splitlines()[0]}") from error
    taken, given = session.get_inputs(), [one.name for one in session.get_outputs()]
    if len(taken) != 1 or len(taken[0].shape) != 4 or taken[0].type not in _TYPES:
        got = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in taken)
        raise UsageError(f"{path}: takes {got}; expected one input of images: uint8, float or float16 of 4 dimensions")
    if (output is None and len(given) > 1) or (output is not None and output not in given):
        raise UsageError(f"{path}: has the outputs {', '.join(given)}; say with output which one is the vector")
    shape = taken[0].shape
    is_last = shape[3] == 3 and shape[1] != 3
    _refuse_misfit(path, preparation, taken[0].type, shape, is_last)
    side = shape[1 if is_last else 2]
    known = preparation if not isinstance(side, int) else _with_side(preparation, side)
    return OnnxImages(
        session, taken[0].name, output or given[0], _TYPES[taken[0].type], is_last, known, _fingerprint(path)
    )


def _refuse_misfit(path: Path, how: PixelPreparation, kind: str, shape: list[Any], is_last: bool) -> None:
    """Say what the file needs that the preparation lacks, or has too much."""
    height, width = shape[1:3] if is_last else shape[2:]
    if shape[3 if is_last else 1] != 3:
        raise UsageError(f"{path}: takes images of the shape {shape}; expected 3 channels, first or last")
    if isinstance(height, int) and isinstance(width, int) and height != width:
        raise UsageError(f"{path}: takes images of {height} x {width} pixels; expected a square")
    if isinstance(height, int) and how.side not in (None, height):
        raise UsageError(f"{path}: takes images of {height} pixels a side, and side is {how.side}; leave it out")
    if not isinstance(height, int) and how.side is None:
        raise UsageError(f"{path}: takes images of any size; say with side which one it was trained with")
    is_bytes, is_stated = kind == "tensor(uint8)", (how.mean is not None, how.std is not None)
    if is_bytes and any(is_stated):
        raise UsageError(f"{path}: takes bytes and normalises them itself; leave out mean and std")
    if not is_bytes and not all(is_stated):
        raise UsageError(
            f"{path}: takes numbers; say with mean and std how it was trained, on values from 0 to 1 (mean = [0, 0, 0] "
            "and std = [1, 1, 1] for neither)"
        )
    if how.std is not None and min(how.std) <= 0:
        raise UsageError(f"{path}: std is {list(how.std)}; expected numbers above 0")


def _with_side(how: PixelPreparation, side: int) -> PixelPreparation:
    return PixelPreparation(how.fit, side, how.mean, how.std, how.channels)


def _square(image: Pixels, fit: Fit, side: int) -> Pixels:
    """uint8 [side, side, 3].

    >>> image = np.zeros((10, 20, 3), np.uint8)
    >>> {fit: _square(image, fit, 8).shape for fit in ("stretch", "crop", "pad")}
    {'stretch': (8, 8, 3), 'crop': (8, 8, 3), 'pad': (8, 8, 3)}
    >>> int(_square(np.full((1, 3000, 3), 200, np.uint8), "pad", 8).max())  # a thin picture is still there
    200
    """
    whole, size = Image.fromarray(image), (side, side)
    if fit == "stretch":
        found = whole.resize(size, Image.Resampling.BILINEAR)
    elif fit == "crop":
        found = ImageOps.fit(whole, size, Image.Resampling.BILINEAR)
    else:
        thick = [max(n, -(-max(whole.size) // side)) for n in whole.size]  # or Pillow leaves a thin picture no pixel
        found = ImageOps.pad(whole.resize((thick[0], thick[1])), size, Image.Resampling.BILINEAR)
    return np.asarray(found, np.uint8)


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    for part in (path, path.with_name(path.name + ".data")):
        if part.is_file():
            digest.update(hashlib.sha256(part.read_bytes()).digest())
    return digest.hexdigest()
