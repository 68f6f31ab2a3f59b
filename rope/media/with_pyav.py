"""Decoding with PyAV: of all packets, those that a chosen frame needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from rope.errors import DatasetError
from rope.media.container import decodable, opened, read_packets
from rope.media.guard import MAX_PIXELS
from rope.media.orientation import orientation_of
from rope.media.packets import Packet, PacketRange, plan_runs, presentation_order

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["display_matrix", "read", "times_s"]

_CAN_SKIP: Final = frozenset({"h264", "hevc"})
"""Codecs whose decoders can be told, packet by packet, to pass over frames that no other refers to."""

_TOLERANCE_S: Final = Fraction(1, 2)
"""How much earlier than its header says a video may end; some writers round."""


def times_s(source: str | bytes) -> list[float]:
    """When each frame of a video is shown, in seconds, ascending; from its packets, none is decoded.

    Raises:
        DatasetError: as `read`, except for damaged frames.
    """
    with _opened(source) as (container, stream):
        packets = _read_packets(source, container, stream)
        return [packets.plan[place].time * float(stream.time_base or 0) for place in packets.order]


def display_matrix(source: str | bytes) -> bytes | None:
    """How the first frame of a video is to be shown, for `rope.media.orientation`; None for as it is.

    Raises:
        DatasetError: as `read`.
    """
    with _opened(source) as (container, stream):
        frame = next((frame for packet in read_packets(source, container, stream) for frame in packet.decode()), None)
        return None if frame is None else _matrix(frame)


def read(source: str | bytes, choose: Callable[[int], Sequence[int]]) -> list[npt.NDArray[np.uint8]]:
    """Some frames of a video, uint8 [height, width, 3].

    Args:
        source: the path, or the bytes, of a video. All its packets are held in memory.
        choose: from the number of frames to the places of those to decode, ascending.

    Raises:
        DatasetError: it is not a video, shows no frame, ends before its last frame, has frames without a time of their
            own, or one that a chosen frame needs is damaged.
    """
    with _opened(source) as (container, stream):
        packets = _read_packets(source, container, stream)
        chosen = [packets.order[index] for index in choose(len(packets.order))]
        frames = _wanted(stream, packets, chosen, plan_runs(packets.plan, chosen))
        if len(frames) < len(chosen):
            # Where the picture builds up over many frames (intra refresh), a key packet is not enough to start from.
            frames = _wanted(stream, packets, chosen, [PacketRange(0, max(chosen))])
        if len(frames) < len(chosen):
            raise DatasetError(f"is damaged: {len(chosen) - len(frames)} of {len(chosen)} frames cannot be decoded")
        return [frames[place] for place in chosen]


class _Packets(NamedTuple):
    """The packets of a stream, in the order of the file.

    Attributes:
        encoded: as PyAV has them.
        plan: what the plan needs of them.
        order: the places of the shown ones, in the order of presentation.
    """

    encoded: list["av.Packet[VideoStream]"]
    plan: list[Packet]
    order: list[int]


@contextmanager
def _opened(
    source: str | bytes, options: Mapping[str, str] | None = None
) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    with opened(source, "video", options) as (container, stream):
        if stream is None:
            raise DatasetError("has no video stream, or one without frames")
        yield container, decodable(source, cast("VideoStream", stream))


def _read_packets(source: str | bytes, container: "InputContainer", stream: "VideoStream") -> _Packets:
    encoded = [packet for packet in read_packets(source, container, stream) if packet.size]
    if len(encoded) < stream.frames:
        _check_count(source, stream.frames)
    if container.format.name == "avi" and stream.codec_context.has_b_frames:
        raise DatasetError("is AVI with B-frames, whose times AVI cannot hold; convert it to MP4")
    plan = [Packet(p.pts, p.is_keyframe, not p.is_discard) for p in encoded if p.pts is not None]
    if len(plan) < len(encoded) or len({packet.time for packet in plan}) < len(plan):
        raise DatasetError("has frames without their own time; convert it to MP4")
    order = presentation_order(plan)
    if not order:
        raise DatasetError("has no frames")
    _check_duration(container, stream, encoded[order[-1]])
    return _Packets(encoded, plan, order)


def _check_count(source: str | bytes, claimed: int) -> None:
    """Count the packets again, with those that an edit list (the cut of a trimmed video) makes the reader leave out.

    Raises:
        DatasetError: there are fewer than the header claims.
    """
    with _opened(source, {"ignore_editlist": "1"}) as (container, stream):
        found = sum(1 for packet in read_packets(source, container, stream) if packet.size)
    if found < claimed:
        raise DatasetError(f"is truncated: holds {found} of its {claimed} frames")


def _check_duration(container: "InputContainer", stream: "VideoStream", last: "av.Packet[VideoStream]") -> None:
    """Compare with the header's word where it gives no number of frames and only the video has a duration.

    Raises:
        DatasetError: the last frame is shown too early.
    """
    if stream.frames or len(container.streams) > 1 or container.duration is None or stream.time_base is None:
        return
    claimed_s = Fraction(container.duration, 1_000_000)
    found_s = ((last.pts or 0) + (last.duration or 0)) * stream.time_base
    if found_s < claimed_s - _TOLERANCE_S:
        raise DatasetError(f"is truncated: holds {float(found_s):.1f} s of its {float(claimed_s):.1f} s")


def _wanted(
    stream: "VideoStream", packets: _Packets, chosen: Sequence[int], runs: Sequence[PacketRange]
) -> dict[int, npt.NDArray[np.uint8]]:
    """Place -> pixels of those of the chosen frames that come out of the decoder.

    Raises:
        DatasetError: a frame on the way to one of them is damaged.
    """
    place_of = {packets.plan[place].time: place for place in chosen}
    frames: dict[int, npt.NDArray[np.uint8]] = {}
    for frame in _decoded(stream, packets, chosen, runs):
        if frame.is_corrupt:
            raise DatasetError("is damaged: a frame cannot be decoded without errors")
        if frame.pts in place_of:
            frames[place_of[frame.pts]] = _upright(frame)
    return frames


def _decoded(
    stream: "VideoStream", packets: _Packets, chosen: Sequence[int], runs: Sequence[PacketRange]
) -> Iterator["av.VideoFrame"]:
    """The frames of some runs, without those that neither is chosen nor referred to."""
    context = stream.codec_context
    wanted, can_skip = set(chosen), context.codec.canonical_name in _CAN_SKIP
    for run in runs:
        for place in range(run.first, run.last + 1):
            if can_skip:
                context.skip_frame = "DEFAULT" if place in wanted else "NONREF"
            yield from context.decode(packets.encoded[place])
        yield from context.decode(None)
        context.flush_buffers()


def _upright(frame: "av.VideoFrame") -> npt.NDArray[np.uint8]:
    if frame.width * frame.height > MAX_PIXELS:
        raise DatasetError(f"has frames of {frame.width:,} x {frame.height:,} pixels, more than {MAX_PIXELS:,}")
    pixels: npt.NDArray[np.uint8] = frame.to_ndarray(format="rgb24")  # type: ignore[assignment] # 8 bits a channel
    matrix = _matrix(frame)
    return pixels if matrix is None else orientation_of(matrix).upright(pixels)


def _matrix(frame: "av.VideoFrame") -> bytes | None:
    found = frame.side_data.get("DISPLAYMATRIX")
    return None if found is None else bytes(found)  # type: ignore[call-overload] # a mapping without types
