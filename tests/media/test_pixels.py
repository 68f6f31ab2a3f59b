"""Images of every kind of pixel, and both images and clips beside what Debian's ffmpeg makes of them."""

import io
import shutil
import struct
import subprocess
import sys
from functools import cache
from itertools import product

import numpy as np
import pytest
from PIL import Image

from rope.domain import Frame, Video
from rope.errors import DatasetError
from rope.media import decode_frame, decode_video
from tests.media.test_images import encoded, picture

pytest.importorskip("av", reason="PyAV is not installed")

import av

from tests.media import videos

FFMPEG = shutil.which("ffmpeg")
RAMP = np.linspace(0, 65_535, 64 * 96).reshape(64, 96).astype(np.uint16)
LEVELS = (RAMP >> 8).astype(np.uint8)


def saved(pixels: np.ndarray, kind: str, **options) -> Frame:
    return encoded(Image.fromarray(pixels), kind, **options)


def tiff(pixels: np.ndarray, n_bits: int, *, photometric: int = 1, sample_format: int = 1, order: str = "<") -> Frame:
    """An uncompressed grey TIFF with the tags that say what its numbers mean."""
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    if n_bits == 12:
        first, second = pixels.ravel()[::2].astype(int), pixels.ravel()[1::2].astype(int)
        data = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()
    height, width = pixels.shape
    tags = {256: width, 257: height, 258: n_bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: height}
    tags |= {279: len(data), 339: sample_format}
    tags[273] = 14 + 12 * len(tags)
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    return Frame(head + entries + bytes(4) + data)


GREY_16 = {
    "PNG": lambda: saved(RAMP, "PNG"),
    "TIFF": lambda: saved(RAMP, "TIFF"),
    "TIFF, LZW": lambda: saved(RAMP, "TIFF", compression="tiff_lzw"),
    "TIFF, high byte first": lambda: tiff(RAMP, 16, order=">"),
    "TIFF, white is zero": lambda: tiff(65_535 - RAMP, 16, photometric=0),
    "TIFF, 12 bits": lambda: tiff(RAMP >> 4, 12),
    "TIFF, floats": lambda: saved((LEVELS / np.float32(255)).astype(np.float32), "TIFF"),
    "JPEG 2000": lambda: saved(RAMP, "JPEG2000"),
    "PGM": lambda: saved(RAMP, "PPM"),
}


@pytest.mark.parametrize("name", GREY_16)
@pytest.mark.parametrize("size", [None, (64, 96)])
def test_of_more_than_eight_bits_the_upper_eight_count(name, size):
    np.testing.assert_array_equal(decode_frame(GREY_16[name](), size), np.repeat(LEVELS[:, :, None], 3, axis=2))


def test_sixteen_bits_of_colour_and_of_grey_are_the_same():
    colour = rgb_16(RAMP)
    np.testing.assert_array_equal(decode_frame(colour), decode_frame(GREY_16["PNG"]()))


def rgb_16(grey: np.ndarray) -> Frame:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb48le")
    context = av.CodecContext.create("png", "w")
    context.height, context.width, context.pix_fmt = *grey.shape, "rgb48be"
    context.time_base = 1
    return Frame(b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None))))


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (tiff(RAMP.astype(np.uint32), 32), "white is nowhere agreed; convert it to 8 bits"),
        (tiff(RAMP.astype(np.int32), 32, sample_format=2), "white is nowhere agreed; convert it to 8 bits"),
        (tiff((RAMP // 2).astype(np.int16), 16, sample_format=2), "white is nowhere agreed; convert it to 8 bits"),
        (saved(LEVELS.astype(np.float32), "TIFF"), r"has floats from 0 to 255 for pixels; expected 0 \(black\)"),
        (saved(np.full((2, 2), np.nan, np.float32), "TIFF"), "has floats from nan to nan for pixels"),
    ],
)
def test_numbers_without_an_agreed_white_are_refused(frame, says):
    with pytest.raises(DatasetError, match=f"^embedded frame: .*{says}"):
        decode_frame(frame)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*product(["PNG", "WEBP", "TIFF"], ["RGBA", "LA", "P"]), ("WEBP", "PA"), ("TIFF", "PA")],  # PNG has no PA
)
def test_alpha_is_left_out(kind, mode):
    stored = picture(32, 48, "L").convert("RGB" if mode == "RGBA" else "L")
    seen = stored.convert(mode)
    if mode == "P":
        seen.info["transparency"] = bytes(range(256))
        options = {"transparency": bytes(range(256)) if kind == "PNG" else 0}
    else:
        seen.putalpha(Image.linear_gradient("L").resize(seen.size))
        options = {}
    frame = encoded(seen, kind, **options, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decode_frame(frame), np.asarray(stored.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "mode"), [("TIFF", "RGB"), ("WEBP", "RGB"), ("AVIF", "RGB"), ("PNG", "I;16")])
