import asyncio
import hashlib
import io
import warnings

import pytest
from PIL import Image

from rope.fetch.outcome import FetchError
from rope.fetch.verify import verify
from tests.fetch.server import bomb, jpeg


def image(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


def reason_of(content: bytes, digest: str | None = None, max_pixels: int = 10_000) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            asyncio.run(verify(content, digest, max_pixels))
        except FetchError as fault:
            return fault.reason
    return None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_whole_images_of_the_web_pass(kind):
    assert reason_of(image(kind)) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("n_missing", [40, 400])
def test_an_image_without_its_end_is_truncated(kind, n_missing):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg(64, 64))).save(buffer, kind)
    assert reason_of(buffer.getvalue()[:-n_missing]) == "truncated"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("n_bytes", [3, 5000])
def test_bytes_behind_an_image_do_no_harm(kind, n_bytes):
    assert reason_of(image(kind) + bytes(n_bytes)) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not_an_image"),
        (b"<!doctype html><p>not found", "not_an_image"),
        (b"\xff\xd8\xff", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        (image("TIFF"), "not_an_image"),
        (bomb(), "too_many_pixels"),
        (image("PNG", (200, 51)), "too_many_pixels"),
        (image("PNG", (200, 50)), None),
    ],
)
def test_what_is_no_image_or_too_large_decoded_is_named(content, reason):
    assert reason_of(content) == reason


def test_an_image_between_pillows_warning_and_its_error_is_refused():
    assert reason_of(image("PNG", (10_000, 9_000)), max_pixels=89_478_485) == "too_many_pixels"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_a_hash_is_told_by_its_length(algorithm):
    content = image("PNG")
    digest = hashlib.new(algorithm, content).hexdigest()
    assert reason_of(content, digest.upper()) is None
    assert reason_of(content, digest[:-1] + ("0" if digest[-1] != "0" else "1")) == "wrong_checksum"
