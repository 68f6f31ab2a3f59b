import io
from pathlib import Path

import pytest
from PIL import Image

from rope.fetch.outcome import FetchError
from rope.fetch.thumbnail import check_thumbnail, thumbnail_of
from rope.sources.grocery import pictures

REAL = Path(__file__).parent / "grocery"


def expected(domain: str) -> str:
    return next(p.thumbnail for p in pictures() if p.domain == domain and p.split == "validation")


def again(domain: str, scale: float = 1.0, quality: int = 80, turn: Image.Transpose | None = None) -> bytes:
    """A real picture, scaled and encoded anew."""
    buffer = io.BytesIO()
    with Image.open(REAL / f"{domain}.jpg") as image:
        size = round(image.width * scale), round(image.height * scale)
        turned = image if turn is None else image.transpose(turn)
        turned.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.mark.parametrize(("scale", "quality"), [(1.0, 80), (348 / 320, 95), (2.0, 50), (0.5, 90)])
@pytest.mark.parametrize("domain", ["page", "video", "live"])
def test_a_real_picture_is_known_whatever_its_size_and_quality(domain, scale, quality):
    check_thumbnail(again(domain, scale, quality), expected(domain))


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180])
def test_a_turned_picture_is_the_same(turn):
    check_thumbnail(again("live", turn=turn), expected("live"))


@pytest.mark.parametrize(("domain", "other"), [("page", "video"), ("video", "live"), ("live", "page")])
def test_another_picture_is_refused(domain, other):
    with pytest.raises(FetchError, match="shows another picture: its thumbnail differs by"):
        check_thumbnail(again(domain), expected(other))


def test_a_picture_that_cannot_be_decoded_is_refused():
    with pytest.raises(FetchError, match="cannot be decoded"):
        check_thumbnail(again("page")[:400], expected("page"))


def test_a_thumbnail_has_a_level_for_each_of_16_parts():
    buffer = io.BytesIO()
    Image.new("L", (40, 40), 51).save(buffer, "PNG")
    assert thumbnail_of(buffer.getvalue()) == "33" * 16
