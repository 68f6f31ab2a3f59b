"""Small pictures of samples for pages."""

import base64
import io

import pytest
from PIL import Image

from rope.dataset.pictures import picture_of
from rope.domain import Frame, Sample


@pytest.mark.parametrize(("size", "shown"), [((3000, 1), "120x1"), ((1, 3000), "1x120"), ((40, 20), "120x60")])
def test_a_thin_picture_keeps_a_pixel(size, shown):
    encoded = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(encoded, "PNG")
    (image,) = picture_of(Sample("1", "page", None, (Frame(encoded.getvalue()),)), 1, 120).images
    with Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))) as drawn:
        assert f"{drawn.width}x{drawn.height}" == shown
