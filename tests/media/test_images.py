import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from rope.domain import Frame
from rope.errors import DatasetError
from rope.media import decode_frame
from rope.media.images import resize
from tests.stored import DATA


def psnr(one, other):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(np.float64) - other) ** 2)))


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> Frame:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Frame(buffer.getvalue())


def picture(height, width, mode="RGB"):
    """Four corners of different colours, so that a turned picture differs."""
    corners = np.array([[[250, 10, 10], [10, 240, 10]], [[10, 10, 230], [200, 200, 20]]], np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("size", [(224, 224), (100, 200), (640, 360), (1500, 3000), (1, 1)])
@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA")])
def test_an_image_gets_the_wanted_size(size, kind, mode):
    frame = encoded(picture(720, 1280, mode), kind)
    small = decode_frame(frame, size)
    assert (small.dtype, small.shape) == (np.uint8, (*size, 3))
    assert psnr(small, resize(decode_frame(frame), size)) > 35


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(monkeypatch):
    sizes = []
    resized = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda image, *args: (sizes.append(image.size), resized(image, *args))[1]
    )
    frame = encoded(picture(720, 1280))
    sizes.clear()
    for size in ((224, 224), (90, 160), (361, 640), (8, 8)):
        decode_frame(frame, size)
    assert sizes == [(640, 360), (160, 90), (1280, 720), (160, 90)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, (60, 40)])
def test_an_image_is_turned_upright(orientation, size):
    upright = picture(480, 320)
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    tag = Image.Exif()
    tag[0x0112] = undo
    stored = upright.copy()
    stored.getexif()[0x0112] = undo
    frame = encoded(ImageOps.exif_transpose(stored), exif=exif, quality=95)
    assert psnr(decode_frame(frame, size), resize(np.asarray(upright), size)) > 35


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_a_size_has_to_be_positive(size):
    with pytest.raises(ValueError, match="at least one pixel"):
        decode_frame(encoded(picture(8, 8)), size)


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_a_cut_jpeg_is_an_error(size):
    data = encoded(picture(480, 320)).data
    with pytest.raises(DatasetError, match="embedded frame: cannot be decoded"):
        decode_frame(Frame(data[: len(data) // 2]), size)


@pytest.mark.parametrize(("side", "median"), [(80, 35), (112, 44), (128, 43)])
def test_photos_hardly_differ_from_those_decoded_in_full(side, median):
    frames = [Frame(path.read_bytes()) for path in sorted((DATA / "grocery" / "pool" / "images").glob("*.jpg"))]
    values = [
        psnr(decode_frame(frame, (side, side)), resize(full, (side, side)))
        for frame in frames
        if min((full := decode_frame(frame)).shape[:2]) >= 2 * side
    ]
    assert len(values) > 20
    assert min(values) >= 31
    assert np.median(values) >= median
