"""Real photos: the videos of a release beside the JPEGs that they were made of."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rope.domain import Video
from rope.media import count_frames, decode_video

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media.videos import psnr

RELEASE = Path(__file__).parents[2].parent / "shared" / "data" / "grocery-release"
pytestmark = pytest.mark.skipif(not RELEASE.is_dir(), reason="the folder of real photos is not there")


def jpegs_of_videos():
    """Video id -> the names of its frames, in the order of their numbers."""
    frames: dict[str, list[tuple[int, str]]] = {}
    for prefix in ("training", "test"):
        for line in (RELEASE / f"{prefix}_video_frames.txt").read_text("utf-8").splitlines():
            video, number, name = line.split(", ")
            frames.setdefault(video, []).append((int(number), name))
    return {video: [name for _, name in sorted(rows)] for video, rows in frames.items()}


def centred(name):
    """A JPEG on the black square that the videos have."""
    canvas = Image.new("RGB", (320, 320))
    with Image.open(RELEASE / "images" / name) as image:
        canvas.paste(image, ((320 - image.width) // 2, (320 - image.height) // 2))
    return np.asarray(canvas)


@pytest.mark.parametrize("from_bytes", [True, False])
def test_videos_show_their_jpegs(from_bytes):
    names = jpegs_of_videos()
    paths = sorted((RELEASE / "videos").glob("*.mp4"))
    assert len(paths) == 40
    worst = {}
    for path in paths:
        video = Video(path.read_bytes()) if from_bytes else Video(None, str(path))
        expected = [centred(name) for name in names[path.stem]]
        assert count_frames(video) == len(expected)
        worst[path.stem] = min(map(psnr, decode_video(video, len(expected)), expected))
    assert min(worst.values()) >= 34
