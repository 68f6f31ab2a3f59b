import io

import numpy as np
import pytest
from PIL import Image

from rope.domain import Frame, Sample
from rope.errors import DatasetError
from rope.media import choose_frames, decode_frame, decode_frames


def png(value: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4, 2), value if mode == "L" else (value,) * len(mode)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("n_stored", "n_frames", "chosen"),
    [(1, 8, [0] * 8), (8, 8, list(range(8))), (5, 2, [1, 3]), (100, 4, [12, 37, 62, 87]), (3, 1, [1])],
)
def test_frames_are_spread_evenly(n_stored, n_frames, chosen):
    assert choose_frames(n_stored, n_frames) == chosen


@pytest.mark.parametrize("counts", [(0, 8), (8, 0)])
def test_no_frames_cannot_be_chosen(counts):
    with pytest.raises(ValueError, match="at least one"):
        choose_frames(*counts)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    (tmp_path / "a.png").write_bytes(png(200, mode))
    for frame in (Frame(data=png(200, mode)), Frame(path=str(tmp_path / "a.png"))):
        pixels = decode_frame(frame)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (2, 4, 3))
        assert np.all(pixels == 200)


def test_a_sample_gives_its_frames_in_order():
    sample = Sample("7", "video", None, tuple(Frame(data=png(10 * i)) for i in range(6)))
    assert [int(frame[0, 0, 0]) for frame in decode_frames(sample, 3)] == [10, 30, 50]


@pytest.mark.parametrize(
    "frame", [Frame(data=b"no image"), Frame(data=png(1)[:40]), Frame(path="/nowhere.jpg"), Frame(data=b"")]
)
def test_what_cannot_be_decoded_is_named(frame):
    with pytest.raises(DatasetError, match=r"video 7: .*cannot be decoded"):
        decode_frames(Sample("7", "video", None, (frame,)), 8)


def test_a_sample_without_frames_is_an_error():
    with pytest.raises(DatasetError, match="live 7: has no frames"):
        decode_frames(Sample("7", "live", None, ()), 8)


def test_a_frame_needs_bytes_or_a_path():
    with pytest.raises(ValueError, match="Frame needs the bytes of a file, or a path"):
        Frame()
