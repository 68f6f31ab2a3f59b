"""Small images, clips and sounds of many formats, and damaged copies of them."""

import io
from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import numpy as np
from PIL import Image

from tests.media import sounds, videos

Kind = Literal["image", "clip", "sound"]


def _picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(videos.scene(1, 48, 40)[0]).convert(mode)


def _image(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    _picture(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _with_metadata(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    return _image(kind, exif=exif, icc_profile=b"a profile" * 20, xmp=b"<x tiff:Orientation='6'/>")


def _with_text() -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("a", "some text" * 50, zip=True)
    info.add_itxt("b", "other text", zip=True)
    return _image("PNG", pnginfo=info)


def _animation(kind: str) -> bytes:
    return _image(kind, save_all=True, append_images=[_picture().rotate(90), _picture().rotate(180)], duration=50)


def _grey_16(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 48 * 40).reshape(48, 40).astype(np.uint16)).save(buffer, kind, **options)
    return buffer.getvalue()


def _film(codec: str = "libx264", container: str = "mp4", side: int = 48, **options: object) -> bytes:
    return videos.write(videos.scene(8, side, side), codec, container, **options)


def _talkie(codec: str = "aac", container: str = "mp4") -> bytes:
    return sounds.write(sounds.tone(0.5), codec=codec, container=container, n_frames=4)


def _sound(codec: str, container: str, channels: int = 1) -> bytes:
    return sounds.write(np.repeat(sounds.tone(0.5), channels, axis=0), codec=codec, container=container, n_frames=0)


_MAKERS: dict[str, tuple[Kind, Callable[[], bytes]]] = {
    "jpeg": ("image", partial(_with_metadata, "JPEG")),
    "jpeg progressive": ("image", partial(_image, "JPEG", progressive=True)),
    "jpeg cmyk": ("image", partial(_image, "JPEG", "CMYK")),
    "mpo": ("image", partial(_animation, "MPO")),
    "png": ("image", partial(_image, "PNG", "RGBA")),
    "png palette": ("image", partial(_image, "PNG", "P", transparency=b"\0\1\2")),
    "png text": ("image", _with_text),
    "png 16": ("image", partial(_grey_16, "PNG")),
    "webp": ("image", partial(_with_metadata, "WEBP")),
    "webp lossless": ("image", partial(_image, "WEBP", lossless=True)),
    "webp animated": ("image", partial(_animation, "WEBP")),
    "gif": ("image", partial(_animation, "GIF")),
    "bmp": ("image", partial(_image, "BMP")),
    "bmp palette": ("image", partial(_image, "BMP", "P")),
    "tiff": ("image", partial(_image, "TIFF")),
    "tiff lzw": ("image", partial(_image, "TIFF", compression="tiff_lzw")),
    "tiff jpeg": ("image", partial(_image, "TIFF", compression="jpeg")),
    "tiff 16": ("image", partial(_grey_16, "TIFF")),
    "tiff float": ("image", partial(_image, "TIFF", "F")),
    "avif": ("image", partial(_with_metadata, "AVIF")),
    "jpeg 2000": ("image", partial(_image, "JPEG2000")),
    "ico": ("image", partial(_image, "ICO", sizes=[(16, 16), (32, 32)])),
    "ppm": ("image", partial(_image, "PPM")),
    "pgm 16": ("image", partial(_grey_16, "PPM")),
    "dds": ("image", partial(_image, "DDS")),
    "dds bc": ("image", partial(_image, "DDS", "RGBA", pixel_format="DXT5")),
    "h264 mp4": ("clip", _film),
    "h264 mkv": ("clip", partial(_film, container="matroska")),
    "h264 fragments": ("clip", partial(_film, movflags="frag_keyframe+empty_moov")),
    "h265 mp4": ("clip", partial(_film, "libx265", side=96)),
    "vp9 webm": ("clip", partial(_film, "libvpx-vp9", "webm")),
    "mpeg4 avi": ("clip", partial(_film, "mpeg4", "avi")),
    "mpeg4 mov": ("clip", partial(_film, "mpeg4", "mov")),
    "aac mp4": ("clip", _talkie),
    "opus mkv": ("clip", partial(_talkie, "libopus", "matroska")),
    "wav": ("sound", partial(_sound, "pcm_s16le", "wav", 2)),
    "adpcm wav": ("sound", partial(_sound, "adpcm_ms", "wav")),
    "flac": ("sound", partial(_sound, "flac", "flac")),
    "opus": ("sound", partial(_sound, "libopus", "ogg")),
    "mp3": ("sound", partial(_sound, "libmp3lame", "mp3")),
    "m4a": ("sound", partial(_sound, "aac", "ipod", 2)),
    "alac": ("sound", partial(_sound, "alac", "ipod")),
}

SAMPLES = {name: (kind, cache(make)) for name, (kind, make) in _MAKERS.items()}
"""Name -> what it is, and a function that gives its bytes."""


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """The same bytes with one to eight faults: single bytes, numbers of four, holes, copies, cuts and insertions."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        _damage(data, rng)
    return bytes(data)


def _damage(data: bytearray, rng: np.random.Generator) -> None:
    # Half of the faults are in the first bytes, where headers are.
    at = int(rng.integers(min(len(data), 400) if rng.random() < 0.5 else len(data)) if data else 0)
    n = int(rng.integers(1, 64))
    match int(rng.integers(8)):
        case 0 | 1 | 2:
            data[at : at + 1] = rng.bytes(1)
        case 3:
            data[at : at + 4] = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"][rng.integers(4)]
        case 4:
            data[at : at + n] = bytes(len(data[at : at + n]))
        case 5:
            data[at:at] = data[at : at + n]
        case 6:
            del data[at : at + n]
        case 7:
            other = int(rng.integers(len(data) + 1))
            data[at : at + n] = data[other : other + n]
