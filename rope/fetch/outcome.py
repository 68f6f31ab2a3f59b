"""Jobs of a fetch, and how each can end."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

__all__ = ["REASONS", "FetchError", "FetchJob", "Fetched", "Kind", "LostImage", "Reason"]

Kind = Literal["image", "video", "audio", "file"]
"""`file` is a file of metadata."""

Reason = Literal[
    "bad_name",
    "bad_url",
    "private_address",
    "redirect_refused",
    "connection",
    "timeout",
    "too_slow",
    "http_status",
    "truncated",
    "too_large",
    "not_an_image",
    "not_a_file",
    "not_a_video",
    "too_many_pixels",
    "wrong_checksum",
]

REASONS: Final[dict[str, str]] = {
    "bad_name": "the name leads out of the folder, or cannot be stored; nothing was requested",
    "bad_url": "prefix and name, or the target of a redirect, make no address of the web",
    "private_address": "the server has an address of a private network; --allow-private permits that of the prefix",
    "redirect_refused": "a redirect to another host, from https to http, or one too many; see --allow-redirects-to",
    "connection": "no connection, a broken one, or an answer that is not HTTP",
    "timeout": "no connection, no further byte, or no end within the time allowed",
    "too_slow": "the body came more slowly than --min-speed",
    "http_status": "an answer with another status than 200",
    "truncated": "fewer bytes than the server declared, or a file that ends too early",
    "too_large": "more bytes than --max-bytes, or --max-video-bytes for a video or sound file",
    "not_an_image": "the body is not a JPEG, PNG, WebP, GIF or BMP, whatever its content type says",
    "not_a_file": "the body is a web page or empty, where a file of metadata was requested",
    "not_a_video": "the body is not a video that FFmpeg can read, or no sound file, whatever its content type says",
    "too_many_pixels": "the image would be larger decoded than a photo is: a decompression bomb",
    "wrong_checksum": "the body has another hash, or shows another picture, than the list of checksums says",
}
"""Reason of a failure -> what it means."""


@dataclass(frozen=True, slots=True)
class FetchJob:
    """One image, or another file, to fetch.

    Attributes:
        address: the name in the release, from which the URL is made.
        image: the name under which it is stored.
        refused: where in the release the name stands, if its reader has refused it; None for one to fetch.
        digest: the expected MD5, SHA-1 or SHA-256 in hex, told apart by their length, or a thumbnail;
            None where there is none.
        kind: what it has to be.
    """

    address: str
    image: str
    refused: str | None = None
    digest: str | None = None
    kind: Kind = "image"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that arrived whole and passed every check; or a video or sound file, in a file that is to be moved."""

    image: str
    content: bytes | Path

    def read(self) -> bytes:
        """Its bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass(frozen=True, slots=True)
class LostImage:
    """An image that is given up: a line of the ledger.

    Attributes:
        image: the name under which it would have been stored.
        url: what was requested, without user and password; empty where nothing was.
        reason: a key of `REASONS`.
        status: of the last answer; None where there was none.
        tries: requests made for it, without those that followed a redirect.
        detail: one clause.
    """

    image: str
    url: str
    reason: Reason
    status: int | None
    tries: int
    detail: str


class FetchError(Exception):
    """One failed attempt at a file.

    Attributes:
        reason: a key of `REASONS`.
        detail: one clause.
        status: of the answer; None where there was none.
        is_temporary: whether another try may do better.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        status: int | None = None,
        is_temporary: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
        self.status = status
        self.is_temporary = is_temporary
