"""How hard a fetch may press a server, how long it waits, and what it refuses."""

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from rope.config import Count, NonNegative, NumberRange, Positive, Seed, check_record

__all__ = ["MAX_PIXELS", "FetchLimits", "host_of"]

MAX_PIXELS: Final = 89_478_485
"""Pixels of 256 MiB of RGB, from where on Pillow warns of a decompression bomb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Limits of a fetch.

    Attributes:
        connections: at most this many at a time.
        per_host: at most this many at a time to one host.
        requests_per_s: starts of requests per second to one host; None for as many as go.
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

    seed: Seed
    connections: Count = 64
    per_host: Count = 64
    requests_per_s: Positive | None = None
    tries: Count = 6
    total_s: Positive = 120.0
    connect_s: Positive = 15.0
    idle_s: Positive = 20.0
    min_bytes_per_s: NonNegative = 1024.0
    grace_s: NonNegative = 5.0
    max_bytes: Count = 32 << 20
    max_video_bytes: Count = 1 << 30
    video_total_s: Positive = 3600.0
    max_pixels: Annotated[int, NumberRange(1, MAX_PIXELS)] = MAX_PIXELS
    max_redirects: Annotated[int, NumberRange(0)] = 5
    backoff_s: NonNegative = 1.0
    max_backoff_s: NonNegative = 60.0
    max_retry_after_s: NonNegative = 300.0
    max_lost_in_a_row: Count = 1000
    redirect_hosts: frozenset[str] = frozenset()
    private_hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_record(self)


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
