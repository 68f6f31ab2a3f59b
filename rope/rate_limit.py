"""The rate limit: connections, requests per second and pauses of each host, and how long to wait after a failure."""

import asyncio
import email.utils
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

__all__ = ["Turns", "backoff_s", "jitter", "retry_after_s"]


def backoff_s(tries: int, first_s: float, max_s: float, share: float) -> float:
    """How long to wait after a failed try: exponential back-off with full jitter.

    Args:
        tries: made so far, at least 1.
        first_s: the longest wait after the first.
        max_s: the longest wait at all.
        share: of the longest wait, from 0 to 1; drawn evenly, so that clients spread over the whole time.

    >>> [backoff_s(tries, 1.0, 10.0, 0.5) for tries in (1, 2, 3, 10)]
    [0.5, 1.0, 2.0, 5.0]
    """
    return share * min(max_s, first_s * 2.0 ** min(tries - 1, 64))


def jitter(seed: int, image: str, tries: int) -> float:
    """A number in [0, 1) that depends on the seed, the image and the try, and on nothing else.

    >>> jitter(1, "a.jpg", 2) == jitter(1, "a.jpg", 2) != jitter(1, "a.jpg", 3)
    True
    """
    return float(np.random.default_rng([seed, zlib.crc32(image.encode("utf-8", "surrogatepass")), tries]).random())


def retry_after_s(value: str | None, now: datetime, max_s: float) -> float | None:
    """Seconds that a header `Retry-After` asks to wait (RFC 9110, 10.2.3), at most `max_s`; None where it says nothing.

    >>> now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    >>> [retry_after_s(v, now, 60.0) for v in ("7", "Fri, 02 Jan 2026 03:04:15 GMT", "999", "-1", "soon", None)]
    [7.0, 10.0, 60.0, None, None, None]
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), max_s)
    try:
        then = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo is not None else then.replace(tzinfo=timezone.utc)
    return min(max(0.0, (then - now).total_seconds()), max_s)


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    next_start_s: float = 0.0


class Turns:
    """Lets each request wait for its turn under the rate limit of its host.

    A request that waits for a host that pauses holds no connection of another host.

    Args:
        connections: at a time, to all hosts together.
        per_host: of these, to one host.
        requests_per_s: starts in a second at one host; None for as many as go.
    """

    def __init__(self, connections: int, per_host: int, requests_per_s: float | None = None) -> None:
        self._per_host = per_host
        self._interval_s = 1.0 / requests_per_s if requests_per_s else 0.0
        self._slots = asyncio.Semaphore(connections)
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a turn at a host, and keep it while the block runs."""
        at = self._at(host)
        async with at.slots:
            await self._wait(at)
            async with self._slots:
                yield

    def pause(self, host: str, seconds: float) -> None:
        """Start no new requests to a host for a while; those under way continue."""
        at = self._at(host)
        at.next_start_s = max(at.next_start_s, asyncio.get_running_loop().time() + seconds)

    def _at(self, host: str) -> _Host:
        if host not in self._hosts:
            self._hosts[host] = _Host(asyncio.Semaphore(self._per_host))
        return self._hosts[host]

    async def _wait(self, at: _Host) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, at.next_start_s)
        at.next_start_s = start + self._interval_s
        if start > now:
            await asyncio.sleep(start - now)
