"""One image over HTTP: redirects, limits, tries and pauses."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from itertools import count
from types import TracebackType
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from rope import __version__
from rope.errors import UsageError
from rope.fetch.addresses import PublicResolver, check_host, redirect_target
from rope.fetch.limits import Limits
from rope.fetch.names import name_fault, url_of
from rope.fetch.outcome import Fetched, FetchError, Job, Lost
from rope.fetch.pacing import Turns, backoff_s, jitter, retry_after_s
from rope.fetch.verify import check_file, verify

__all__ = ["Client"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TEMPORARY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PAUSING: Final = frozenset({429, 503})
"""Where the server speaks of itself and not of one image, so that the whole host gets a pause."""

_HEADERS: Final = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # images do not shrink, and a compressed body could be a bomb
    "User-Agent": f"rope-bench/{__version__}",
}


class Client:
    """Fetches images, each to its end: whole and verified, or given up with a reason.

    An asynchronous context manager.

    Args:
        prefix: what URLs begin with, before the name.
        limits: of everything.
        resolver: looks up names; None for that of the system. Private addresses are refused behind it.
    """

    def __init__(self, prefix: str, limits: Limits, resolver: AbstractResolver | None = None) -> None:
        self._prefix = prefix
        self._limits = limits
        self._inner_resolver = resolver
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Client":
        limits = self._limits
        self._turns = Turns(limits)
        inner = self._inner_resolver or aiohttp.ThreadedResolver()
        self._resolver = PublicResolver(inner, limits.private_hosts)
        # `Turns` counts connections; a limit of the connector would make requests wait on their own time.
        connector = aiohttp.TCPConnector(limit=0, resolver=self._resolver)
        timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.idle_s)
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def check_prefix(self) -> None:
        """Look whether the prefix is one to fetch from, before every image fails for the same reason.

        Raises:
            UsageError: it is no address of the web, or its host is private and may not be.
        """
        if not self._prefix:
            return
        try:
            url = URL(self._prefix)
            check_host(url, self._limits)
            await self._resolver.resolve(url.host or "", url.port or 0)
        except ValueError as error:
            raise UsageError(f"--prefix {self._prefix}: {error}") from error
        except FetchError as fault:
            allow = "; if it is your own server, say --allow-private" if fault.reason == "private_address" else ""
            raise UsageError(f"--prefix {self._prefix}: {fault.detail}{allow}") from fault
        except OSError:
            pass  # the name is not known now; each image is tried more than once

    async def fetch(self, job: Job) -> Fetched | Lost:
        """Fetch one image, with as many tries as the limits allow."""
        fault = job.refused or name_fault(job.image)
        if fault is not None:
            return Lost(job.image, "", "bad_name", None, 0, fault)
        try:
            url = URL(url_of(self._prefix, job.address))
        except ValueError as error:
            return Lost(job.image, job.address, "bad_url", None, 0, str(error))
        for tries in count(1):
            status = None
            try:
                content = await self._get(url)
                status = 200
                if job.is_image:
                    await verify(content, job.digest, self._limits.max_pixels)
                else:
                    await asyncio.to_thread(check_file, content)
                return Fetched(job.image, content)
            except FetchError as failed:
                if not failed.is_temporary or tries >= self._limits.tries:
                    shown = str(url.with_user(None))
                    return Lost(job.image, shown, failed.reason, failed.status or status, tries, failed.detail)
                await asyncio.sleep(self._pause_s(job, tries))
        raise AssertionError("counting never ends")

    def _pause_s(self, job: Job, tries: int) -> float:
        """How long to wait before the next try; what the server asks for is a pause of its host."""
        share = jitter(self._limits.seed, job.image, tries)
        return backoff_s(tries, self._limits.backoff_s, self._limits.max_backoff_s, share)

    async def _get(self, url: URL) -> bytes:
        """The body of one answer, after redirects; whatever goes wrong is a FetchError."""
        try:
            return await self._follow(url)
        except asyncio.TimeoutError as error:
            raise FetchError("timeout", str(error) or "no end in time", is_temporary=True) from error
        except aiohttp.InvalidURL as error:
            raise FetchError("bad_url", str(error)) from error
        except aiohttp.ClientPayloadError as error:
            raise FetchError("truncated", str(error).splitlines()[0], is_temporary=True) from error
        except (aiohttp.ClientError, OSError) as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise FetchError("connection", detail, is_temporary=True) from error

    async def _follow(self, first: URL) -> bytes:
        url = first
        check_host(url, self._limits)
        for _ in range(self._limits.max_redirects + 1):
            async with self._turns.turn(url.host or ""), self._session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._read(response)
                try:
                    url = redirect_target(first, url, response.headers.get("Location"), self._limits)
                except FetchError as fault:
                    fault.status = response.status
                    raise
        raise FetchError("redirect_refused", f"more than {self._limits.max_redirects} in a row", status=response.status)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body of an answer with status 200."""
        if response.status != 200:
            raise self._status_fault(response)
        declared, limits = response.content_length, self._limits
        if declared is not None and declared > limits.max_bytes:
            raise FetchError("too_large", f"{declared:,} bytes declared, over {limits.max_bytes:,}", status=200)
        pieces, n_bytes = [], 0
        clock = asyncio.get_running_loop().time
        start_s = clock()
        async for piece in response.content.iter_any():
            pieces.append(piece)
            n_bytes += len(piece)
            if n_bytes > limits.max_bytes:
                raise FetchError("too_large", f"over {limits.max_bytes:,} bytes", status=200)
            elapsed_s = clock() - start_s
            if elapsed_s > limits.grace_s and n_bytes < limits.min_bytes_per_s * elapsed_s:
                detail = f"{n_bytes:,} bytes in {elapsed_s:.0f} s"
                raise FetchError("too_slow", detail, status=200, is_temporary=True)
        return b"".join(pieces)

    def _status_fault(self, response: aiohttp.ClientResponse) -> FetchError:
        """The fault of an answer with another status; where the server is overloaded, its host gets a pause."""
        status = response.status
        if status in _PAUSING:
            now = datetime.now(timezone.utc)
            wait_s = retry_after_s(response.headers.get("Retry-After"), now, self._limits.max_retry_after_s)
            self._turns.pause(response.url.host or "", wait_s or 0.0)
        detail = response.reason or "no reason given"
        return FetchError("http_status", detail, status=status, is_temporary=status in _TEMPORARY)