def test_every_format_is_turned_upright_once(orientation, kind, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(RAMP) if mode == "I;16" else picture(64, 96)
    upright = decode_frame(encoded(image, "PNG"))
    shown = decode_frame(encoded(image, kind, exif=exif.tobytes(), **({"lossless": True} if kind == "WEBP" else {})))
    moved = upright if orientation < 5 else upright.swapaxes(0, 1)
    flips = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
    rows, columns = flips[orientation]
    assert videos.psnr(shown, moved[::rows, ::columns]) > 30


def test_heic_is_read_where_its_reader_is_installed(monkeypatch):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(picture(64, 96)).save(buffer, quality=90)
    assert videos.psnr(decode_frame(Frame(buffer.getvalue())), np.asarray(picture(64, 96))) > 30


def test_heic_without_its_reader_says_what_to_install(monkeypatch):
    from rope.media import images

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(images, "_heif_reader", cache(images._heif_reader.__wrapped__))
    with pytest.raises(DatasetError, match=r"a.heic: .*HEIC needs pillow_heif.*pip install 'rope-bench\[heic\]'"):
        decode_frame(Frame(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", "a.heic"))


def by_ffmpeg(content: bytes, tmp_path, *options: str) -> np.ndarray:
    """All frames as ffmpeg shows them, uint8 [n, height, width, 3]."""
    source = tmp_path / "source"
    source.write_bytes(content)
    accurate = ["-sws_flags", "+accurate_rnd+full_chroma_int+bitexact"]
    command = [FFMPEG, "-v", "error", "-i", source, *options, *accurate, "-pix_fmt", "rgb24", "-f", "image2pipe"]
    done = subprocess.run([*command, "-c:v", "ppm", "-"], capture_output=True, check=True)
    frames, rest = [], io.BytesIO(done.stdout)
    while rest.readline() == b"P6\n":
        width, height = map(int, rest.readline().split())
        rest.readline()
        frames.append(np.frombuffer(rest.read(width * height * 3), np.uint8).reshape(height, width, 3))
    return np.stack(frames)


IMAGES = {
    "JPEG": lambda: encoded(picture(64, 96), quality=95),
    "JPEG, grey": lambda: encoded(picture(64, 96, "L"), quality=95),
    "JPEG, CMYK, inverted as Adobe does": lambda: encoded(picture(64, 96, "CMYK"), quality=95),
    "JPEG, odd": lambda: encoded(picture(63, 97), quality=95),
    "PNG": lambda: encoded(picture(64, 96), "PNG"),
    "PNG, alpha": lambda: encoded(picture(64, 96, "RGBA"), "PNG"),
    "PNG, grey and alpha": lambda: encoded(picture(64, 96, "LA"), "PNG"),
    "PNG, one bit": lambda: encoded(picture(64, 96, "1"), "PNG"),
    "PNG, palette": lambda: encoded(picture(64, 96).quantize(16), "PNG"),
    "PNG, 16 bits of grey": GREY_16["PNG"],
    "PNG, 16 bits of colour": lambda: rgb_16(RAMP),
    "TIFF, 16 bits": GREY_16["TIFF"],
    "TIFF, white is zero": GREY_16["TIFF, white is zero"],
    "WebP": lambda: encoded(picture(64, 96), "WEBP", lossless=True),
    "BMP": lambda: encoded(picture(64, 96), "BMP"),
}


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", IMAGES)
def test_images_are_what_ffmpeg_shows(name, tmp_path):
    frame = IMAGES[name]()
    [shown] = by_ffmpeg(frame.data, tmp_path)
    assert videos.psnr(decode_frame(frame), shown) > (38 if name.startswith("JPEG") else 48)


CLIPS = {
    "limited range": {},
    "full range": {"pixels": "yuvj420p"},
    "4:4:4": {"pixels": "yuv444p"},
    "BT.709": {"options": {"x264-params": "colormatrix=bt709:transfer=bt709:colorprim=bt709"}},
    "10 bits": {"codec": "libx265", "pixels": "yuv420p10le"},
    "odd": {"codec": "libvpx-vp9", "container": "webm", "frames": videos.scene(4, 121, 69)},
}


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", CLIPS)
def test_clips_are_what_ffmpeg_shows(name, tmp_path):
    clip = videos.write(**{"frames": videos.scene(4), **CLIPS[name]})
    shown = by_ffmpeg(clip, tmp_path)
    assert min(map(videos.psnr, decode_video(Video(clip), 4), shown)) > 35


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("straight", [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_clips_are_turned_as_ffmpeg_turns_them(straight, is_transposed, tmp_path):
    a, b, c, d = straight
    clip = videos.shown_by(videos.write(videos.scene(2)), *((b, a, d, c) if is_transposed else straight))
    shown = by_ffmpeg(clip, tmp_path)
    assert min(map(videos.psnr, decode_video(Video(clip), 2), shown)) > 35
