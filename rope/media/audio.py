"""The sound of a video or sound file, as one channel at any rate, decoded by PyAV from first to last."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt

from rope.domain import Audio, Video
from rope.errors import DatasetError
from rope.extras import require
from rope.media.container import checked, decodable, opened, read_packets
from rope.media.containers import is_sound, is_video
from rope.media.guard import guarded

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer

__all__ = ["Sound", "decode_audio", "has_audio", "iter_audio"]

Sound = npt.NDArray[np.float32]
"""[n], one channel, from -1 to 1 where nothing is overdriven."""

_KINDS: Final = "MP4, QuickTime, Matroska, WebM, AVI, WAV, FLAC, Ogg or MP3"
_TOLERANCE_S: Final = Fraction(1, 2)
"""How much earlier than its header says a sound may end; some writers round, and MP3 guesses."""

_MIN_RATE: Final = 1_000
_MAX_RATE: Final = 1_000_000
"""Samples a second of what is taken for sound. Of a header that says 1, an hour would become years."""


def decode_audio(media: Video | Audio, rate: int) -> Sound:
    """The whole sound of a file, float32 [n]; n is 0 where it has none.

    An hour at 16 kHz takes 230 MB; see `iter_audio` for less.

    Args:
        media: a video with a track of sound, or a sound file.
        rate: samples a second of the result.

    Raises:
        DatasetError: as `iter_audio`.
        UsageError: PyAV is not installed.
        ValueError: `rate` is below 1.
    """
    return np.concatenate([np.zeros(0, np.float32), *iter_audio(media, rate, max(1, rate) * 60)])


def iter_audio(media: Video | Audio, rate: int, n_samples: int) -> Iterator[Sound]:
    """The sound of a file piece by piece, so that memory does not grow with its length.

    Of several tracks, the one that FFmpeg takes for the best. Channels are averaged, all alike. A sound of n samples
    at a rate r becomes n * rate / r samples, rounded half up. What an edit list cuts off at the start is left out; a
    track that begins later than the picture, or pauses, is not filled up with silence.

    Args:
        media: a video with a track of sound, or a sound file.
        rate: samples a second of the result; another rate than the file's is computed by FFmpeg's resampler.
        n_samples: samples of a piece.

    Yields:
        float32 [n_samples], the last one perhaps shorter; none where the file has no track of sound.

    Raises:
        DatasetError: the file is missing, is of another kind, ends before its header says, or is damaged.
        UsageError: PyAV is not installed.
        ValueError: `rate` or `n_samples` is below 1.
    """
    if rate < 1 or n_samples < 1:
        raise ValueError(f"need rate and n_samples of at least 1, got {rate} and {n_samples}")
    require("av", "decoding sound")
    with guarded(media, "its sound cannot be decoded"):
        source = checked(media, _is_known, _KINDS)
        with opened(source, "audio") as (container, stream):
            if stream is not None:
                frames = _frames(source, container, decodable(source, cast("AudioStream", stream)))
                yield from _cut(_one_channel(frames, rate), n_samples)


def has_audio(media: Video | Audio) -> bool:
    """Whether a file has a track of sound; nothing is decoded, and the track may be silent.

    Raises:
        DatasetError: the file is missing, is of another kind, or cannot be opened.
        UsageError: PyAV is not installed.
    """
    require("av", "decoding sound")
    with guarded(media), opened(checked(media, _is_known, _KINDS), "audio") as (_, stream):
        return stream is not None


def _is_known(head: bytes) -> bool:
    return is_video(head) or is_sound(head)


def _frames(source: str | bytes, container: "InputContainer", stream: "AudioStream") -> Iterator["av.AudioFrame"]:
    """The frames of a stream, counted against what its header says.

    Raises:
        DatasetError: a frame is damaged, or the last one ends too early.
    """
    found_s = Fraction(0)
    for frame in (frame for packet in read_packets(source, container, stream) for frame in packet.decode()):
        if frame.is_corrupt:
            raise DatasetError("is damaged: its sound cannot be decoded without errors")
        if not _MIN_RATE <= frame.sample_rate <= _MAX_RATE:
            raise DatasetError(f"is damaged: has {frame.sample_rate:,} audio samples per second")
        found_s += Fraction(frame.samples, frame.sample_rate)
        yield frame
    claimed_s = Fraction(stream.duration or 0) * (stream.time_base or 0)
    if found_s < claimed_s - _TOLERANCE_S:
        raise DatasetError(f"is incomplete: holds {float(found_s):.1f} s of its {float(claimed_s):.1f} s of sound")


def _one_channel(frames: Iterable["av.AudioFrame"], rate: int) -> Iterator[Sound]:
    """Frames at another rate, float32 [n] each; a broadcast may change its channels or rate on the way."""
    for _, alike in groupby(frames, key=lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)):
        yield from _resampled(alike, rate)


def _resampled(frames: Iterable["av.AudioFrame"], rate: int) -> Iterator[Sound]:
    """Frames of one kind, of n samples together, as exactly n * rate / their own rate, rounded half up."""
    import av

    # All channels in one plane: of 8 and more planes, PyAV reads some that are not there, which ends the process.
    resampler = av.AudioResampler(format="flt", rate=rate)
    n_read = n_given = own_rate = 0
    for frame in frames:
        n_read, own_rate = n_read + frame.samples, frame.sample_rate
        for piece in resampler.resample(frame):
            n_given += piece.samples
            yield _mean(piece)
    n_missing = (2 * n_read * rate + own_rate) // (2 * own_rate) - n_given
    # The resampler holds back what its filter spans, and its own count of the rest may be off by one. One that has
    # nothing to do hands back the None.
    rest = [_mean(piece) for piece in resampler.resample(None) if piece is not None]
    yield np.concatenate([*rest, np.zeros(max(0, n_missing), np.float32)])[:n_missing]


def _mean(frame: "av.AudioFrame") -> Sound:
    """The channels of a packed frame averaged, float32 [n]."""
    channels = np.ascontiguousarray(frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T)
    mean: Sound = channels.mean(axis=0, dtype=np.float32)
    return mean


def _cut(pieces: Iterable[Sound], n_samples: int) -> Iterator[Sound]:
    """The same samples, so many at a time.

    >>> [piece.tolist() for piece in _cut([np.arange(3.0), np.arange(4.0)], 5)]
    [[0.0, 1.0, 2.0, 0.0, 1.0], [2.0, 3.0]]
    """
    waiting: list[Sound] = []
    n_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += len(piece)
        if n_waiting >= n_samples:
            together = np.concatenate(waiting)
            n_whole = n_waiting // n_samples * n_samples
            yield from together[:n_whole].reshape(-1, n_samples)
            waiting, n_waiting = [together[n_whole:]], n_waiting - n_whole
    if n_waiting:
        yield np.concatenate(waiting)
