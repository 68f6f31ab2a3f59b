"""Decoding for training: 8 frames of one clip to 224 x 224, beside the usual ways.

    python benchmarks/media.py [--rounds 9]

Videos of 300 frames of 540 x 960 pixels in H.264, with a key frame every 12, 60 and 250 frames, and JPEGs of
720 x 1280 and 1080 x 1920 are made by a seeded script. All ways take turns, several rounds; a figure is the median of
its rounds, a ratio the median of the rounds' own. torchcodec needs its package and the libraries of FFmpeg, and is left
out without.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import av
import decord
import numpy as np
from PIL import Image

from rope.domain import Frame, Sample, Video
from rope.media import choose_frames, decode_frames

N_FRAMES = 8
SIZE = 224
N_STORED = 300
CHOSEN = choose_frames(N_STORED, N_FRAMES)

Way = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    decord.logging.set_level(decord.logging.QUIET)
    with tempfile.TemporaryDirectory() as folder:
        for gap in (12, 60, 250):
            path = Path(folder) / f"{gap}.mp4"
            write_video(path, gap)
            title = f"8 of {N_STORED} frames, H.264, a key frame every {gap} ({path.stat().st_size // 1000:,} KB)"
            compare(title, video_ways(str(path)), rounds)
    for width, height in ((720, 1280), (1080, 1920)):
        images = make_jpegs(height, width)
        compare(f"8 JPEGs of {width} x {height} ({len(images[0]) // 1000:,} KB each)", image_ways(images), rounds)


def compare(title: str, ways: dict[str, Way], rounds: int) -> None:
    """Time the ways in turns; the first is ours."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for turn in range(rounds):
        for name in sorted(ways, key=lambda name: (hash_of(name) + turn) % len(ways)):
            started = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - started)
    ours = seconds[next(iter(ways))]
    print(f"| {title} | ms | times ours |\n|---|---|---|")
    for name, taken in seconds.items():
        ratio = statistics.median(one / our for one, our in zip(taken, ours, strict=True))
        print(f"| {name} | {1000 * statistics.median(taken):.1f} | {ratio:.2f} |")
    print()


def hash_of(name: str) -> int:
    return sum(name.encode())


def video_ways(path: str) -> dict[str, Way]:
    sample = Sample("1", "video", None, (), Video(None, path))
    ways: dict[str, Way] = {
        "rope.media": lambda: decode_frames(sample, N_FRAMES, (SIZE, SIZE)),
        "PyAV, one frame after the other": lambda: pyav_in_order(path),
        "PyAV, seeking": lambda: pyav_seeking(path),
        "decord": lambda: decord.VideoReader(path, width=SIZE, height=SIZE).get_batch(CHOSEN).asnumpy(),
        "decord, one thread": lambda: (
            decord.VideoReader(path, width=SIZE, height=SIZE, num_threads=1).get_batch(CHOSEN).asnumpy()
        ),
    }
    if find_spec("torchcodec"):
        ways["torchcodec"] = lambda: torchcodec_plain(path, 1)
        ways["torchcodec, a thread a core"] = lambda: torchcodec_plain(path, 0)
    return ways


def pyav_in_order(path: str) -> list[np.ndarray]:
    """The usual loop: everything is decoded up to the last wanted frame."""
    frames, wanted = [], set(CHOSEN)
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                frames.append(frame.reformat(SIZE, SIZE, "rgb24", interpolation="BILINEAR").to_ndarray())
            if len(frames) == len(wanted):
                break
    return frames


def pyav_seeking(path: str) -> list[np.ndarray]:
    """A seek to the key frame before each wanted frame, for a video with even times."""
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = int(1 / (stream.average_rate * stream.time_base))
        for index in CHOSEN:
            container.seek(index * step, stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= index * step)
            frames.append(frame.reformat(SIZE, SIZE, "rgb24", interpolation="BILINEAR").to_ndarray())
    return frames


def torchcodec_plain(path: str, threads: int) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    decoder = VideoDecoder(path, num_ffmpeg_threads=threads, transforms=[Resize((SIZE, SIZE))])
    return decoder.get_frames_at(CHOSEN).data.numpy()


def image_ways(images: list[bytes]) -> dict[str, Way]:
    sample = Sample("1", "video", None, tuple(Frame(image) for image in images))
    return {
        "rope.media": lambda: decode_frames(sample, N_FRAMES, (SIZE, SIZE)),
        "Pillow": lambda: [pillow(image) for image in images],
        "Pillow, reducing_gap=2": lambda: [pillow(image, reducing_gap=2.0) for image in images],
    }


def pillow(image: bytes, **options: float) -> np.ndarray:
    with Image.open(io.BytesIO(image)) as opened:
        return np.asarray(opened.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, **options))


def scene(height: int, width: int, noise: int) -> np.ndarray:
    """Large structure with noise of so many levels, larger than a frame by 400 pixels both ways."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 24 + 20, width // 24 + 20, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width + 400, height + 400), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture).astype(np.int16)
    return (pixels + rng.integers(-noise, noise, pixels.shape, np.int16)).clip(0, 255).astype(np.uint8)


def write_video(path: Path, gap: int) -> None:
    """A camera that pans over the scene, back and forth."""
    picture = scene(960, 540, 10)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 540, 960, "yuv420p"
        stream.options = {"g": str(gap), "keyint_min": str(gap), "crf": "26"}
        for i in range(N_STORED):
            x, y = (abs(i * step % 798 - 399) for step in (2, 3))
            pixels = np.ascontiguousarray(picture[y : y + 960, x : x + 540])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def make_jpegs(height: int, width: int) -> list[bytes]:
    picture = scene(height, width, 3)
    images = []
    for i in range(N_FRAMES):
        buffer = io.BytesIO()
        Image.fromarray(picture[30 * i : 30 * i + height, 20 * i : 20 * i + width]).save(buffer, "JPEG", quality=85)
        images.append(buffer.getvalue())
    return images


if __name__ == "__main__":
    main()
