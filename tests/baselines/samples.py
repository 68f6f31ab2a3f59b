"""Samples with random pictures."""

import io

import numpy as np
from PIL import Image

from rope.domain import Frame, Sample


def picture(rng: np.random.Generator, height: int = 50, width: int = 40) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def frame(pixels: np.ndarray) -> Frame:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Frame(buffer.getvalue())


def samples(domain: str, n: int, n_frames: int = 1, seed: int = 0, text: str | None = "red dress {}") -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [
        Sample(
            str(i),
            domain,
            None if text is None else text.format(i),
            tuple(frame(picture(rng)) for _ in range(n_frames)),
        )
        for i in range(n)
    ]
