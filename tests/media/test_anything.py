import io

import numpy as np
import pytest
from PIL import Image

from rope.domain import Frame, Sample, Video
from rope.errors import DatasetError, UsageError
from rope.media import BACKENDS, decode, decode_frame, decode_frames, decode_video


def picture(value, size=(4, 2)):
    return Image.new("RGB", size, (value, 0, 255 - value))


def png(value):
    buffer = io.BytesIO()
    picture(value).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def forms(tmp_path):
    """One picture in every form."""
    (tmp_path / "a.mp4").write_bytes(png(9))  # a file is known by its bytes
    return [
        png(9),
        bytearray(png(9)),
        tmp_path / "a.mp4",
        str(tmp_path / "a.mp4"),
        picture(9),
        np.asarray(picture(9)),
        Frame(data=png(9)),
        {"bytes": png(9), "path": None},
        {"bytes": None, "path": str(tmp_path / "a.mp4")},
        {"sample_id": "1", "frames": [picture(9)], "video": None},
        {"sample_id": "1", "frames": [{"bytes": png(9), "path": None}]},
        [png(9)],
        Sample("1", "page", None, (Frame(data=png(9)),)),
    ]


def test_every_form_of_an_image_gives_its_pixels(forms):
    for given in forms:
        first, second = decode(given, 2)
        assert first is second or np.array_equal(first, second)
        assert np.array_equal(first, np.asarray(picture(9))), type(given)
        assert decode(given, 1, size=(6, 5))[0].shape == (6, 5, 3)


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "JPEG"])
def test_an_image_in_the_container_of_a_video_is_an_image(kind):
    from PIL import features

    if not features.check(kind.lower() if kind != "JPEG" else "jpg"):
        pytest.skip(f"this Pillow has no {kind}")
    buffer = io.BytesIO()
    picture(9, (16, 16)).save(buffer, kind)
    (found,) = decode(buffer.getvalue(), 1)
    assert np.array_equal(found, decode_frame(Frame(data=buffer.getvalue())))


def test_frames_are_chosen_by_the_rule():
    values = [decode([png(10 * i) for i in range(5)], n)[-1][0, 0, 0] for n in (1, 2, 5, 8)]
    assert values == [20, 30, 40, 40]
    given = [png(1), picture(2), np.asarray(picture(3)), Frame(data=png(4))]
    assert [frame[0, 0, 0] for frame in decode(given, 4)] == [1, 2, 3, 4]


def test_a_video_is_that_of_decode_video(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    from tests.media.videos import scene, write

    path = tmp_path / "clip.jpg"
    path.write_bytes(write(scene(6)))
    expected = decode_video(Video(path=str(path)), 4, (8, 8))
    sample = Sample("1", "video", None, (), Video(path=str(path)))
    for given in (
        path,
        path.read_bytes(),
        Video(path=str(path)),
        sample,
        {"video": {"bytes": None, "path": str(path)}},
    ):
        found = decode(given, 4, (8, 8))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(UsageError, match="a video instead of a frame"):
        decode([path, path], 2)
    assert len(decode_frames(sample, 4)) == 4


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (3, UsageError, "int cannot be decoded: expected a path"),
        (None, UsageError, "NoneType cannot be decoded"),
        ([], DatasetError, "an empty list of frames"),
        ({"text": "a cup"}, UsageError, "a mapping with text: expected a row with frames or video"),
        ({"sample_id": "7", "frames": []}, DatasetError, "7: has no frames"),
        ({"bytes": None, "path": None}, UsageError, "cannot be decoded"),
        (np.zeros((4, 4)), UsageError, r"an array float64 \(4, 4\)"),
        ("no-such-file.png", DatasetError, "no-such-file.png: No such file"),
        (b"no image", DatasetError, "cannot be decoded"),
    ],
)
def test_what_cannot_be_decoded_is_named(given, kind, words):
    with pytest.raises(kind, match=words):
        decode(given)


def test_an_unknown_backend_is_refused_with_those_that_exist():
    for call in (lambda: decode(png(1), backend="opencv"), lambda: decode_video(Video(data=b""), 1, backend="opencv")):
        with pytest.raises(UsageError, match=f"'opencv' is not one of {', '.join(BACKENDS)}"):
            call()
    with pytest.raises(ValueError, match="at least one"):
        decode(png(1), 0)
