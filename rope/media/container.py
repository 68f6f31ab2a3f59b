"""Opening video and sound files with PyAV: files of a known kind, as long as they claim to be."""

import io
import mmap
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from rope.addresses import is_address, read_file
from rope.domain import Audio, Video
from rope.errors import DatasetError
from rope.media.guard import MAX_PIXELS
from rope.media.whole import missing_bytes

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["checked", "decodable", "opened", "read_packets"]

_CODEC_NAMES: Final = re.compile(rb"stsd.{12}(.{4})|\x86.([VASD]_[\w/.]+)", re.DOTALL)
"""Of the tracks of a file, one after the other: MP4's four letters, and Matroska's codec ID."""

_MAX_GROWTH: Final = 4
"""Bytes of packets for a byte of the file: headers that Matroska strips come back, tables that lie say billions."""

S = TypeVar("S", "AudioStream", "VideoStream")


def checked(media: Video | Audio, is_known: Callable[[bytes], bool], kinds: str) -> str | bytes:
    """The bytes of a file, or the absolute path of one that begins as it should and is as long as it claims.

    Neither a playlist nor an address gets to FFmpeg, which would follow it.

    Args:
        media: the file.
        is_known: whether a file with these first 16 bytes may be read.
        kinds: which those are, for the error.

    Raises:
        DatasetError: the file does not exist, is something else, or lacks its end.
    """
    try:
        source = media.data if media.data is not None else _source(str(media.path))
        head = source[:16] if isinstance(source, bytes) else _head(source)
        if not is_known(head):
            raise DatasetError(f"is not an {kinds} file")
        if missing := missing_bytes(source):
            raise DatasetError(f"is truncated: its last {missing:,} bytes are missing")
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}") from error
    return source


def _source(path: str) -> str | bytes:
    """The absolute path of a file, or the bytes of one at an address."""
    return read_file(path) if is_address(path) else str(Path(path).absolute())


@contextmanager
def opened(
    source: str | bytes, kind: Literal["video", "audio"], options: Mapping[str, str] | None = None
) -> Iterator[tuple["InputContainer", "AudioStream | VideoStream | None"]]:
    """A file and, of its streams of a kind, the one that FFmpeg takes for the best; None where it has none."""
    import av

    # Tags in another encoding than UTF-8 are not a reason to refuse a file.
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with av.open(file, metadata_errors="replace", options=dict(options or {})) as container:
        yield container, container.streams.best(kind)  # type: ignore[misc] # best() is typed as any stream


def decodable(source: str | bytes, stream: S) -> S:
    """A stream, made ready for decoding in this thread alone.

    Raises:
        DatasetError: FFmpeg has no decoder for it, or its pictures are too large.
    """
    context = stream.codec_context
    if context is None:  # PyAV's types do not tell
        raise DatasetError(f"cannot be decoded: FFmpeg has no decoder for its codec ({_codec_name(source, stream)})")
    context.thread_count = 1  # a loader keeps the cores busy with other samples
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def read_packets(source: str | bytes, container: "InputContainer", stream: S) -> Iterator["av.Packet[S]"]:
    """The packets of a stream in the order of the file, with the empty one at the end that flushes a decoder.

    Raises:
        DatasetError: they come to far more bytes than the file has.
    """
    limit = _MAX_GROWTH * (len(source) if isinstance(source, bytes) else Path(source).stat().st_size)
    for packet in container.demux(stream):
        limit -= packet.size
        if limit < 0:
            raise DatasetError("is damaged: its packets come to far more bytes than the file has")
        yield packet


def _head(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(16)


def _codec_name(source: str | bytes, stream: "AudioStream | VideoStream") -> str:
    """What the file calls the codec of a stream, for which PyAV has no word where FFmpeg has none."""
    if isinstance(source, bytes):
        names = _CODEC_NAMES.findall(source)
    else:
        with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            names = _CODEC_NAMES.findall(content)
    if stream.index >= len(names):
        return "unknown"
    return b"".join(names[stream.index]).decode("ascii", "backslashreplace")
