"""One image or video over HTTP: redirects, limits, tries and pauses."""

import asyncio
import io
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from rope import __version__
from rope.errors import UsageError
from rope.fetch.access import Access
from rope.fetch.addresses import PublicResolver, check_host, proxy_for, redirect_target
from rope.fetch.limits import FetchLimits
from rope.fetch.names import STATE_NAME, name_fault, shown_prefix, url_of
from rope.fetch.outcome import Fetched, FetchError, FetchJob, LostImage
from rope.fetch.verify import check_file, verify, verify_file
from rope.rate_limit import Turns, backoff_s, jitter, retry_after_s

__all__ = ["Client"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TEMPORARY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PAUSING: Final = frozenset({429, 503})
"""Where the server speaks of itself and not of one image, so that the whole host gets a pause."""

_HEADERS: Final = {
    "Accept": "image/*, video/*, audio/*;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",  # images do not shrink, and a compressed body could be a bomb
    "User-Agent": f"rope-bench/{__version__}",
}


class Client:
    """Fetches images, each to its end: whole and verified, or given up with a reason.

    An asynchronous context manager.

    Args:
        prefix: what URLs begin with, before the name.
        limits: of everything.
        access: headers and cookies to send.
        folder: where video and sound files are written until they are stored; None if there are none.
        resolver: looks up names; None for that of the system. Private addresses are refused behind it.
    """

    def __init__(
        self,
        prefix: str,
        limits: FetchLimits,
        resolver: AbstractResolver | None = None,
        *,
        access: Access = Access(),  # noqa: B008 -- frozen
        folder: Path | None = None,
    ) -> None:
        self._prefix = prefix
        self._limits = limits
        self._access = access
        self._incoming = None if folder is None else folder / STATE_NAME / "incoming"
        self._numbers = count()
        self._inner_resolver = resolver
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Client":
        limits = self._limits
        self._turns = Turns(limits.connections, limits.per_host, limits.requests_per_s)
        inner = self._inner_resolver or aiohttp.ThreadedResolver()
        self._server = _server_of(self._prefix)
        self._secrets = [*self._access.secrets(), *_secrets_of(self._server)]
        self._proxies = {scheme: proxy_for(URL(f"{scheme}://proxied.invalid/")) for scheme in ("http", "https")}
        hosts = {proxy.host for proxy in self._proxies.values() if proxy is not None and proxy.host is not None}
        self._resolver = PublicResolver(inner, limits.private_hosts | hosts)
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
            UsageError: it is not an address of the web, or its host is private and may not be.
        """
        if not self._prefix:
            return
        try:
            url = URL(self._prefix)
            if url.user is not None and self._access.has_authorization:
                raise UsageError("--prefix has a user, and there is a header Authorization; leave one of them out")
            check_host(url, self._limits)
            if proxy_for(url) is None:
                await self._resolver.resolve(url.host or "", url.port or 0)
        except ValueError as error:
            raise UsageError(f"--prefix {shown_prefix(self._prefix)}: {self._clean(str(error))}") from None
        except FetchError as fault:
            allow = "; if it is your own server, say --allow-private" if fault.reason == "private_address" else ""
            detail = self._clean(fault.detail)
            raise UsageError(f"--prefix {shown_prefix(self._prefix)}: {detail}{allow}") from fault
        except OSError:
            pass  # the name is not known now; each image is tried more than once

    async def fetch(self, job: FetchJob) -> Fetched | LostImage:
        """Fetch one image or file, with as many tries as the limits allow."""
        fault = job.refused or name_fault(job.image)
        if fault is not None:
            return LostImage(job.image, "", "bad_name", None, 0, fault)
        try:
            url = URL(url_of(self._prefix, job.address))
        except ValueError as error:
            return LostImage(job.image, job.address, "bad_url", None, 0, str(error))
        for tries in count(1):
            status = None
            try:
                content = await self._get(url, self._target(job))
                status = 200
                await self._verify(content, job)
                return Fetched(job.image, content)
            except FetchError as failed:
                if not failed.is_temporary or tries >= self._limits.tries:
                    shown, detail = self._clean(str(url.with_user(None))), self._clean(failed.detail)
                    return LostImage(job.image, shown, failed.reason, failed.status or status, tries, detail)
                await asyncio.sleep(self._pause_s(job, tries))
        raise AssertionError("counting never ends")

    def _target(self, job: FetchJob) -> Path | None:
        """Where the body of a video or sound file is written; None for what stays in memory."""
        if job.kind in ("image", "file"):
            return None
        if self._incoming is None:
            raise ValueError("no folder for video files was given")
        self._incoming.mkdir(parents=True, exist_ok=True)
        return self._incoming / f"{job.kind}-{next(self._numbers)}"

    async def _verify(self, content: bytes | Path, job: FetchJob) -> None:
        if isinstance(content, bytes):
            if job.kind == "file":
                return await asyncio.to_thread(check_file, content)
            return await verify(content, job.digest, self._limits.max_pixels)
        try:
            return await asyncio.to_thread(verify_file, content, job.kind, job.digest)
        except FetchError:
            content.unlink()
            raise

    def _clean(self, text: str) -> str:
        """A text without anything secret that was sent."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _pause_s(self, job: FetchJob, tries: int) -> float:
        """How long to wait before the next try; what the server asks for is a pause of its host."""
        share = jitter(self._limits.seed, job.image, tries)
        return backoff_s(tries, self._limits.backoff_s, self._limits.max_backoff_s, share)

    async def _get(self, url: URL, target: Path | None) -> bytes | Path:
        """The body of one answer, or its file; whatever goes wrong is a FetchError, and leaves no file."""
        try:
            return await self._follow(url, target)
        except BaseException:
            if target is not None:
                target.unlink(missing_ok=True)
            raise

    async def _follow(self, first: URL, target: Path | None) -> bytes | Path:
        """As `_get`, except for the file."""
        try:
            return await self._redirected(first, target)
        except asyncio.TimeoutError as error:
            raise FetchError("timeout", str(error) or "no end in time", is_temporary=True) from error
        except aiohttp.InvalidURL as error:
            raise FetchError("bad_url", str(error)) from error
        except aiohttp.ClientPayloadError as error:
            raise FetchError("truncated", str(error).splitlines()[0], is_temporary=True) from error
        except (aiohttp.ClientError, OSError) as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise FetchError("connection", detail, is_temporary=True) from error

    async def _redirected(self, first: URL, target: Path | None) -> bytes | Path:
        url = first
        check_host(url, self._limits)
        for _ in range(self._limits.max_redirects + 1):
            async with self._turns.turn(url.host or ""), self._request(url, target) as response:
                if response.status not in _REDIRECTS:
                    return await self._read(response, target)
                try:
                    url = redirect_target(first, url, response.headers.get("Location"), self._limits)
                except FetchError as fault:
                    fault.status = response.status
                    raise
        raise FetchError("redirect_refused", f"more than {self._limits.max_redirects} in a row", status=response.status)

    def _request(self, url: URL, target: Path | None) -> "aiohttp.client._RequestContextManager":
        limits = self._limits
        total_s = limits.total_s if target is None else limits.video_total_s
        return self._session.get(
            url,
            allow_redirects=False,
            headers=self._access.headers_for(url, self._server),
            proxy=proxy_for(url),
            timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=limits.connect_s, sock_read=limits.idle_s),
        )

    async def _read(self, response: aiohttp.ClientResponse, target: Path | None) -> bytes | Path:
        """The body of an answer with status 200; in a file, if there is a target."""
        if response.status != 200:
            raise self._status_fault(response)
        max_bytes = self._limits.max_bytes if target is None else self._limits.max_video_bytes
        declared = response.content_length
        if declared is not None and declared > max_bytes:
            raise FetchError("too_large", f"{declared:,} bytes declared, over {max_bytes:,}", status=200)
        if target is None:
            body = io.BytesIO()
            await self._copy(response, body, max_bytes)
            return body.getvalue()
        with target.open("wb") as file:
            await self._copy(response, file, max_bytes)
        return target

    async def _copy(self, response: aiohttp.ClientResponse, body: BinaryIO, max_bytes: int) -> None:
        n_bytes, limits = 0, self._limits
        clock = asyncio.get_running_loop().time
        start_s = clock()
        async for piece in response.content.iter_any():
            body.write(piece)
            n_bytes += len(piece)
            if n_bytes > max_bytes:
                raise FetchError("too_large", f"over {max_bytes:,} bytes", status=200)
            elapsed_s = clock() - start_s
            if elapsed_s > limits.grace_s and n_bytes < limits.min_bytes_per_s * elapsed_s:
                detail = f"{n_bytes:,} bytes in {elapsed_s:.0f} s"
                raise FetchError("too_slow", detail, status=200, is_temporary=True)

    def _status_fault(self, response: aiohttp.ClientResponse) -> FetchError:
        """The fault of an answer with another status; where the server is overloaded, its host gets a pause."""
        status = response.status
        if status in _PAUSING:
            now = datetime.now(timezone.utc)
            wait_s = retry_after_s(response.headers.get("Retry-After"), now, self._limits.max_retry_after_s)
            self._turns.pause(response.url.host or "", wait_s or 0.0)
        detail = response.reason or "no reason given"
        return FetchError("http_status", detail, status=status, is_temporary=status in _TEMPORARY)


def _server_of(prefix: str) -> URL | None:
    """The address that a prefix is; None where it is none, or is on no server."""
    try:
        url = URL(prefix)
    except ValueError:
        return None
    return url if url.absolute and url.host else None


def _secrets_of(url: URL | None) -> list[str]:
    """What of a prefix is not to be shown: its password, and the values of its query, as they are sent and as text."""
    if url is None:
        return []
    values = [url.password, url.raw_password, *url.query.values()]
    values += [pair.partition("=")[2] for pair in url.raw_query_string.split("&")]
    return sorted({value for value in values if value and len(value) > 3}, key=len, reverse=True)
