"""Near-duplicates of pictures, as re-uploads make them: five small transforms with known parameters."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from PIL import Image

from rope.domain import Frame
from rope.media.images import decode_frame
from rope.synthetic.camera import encode_jpeg
from rope.synthetic.seeds import pick, uniform

__all__ = ["TRANSFORMS", "CopyTask", "Transform", "TransformName", "draw_transform", "transformed", "write_copies"]

TransformName = Literal["reencode", "resize", "crop", "brighter", "darker"]
TRANSFORMS: Final[tuple[TransformName, ...]] = get_args(TransformName)

_QUALITY: Final = 85
"""JPEG quality of a copy, except for `reencode`."""


@dataclass(frozen=True, slots=True)
class Transform:
    """What was done to a picture.

    Attributes:
        name: what was done.
        params: `quality` (JPEG) of reencode; `scale` of resize; `x`, `y` (offset) and `kept` of crop, as shares of
            width and height; `factor` of brighter and darker.
    """

    name: TransformName
    params: dict[str, float]

    @property
    def params_json(self) -> str:
        """The parameters as JSON with sorted keys."""
        return json.dumps(self.params, sort_keys=True)


@dataclass(frozen=True, slots=True)
class CopyTask:
    """Pictures of one sample to copy: pairs of a path to read and a path to write."""

    transform: Transform
    files: tuple[tuple[Path, Path], ...]


def draw_transform(rng: np.random.Generator, name: TransformName) -> Transform:
    """Draw the parameters of a transform."""
    if name == "reencode":
        return Transform(name, {"quality": pick(rng, (30, 40, 55))})
    if name == "resize":
        return Transform(name, {"scale": round(uniform(rng, 0.6, 0.85), 3)})
    if name == "crop":
        return Transform(
            name, {"kept": 0.96, "x": round(uniform(rng, 0, 0.04), 3), "y": round(uniform(rng, 0, 0.04), 3)}
        )
    return Transform(name, {"factor": 1.08 if name == "brighter" else 0.92})


def transformed(image: Image.Image, transform: Transform) -> Image.Image:
    """The RGB image after a transform; `reencode` leaves its pixels to the encoder.

    >>> transformed(Image.new("RGB", (100, 50)), Transform("resize", {"scale": 0.6})).size
    (60, 30)
    >>> transformed(Image.new("RGB", (1, 1), (100, 50, 0)), Transform("darker", {"factor": 0.92})).getpixel((0, 0))
    (92, 46, 0)
    """
    width, height = image.size
    params = transform.params
    if transform.name == "resize":
        return image.resize((round(width * params["scale"]), round(height * params["scale"])), Image.Resampling.LANCZOS)
    if transform.name == "crop":
        left, top = round(params["x"] * width), round(params["y"] * height)
        return image.crop((left, top, left + round(params["kept"] * width), top + round(params["kept"] * height)))
    if transform.name in ("brighter", "darker"):
        return image.point([min(round(level * params["factor"]), 255) for level in range(256)] * 3)
    return image


def write_copies(task: CopyTask) -> None:
    """Read, transform and write each picture of a task."""
    quality = int(task.transform.params.get("quality", _QUALITY))
    for source, target in task.files:
        image = Image.fromarray(decode_frame(Frame(path=str(source))))
        target.write_bytes(encode_jpeg(transformed(image, task.transform), quality))
