"""No error of a foreign library gets past `rope.media`, and nothing else reads media."""

import ast
import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rope
from rope.domain import Audio, Frame, Sample, Video
from rope.errors import DatasetError
from rope.media import count_frames, decode_frame, decode_frames, decode_video
from rope.media.audio import decode_audio, has_audio, iter_audio
from rope.media.guard import guarded
from rope.media.images import read_header

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media import sounds, videos
from tests.media.mutants import SAMPLES, mutant

ROOT = Path(rope.__file__).parents[1]
PACKAGES = ("rope", "cope", "baselines", "leaderboard")
READERS = frozenset(
    {"av", "cv2", "decord", "imageio", "librosa", "pillow_heif", "soundfile", "torchaudio", "torchcodec", "wave"}
)
WRITER = Path("rope/synthetic/mp4.py")
"""The only other module that imports PyAV: it writes."""

SUSPECT = re.compile(rf"import.*\b({'|'.join(READERS)}|open)\b|from ({'|'.join(READERS)})\b|Image\.open")
"""Files without it need no closer look."""


def encoded(kind, **options):
    picture = Image.new("RGB", (96, 64), (200, 40, 40))
    picture.paste((30, 60, 200), (48, 0, 96, 64))
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_exif(tags):
    """A JPEG with EXIF tags (number, type, count, four bytes of value)."""
    ifd = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHI4s", *tag) for tag in tags) + bytes(4)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + ifd
    jpeg = encoded("JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def with_text(at, kind=b"zTXt"):
    """A PNG with a text of 2 MB in some kilobytes, more than Pillow unpacks."""
    png, packed = encoded("PNG"), zlib.compress(b"A" * 2_000_000)
    head = {b"zTXt": b"c\0\0", b"iTXt": b"c\0\1\0\0\0", b"iCCP": b"c\0\0"}[kind]
    return png[:at] + chunk(kind, head + packed) + png[at:]


def no_pixel_format():
    return b"DDS " + struct.pack("<I", 124) + bytes(120)


def hole_in(kind):
    content = encoded(kind)
    return content[: len(content) // 2] + bytes(len(content) // 4) + content[len(content) * 3 // 4 :]


def without_items():
    avif = encoded("AVIF")
    at = avif.index(b"iinf") + 6
    return avif[:at] + bytes(4) + avif[at + 4 :]


def claiming(width, height):
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


WHOLE = {
    "EXIF of a wrong type": (with_exif([(0x0101, 2, 2, b"x\0\0\0"), (0x0112, 3, 1, b"\0\6\0\0")]), (96, 64, 3)),
    "EXIF cut off": (with_exif([(0x0112, 3, 9_000_000, b"\xff\xff\xff\xff")]), (64, 96, 3)),
    "PNG, text in front": (with_text(33), (64, 96, 3)),
    "PNG, text behind": (with_text(-12), (64, 96, 3)),
    "PNG, other text behind": (with_text(-12, b"iTXt"), (64, 96, 3)),
    "PNG, colour profile": (with_text(33, b"iCCP"), (64, 96, 3)),
}
DAMAGED = {
    "AVIF with a hole": hole_in("AVIF"),
    "AVIF without items": without_items(),
    "WebP with a hole": hole_in("WEBP"),
    "JPEG 2000 with a hole": hole_in("JPEG2000")[:200],
    "DDS": no_pixel_format(),
    "QOI": b"qoif" + struct.pack(">IIBB", 4, 4, 3, 0),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "bomb": claiming(30_000, 30_000),
    "nothing": b"",
    "zeros": bytes(1000),
}


@pytest.mark.filterwarnings("ignore:Tag data larger than file:UserWarning")
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("size", [None, (8, 8)])
def test_what_stands_beside_the_pixels_refuses_no_image(name, size):
    content, shape = WHOLE[name]
    assert decode_frame(Frame(content), size).shape == ((*size, 3) if size else shape)
    assert (read_header(Frame(content)).height, read_header(Frame(content)).width) == (64, 96)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_image_is_named(name):
    sample = Sample("7", "page", None, (Frame(DAMAGED[name], "a.jpg"),))
    with pytest.raises(DatasetError, match=r"^page 7: a\.jpg: cannot be decoded: "):
        decode_frames(sample, 1)


@pytest.mark.parametrize("error", [KeyError(34), MemoryError(), RecursionError("deep"), UserWarning("odd"), OSError()])
def test_whatever_is_raised_names_the_file(error):
    caught = pytest.raises(DatasetError, match=rf"^a\.jpg: cannot be decoded: {type(error).__name__}")
    with caught as info, guarded(Frame(path="a.jpg")):
        raise error
    assert info.value.__cause__ is error


def test_an_interrupt_is_no_damage():
    with pytest.raises(KeyboardInterrupt), guarded(Frame(b"")):
        raise KeyboardInterrupt


def renamed(film, old, new):
    """The file with another name of a codec, as a private or an encrypted one has."""
    assert film.count(old) == 1
    return film.replace(old, new)


UNKNOWN_VIDEO = {
    "bvc2": lambda: renamed(videos.write(videos.scene(4)), b"avc1\0\0\0\0\0\0\0\1", b"bvc2\0\0\0\0\0\0\0\1"),
    "encv": lambda: renamed(videos.write(videos.scene(4)), b"avc1\0\0\0\0\0\0\0\1", b"encv\0\0\0\0\0\0\0\1"),
    "V_MPEG4/ISO/XYZ": lambda: renamed(
        videos.write(videos.scene(4), container="matroska"), b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"
    ),
}


@pytest.mark.parametrize("codec", UNKNOWN_VIDEO)
def test_a_codec_that_nothing_decodes_is_named(codec, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(UNKNOWN_VIDEO[codec]())
    for video in (Video(path.read_bytes(), "a.mp4"), Video(path=str(path))):
        for use in (lambda video: decode_video(video, 2), count_frames):
            with pytest.raises(DatasetError, match=rf"a\.mp4: .*no decoder for its codec \({codec}\)"):
                use(video)


@pytest.mark.parametrize(
    ("container", "old", "codec"), [("mp4", b"fLaC\0\0\0\0", "enca"), ("matroska", b"A_FLAC", "A_FLAK")]
)
@pytest.mark.parametrize("n_frames", [0, 3])
def test_a_sound_that_nothing_decodes_is_named(container, old, codec, n_frames):
    film = sounds.write(sounds.tone(0.2), container=container, n_frames=n_frames)
    film = renamed(film, old, codec.encode().ljust(len(old), b"\0"))
    media = Video(film, "a.mp4") if n_frames else Audio(film, "a.mp4")
    assert has_audio(media)
    with pytest.raises(DatasetError, match=rf"^a\.mp4: .*no decoder for its codec \({codec}\)"):
        decode_audio(media, 16_000)


def uses(kind, content):
    if kind == "image":
        frame = Frame(content, "x")
        return [lambda: decode_frame(frame), lambda: decode_frame(frame, (8, 8)), lambda: read_header(frame)]
    media = Video(content, "x") if kind == "clip" else Audio(content, "x")
    heard = [lambda: has_audio(media), lambda: sum(map(len, iter_audio(media, 16_000, 16_000)))]
    return heard if kind == "sound" else [lambda: decode_video(media, 3, (8, 8)), lambda: count_frames(media), *heard]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
@pytest.mark.parametrize("name", SAMPLES)
def test_of_damaged_files_nothing_comes_but_results_and_named_errors(name):
    kind, make = SAMPLES[name]
    for seed in range(40 if kind == "image" else 20):
        for use in uses(kind, mutant(make(), np.random.default_rng(seed))):
            try:
                use()
            except DatasetError as error:
                assert str(error).startswith("x: ")  # noqa: PT017 -- either is right


def foreign_readers(tree):
    """Line and name of each import, and each call of Pillow, by which a module could read media."""
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from ((node.lineno, module) for module in modules if module.partition(".")[0] in READERS)
        if isinstance(node, ast.Attribute) and node.attr == "open" and ast.unparse(node).endswith("Image.open"):
            yield node.lineno, "Image.open"
        if isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
            yield from ((node.lineno, "Image.open") for alias in node.names if alias.name == "open")


def test_nothing_but_rope_media_reads_media():
    found = []
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        place = path.relative_to(ROOT)
        text = path.read_text("utf-8")
        if place.parts[:2] != ("rope", "media") and place != WRITER and re.search(SUSPECT, text):
            found += [f"{place}:{line} {name}" for line, name in foreign_readers(ast.parse(text))]
    assert found == []


def test_foreign_readers_are_seen():
    source = "import av\nfrom PIL import Image\nfrom torchcodec.decoders import VideoDecoder\nwith Image.open(x): pass"
    assert [name for _, name in foreign_readers(ast.parse(source))] == ["av", "torchcodec.decoders", "Image.open"]
