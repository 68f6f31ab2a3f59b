"""Small videos whose frames all differ, made by PyAV."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image

av.logging.set_level(None)

HEIGHT, WIDTH = 120, 68
"""Even, but no multiple of the 16 pixels that codecs work with."""

QUIET = "log-level=none"
OPTIONS = {
    "libx264": {"g": "12", "bf": "3", "preset": "veryfast"},
    "libx265": {"x265-params": f"{QUIET}:keyint=12:bframes=3", "preset": "ultrafast"},
    "libvpx-vp9": {"g": "12", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "8"},
    "libsvtav1": {"preset": "12"},
    "mpeg4": {"g": "12"},
}


def scene(n: int, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """A smooth seeded picture that moves, uint8 [height, width, 3]."""
    coarse = np.random.default_rng(0).integers(0, 255, (height // 12 + 4, width // 12 + 4, 3), np.uint8)
    wide = (width + 100, height + 100)
    picture = np.asarray(Image.fromarray(coarse).resize(wide, Image.Resampling.BICUBIC))
    return [picture[i % 97 : i % 97 + height, 2 * i % 89 : 2 * i % 89 + width] for i in range(n)]


def write(
    frames: list[np.ndarray],
    codec: str = "libx264",
    container: str = "mp4",
    pixels: str = "yuv420p",
    times_ms: list[int] | None = None,
    options: dict[str, str] | None = None,
    **container_options: str,
) -> bytes:
    """The bytes of a video file at 30 frames per second, or with a time for each frame."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=container_options) as target:
        stream = target.add_stream(codec, rate=30)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.options = options or OPTIONS[codec]
        stream.codec_context.thread_count = 1
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, pixel in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixel), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return file.getvalue()


def empty() -> bytes:
    """An MP4 with a video stream of no frames."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        target.start_encoding()
    return file.getvalue()


def shown_by(mp4: bytes, a: float, b: float, c: float, d: float) -> bytes:
    """The same MP4 with a display matrix, in the track header of ISO/IEC 14496-12: column ap + cq, row bp + dq."""
    at = mp4.index(b"tkhd") + 4 + 4 + 20 + 16  # version 0: times and ids, then reserved fields up to the volume
    a, b, c, d = (round(value * (1 << 16)) for value in (a, b, c, d))
    return mp4[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + mp4[at + 36 :]


def turned(mp4: bytes, quarters: int) -> bytes:
    """The same MP4 with a display matrix that turns it clockwise."""
    return shown_by(mp4, *{1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[quarters])


def cut_by_edit_list(mp4: bytes, start: int) -> bytes:
    """The same MP4 shown from the time `start` of its media, in its own units, by changing its edit list."""
    at = mp4.index(b"elst") + 4 + 4 + 4 + 4  # version and flags, number of entries, duration
    return mp4[:at] + struct.pack(">i", start) + mp4[at + 4 :]


def all_frames(video: bytes) -> list[np.ndarray]:
    """Every frame in the order in which PyAV gives them, decoded from the first to the last."""
    with av.open(io.BytesIO(video)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal arrays."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
