"""Small sounds, alone or under a video, made by PyAV."""

import io

import av
import numpy as np

from tests.media.videos import OPTIONS, scene


def tone(seconds: float, hertz: float = 440.0, rate: int = 48_000, level: float = 0.5) -> np.ndarray:
    """A sine, float32 [1, n]."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[None]


def silence(seconds: float, rate: int = 48_000) -> np.ndarray:
    return np.zeros((1, round(seconds * rate)), np.float32)


def write(sound: np.ndarray | None, rate: int = 48_000, codec: str = "flac", container: str = "mp4", n_frames: int = 5):
    """The bytes of a file with a sound [channels, n], or none, under so many frames of video."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as target:
        pictures = target.add_stream("libx264", rate=10) if n_frames else None
        track = None
        if sound is not None:
            track = target.add_stream(codec, rate=rate, layout={1: "mono", 2: "stereo"}[len(sound)])
        if pictures is not None:
            frames = scene(n_frames)
            pictures.height, pictures.width = frames[0].shape[:2]
            pictures.pix_fmt, pictures.options = "yuv420p", OPTIONS["libx264"]
            pictures.codec_context.thread_count = 1
            for pixels in frames:
                target.mux(pictures.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
            target.mux(pictures.encode())
        if track is not None:
            _encode(target, track, sound, rate)
    return file.getvalue()


def _encode(target, track, sound: np.ndarray, rate: int) -> None:
    layout = {1: "mono", 2: "stereo"}[len(sound)]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound, np.float32), format="fltp", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    context = track.codec_context
    if not context.is_open:
        context.open()
    converted = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
    for piece in (*converted.resample(frame), *converted.resample(None)):
        target.mux(track.encode(piece))
    target.mux(track.encode())
