"""Whether the bytes that arrived are the image, video or sound file that was requested."""

import asyncio
import gzip
import hashlib
import io
import lzma
import zlib
from pathlib import Path
from typing import Final

from PIL import Image

from rope.domain import Audio, Frame, Video
from rope.errors import DatasetError
from rope.fetch.limits import MAX_PIXELS
from rope.fetch.outcome import FetchError, Kind
from rope.fetch.thumbnail import MARK, check_thumbnail
from rope.media.audio import has_audio
from rope.media.containers import is_sound, is_video
from rope.media.images import is_whole, read_header
from rope.media.video import count_frames
from rope.media.whole import missing_bytes

__all__ = ["check_digest", "check_file", "check_header", "ends_whole", "verify", "verify_file"]

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What shops send; others are not tried."""

_HASHES: Final = {32: "md5", 40: "sha1", 64: "sha256"}
_TAIL: Final = 1024
_ENDS: Final = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


async def verify(content: bytes, digest: str | None, max_pixels: int = MAX_PIXELS) -> None:
    """Check the header, the end and the hash of an image, in this order.

    Args:
        content: a body.
        digest: its hash in hex, its thumbnail with `rope.fetch.thumbnail.MARK` before it, or None.
        max_pixels: see `rope.fetch.limits.FetchLimits`.

    Raises:
        FetchError: not_an_image, too_many_pixels, truncated or wrong_checksum.
    """
    if _is_cut_webp(content):  # of which Pillow does not even read the header
        raise FetchError("truncated", f"a WEBP of {len(content):,} bytes that declares more", is_temporary=True)
    kind = check_header(content, max_pixels)
    # Decoding takes milliseconds, in which nothing else would go on, so it is left to the few doubtful ones.
    if not ends_whole(content, kind) and not await asyncio.to_thread(is_whole, content, _FORMATS):
        raise FetchError("truncated", f"a {kind} of {len(content):,} bytes that ends too early", is_temporary=True)
    if digest is not None and digest.startswith(MARK):
        await asyncio.to_thread(check_thumbnail, content, digest.removeprefix(MARK))
    elif digest is not None:
        check_digest(content, digest)


def check_file(content: bytes) -> None:
    """Check a file that is not an image: that it is not a web page, and that it unpacks if it is compressed.

    >>> check_file(gzip.compress(b"a"))

    Raises:
        FetchError: not_a_file for a web page or nothing, truncated for what does not unpack to its end, with the sum
            that gzip and xz keep.
    """
    begin = content[:512].lstrip().lower()
    if not begin or begin.startswith((b"<!doctype html", b"<html")):
        raise FetchError("not_a_file", f"{len(content):,} bytes that begin with {content[:24]!r}")
    opener = gzip.open if begin.startswith(b"\x1f\x8b") else lzma.open if begin.startswith(b"\xfd7zXZ") else None
    if opener is None:
        return
    try:
        with opener(io.BytesIO(content)) as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise FetchError("truncated", f"does not unpack ({error})", is_temporary=True) from error


def check_digest(content: bytes, digest: str) -> None:
    """Check the hash of a body.

    >>> check_digest(b"", "D41D8CD98F00B204E9800998ECF8427E")

    Raises:
        FetchError: it has another MD5, SHA-1 or SHA-256, whichever is given.
    """
    kind = _HASHES[len(digest)]
    _compare(hashlib.new(kind, content, usedforsecurity=False).hexdigest(), digest)


def verify_file(path: Path, kind: Kind, digest: str | None) -> None:
    """Check the first bytes, the end, the packets and the hash of a video or sound file, in this order.

    Args:
        path: the file; it may take seconds to read.
        kind: `video` or `audio`.
        digest: its hash in hex, or None.

    Raises:
        FetchError: not_a_video, truncated or wrong_checksum.
    """
    with path.open("rb") as file:
        head = file.read(24)
    n_bytes = path.stat().st_size
    if not (is_video if kind == "video" else is_sound)(head):
        raise FetchError("not_a_video", f"{n_bytes:,} bytes that begin with {head!r}")
    if missing := missing_bytes(str(path)):
        raise FetchError("truncated", f"{n_bytes:,} bytes; the last {missing:,} are missing", is_temporary=True)
    try:
        is_there = count_frames(Video(path=str(path))) > 0 if kind == "video" else has_audio(Audio(path=str(path)))
    except DatasetError as error:
        raise FetchError("not_a_video", str(error).replace(f"{path}: ", "")) from error
    if not is_there:
        raise FetchError("not_a_video", f"{n_bytes:,} bytes without a stream of {kind}")
    if digest is not None and digest.startswith(MARK):
        raise FetchError("wrong_checksum", "the list has a thumbnail for it, which only an image can have")
    if digest is not None:
        hashed = hashlib.new(_HASHES[len(digest)], usedforsecurity=False)
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                hashed.update(piece)
        _compare(hashed.hexdigest(), digest)


def _compare(found: str, digest: str) -> None:
    kind = _HASHES[len(digest)]
    if found != digest.lower():
        raise FetchError("wrong_checksum", f"{kind} is {found}, expected {digest.lower()}", is_temporary=True)


def check_header(content: bytes, max_pixels: int) -> str:
    """Read the header of an image and return the name of its format; no pixel is decoded.

    >>> check_header(b"<html>404</html>", 100)
    Traceback (most recent call last):
        ...
    rope.fetch.outcome.FetchError: not_an_image: 16 bytes that begin with b'<html>404</html>'

    Raises:
        FetchError: it is none of the formats that are looked for, or has more pixels than allowed.
    """
    try:
        header = read_header(Frame(content), _FORMATS)
    except DatasetError as error:
        if isinstance(error.__cause__, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
            raise FetchError("too_many_pixels", f"over twice the {MAX_PIXELS:,} that Pillow takes for safe") from error
        begin = content[:24]
        raise FetchError("not_an_image", f"{len(content):,} bytes that begin with {begin!r}") from error
    if header.width * header.height > max_pixels:
        raise FetchError("too_many_pixels", f"{header.width} x {header.height}, more than {max_pixels:,}")
    return header.format


def ends_whole(content: bytes, kind: str) -> bool:
    """Whether an image ends as its format says, perhaps with a few stray bytes behind; true for formats without an end.

    >>> ends_whole(b"... 12", "PNG"), ends_whole(b"... IEND" + bytes.fromhex("ae426082") + b"12", "PNG")
    (False, True)
    """
    return _ENDS.get(kind, b"") in content[-_TAIL:]


def _is_cut_webp(content: bytes) -> bool:
    return content[8:12] == b"WEBP" and len(content) < int.from_bytes(content[4:8], "little") + 8
