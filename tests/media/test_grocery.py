"""Real photos: a video beside the JPEGs that it was made of."""

import numpy as np
import pytest
from PIL import Image

from rope.domain import Video
from rope.media import count_frames, decode_video
from tests.stored import DATA

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media.videos import psnr

FOLDER = DATA / "grocery" / "video"


def centred(path):
    """A JPEG on the black square that the video has."""
    canvas = Image.new("RGB", (320, 320))
    with Image.open(path) as image:
        canvas.paste(image, ((320 - image.width) // 2, (320 - image.height) // 2))
    return np.asarray(canvas)


@pytest.mark.parametrize("from_bytes", [True, False])
def test_a_video_shows_its_jpegs(from_bytes):
    path = FOLDER / "video.mp4"
    video = Video(path.read_bytes()) if from_bytes else Video(None, str(path))
    expected = [centred(frame) for frame in sorted(FOLDER.glob("*.jpg"))]
    assert count_frames(video) == len(expected) == 5
    assert min(map(psnr, decode_video(video, len(expected)), expected)) >= 34
