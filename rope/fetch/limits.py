"""How hard a fetch may press a server, how long it waits, and what it refuses."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from rope.errors import UsageError

__all__ = ["MAX_PIXELS", "FetchLimits", "host_of"]

MAX_PIXELS: Final = 89_478_485
"""Pixels of 256 MiB of RGB, from where on Pillow warns of a decompression bomb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Limits of a fetch.

    Attributes:
        connections: at most this many at a time.
        per_host: at most this many at a time to one host.
        requests_per_s: starts of requests a second to one host; None for as many as go.
        tries: requests for one image before it is given up.
        total_s: time for one request, from the connection to the last byte.
        connect_s: time to connect.
        idle_s: time without a byte.
        min_bytes_per_s: mean speed of a body; counted from `grace_s` after its beginning.
        grace_s: see `min_bytes_per_s`.
        max_bytes: size of an image.
        max_video_bytes: size of a video or sound file.
        video_total_s: as `total_s`, for a video or sound file.
        max_pixels: width times height of an image.
        max_redirects: redirects followed for one request.
        backoff_s: mean of the first pause between two tries is half of this; it doubles with each further try.
        max_backoff_s: where doubling ends.
        max_retry_after_s: no server can ask for a longer pause.
        max_lost_in_a_row: so many images given up one after the other stop the fetch.
        redirect_hosts: other hosts that a redirect may lead to.
        private_hosts: hosts that may have an address of a private network.
        seed: of the pauses.

    Raises:
        UsageError: a number is out of range.
    """

    seed: int
    connections: int = 64
    per_host: int = 64
    requests_per_s: float | None = None
    tries: int = 6
    total_s: float = 120.0
    connect_s: float = 15.0
    idle_s: float = 20.0
    min_bytes_per_s: float = 1024.0
    grace_s: float = 5.0
    max_bytes: int = 32 << 20
    max_video_bytes: int = 1 << 30
    video_total_s: float = 3600.0
    max_pixels: int = MAX_PIXELS
    max_redirects: int = 5
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    max_retry_after_s: float = 300.0
    max_lost_in_a_row: int = 1000
    redirect_hosts: frozenset[str] = frozenset()
    private_hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        positive = ("connections", "per_host", "tries", "total_s", "connect_s", "idle_s", "max_bytes", "max_pixels")
        for name in (*positive, "max_video_bytes", "video_total_s", "requests_per_s", "max_lost_in_a_row"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} is {value}; expected a number above 0")
        if self.max_pixels > MAX_PIXELS:
            raise UsageError(f"max_pixels is {self.max_pixels}; expected at most {MAX_PIXELS}, Pillow's own limit")


def host_of(prefix: str | None) -> frozenset[str]:
    """The host of a prefix, as the set of hosts that `FetchLimits` takes; empty where there is none.

    >>> [sorted(host_of(prefix)) for prefix in ("http://LocalHost:8000/images/", "http://[::1", None)]
    [['localhost'], [], []]
    """
    try:
        host = urlsplit(prefix or "").hostname
    except ValueError:  # which the transfer says in a sentence
        host = None
    return frozenset() if host is None else frozenset({host})
