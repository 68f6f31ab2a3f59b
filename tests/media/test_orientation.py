"""A picture that lies on its side in the file is decoded at the fraction that its upright size allows."""

import io

import numpy as np
import pytest
from PIL import Image

from rope.domain import Frame
from rope.media import decode_frame

SIDEWAYS = (5, 6, 7, 8)


def stored(width, height, orientation):
    """A JPEG of `width` x `height` as stored: a fine chequerboard, which a smaller one cannot hold."""
    fine = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(fine).convert("RGB").save(file, "JPEG", exif=exif, quality=95)
    return Frame(file.getvalue())


@pytest.fixture
def decoded_sizes(monkeypatch):
    """Width and height of what was decoded, before it is resized."""
    sizes, resized = [], Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda image, *rest: (sizes.append(image.size), resized(image, *rest))[1]
    )
    return sizes


@pytest.mark.parametrize(
    ("wanted", "upright"),
    [
        ((90, 160), (160, 90)),  # 1280 x 720 upright, an eighth
        ((180, 320), (320, 180)),
        ((361, 160), (1280, 720)),  # 720 is less than twice 361
        ((720, 160), (1280, 720)),
        ((90, 1280), (1280, 720)),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_fraction_is_of_the_upright_picture(decoded_sizes, orientation, wanted, upright):
    width, height = (720, 1280) if orientation in SIDEWAYS else (1280, 720)
    frame = stored(width, height, orientation)
    assert decode_frame(frame, wanted).shape == (*wanted, 3)
    assert decoded_sizes == [upright]


@pytest.mark.parametrize("orientation", SIDEWAYS)
def test_no_detail_is_lost_to_the_fraction_of_the_other_side(orientation):
    """As high as it is upright, so that its rows keep their contrast; half of that would be plain grey."""
    pixels = decode_frame(stored(400, 1600, orientation), (400, 1600))
    assert np.abs(np.diff(pixels[:, 800, 0].astype(int))).mean() > 100
