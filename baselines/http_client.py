"""Asks a server of embeddings: several requests at a time, no faster than it allows, again where a failure may pass."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import aiohttp
import numpy as np
import numpy.typing as npt
from yarl import URL

from baselines.http_formats import Api, HttpInput, HttpVectors, read_vectors, request_of
from baselines.roles import Role
from rope.config import Count, Positive, check_record
from rope.errors import RopeError, UsageError
from rope.rate_limit import Turns, backoff_s, jitter, retry_after_s

__all__ = ["HttpClient", "HttpServer"]

_TEMPORARY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_PAUSING: Final = frozenset({429, 503})
"""Where the server speaks of itself and not of one request, so that all requests pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """Where to ask, and how hard.

    Attributes:
        url: what the path `/embeddings` or `/embed` is added to, such as `https://api.openai.com/v1`.
        api: the format.
        model: its name at the server.
        dims: numbers of a vector to ask for; None for what the model has.
        key: sent as a bearer token; None sends none.
        batch: inputs of one request.
        concurrency: requests at a time.
        per_second: starts of requests a second; None for as many as go.
        tries: requests for the same inputs before the run stops.
        timeout_s: for one request.
        backoff_s: longest pause after a first failure; it doubles with each further one.
        max_backoff_s: where doubling ends, and the longest pause that the server can ask for.

    Raises:
        UsageError: the URL is none of the web, or a number is out of range.
    """

    url: str
    api: Api = "openai"
    model: str = ""
    dims: Count | None = None
    key: str | None = field(default=None, repr=False)
    batch: Count = 32
    concurrency: Count = 8
    per_second: Positive | None = None
    tries: Count = 6
    timeout_s: Positive = 120.0
    backoff_s: Positive = 1.0
    max_backoff_s: Positive = 60.0

    def __post_init__(self) -> None:
        check_record(self)
        if not self.url.startswith(("http://", "https://")) or "@" in self.url:
            raise UsageError(f"url={self.url}: expected an address that begins with http:// or https://, without a key")
        if self.api != "tei" and not self.model:
            raise UsageError(f"api={self.api}: give the name of the model at the server, model=...")


class _TryAgainError(Exception):
    """A request failed in a way that may pass."""


class HttpClient:
    """Embeds texts and images at a server.

    Attributes:
        tokens: what the server has counted so far, in answers that were taken.
        n_requests: requests made so far, those that failed among them.
    """

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.tokens = 0
        self.n_requests = 0

    def embed(self, inputs: Sequence[HttpInput], role: Role | None) -> npt.NDArray[np.float32]:
        """The vectors of texts or images, float32 [n, dim].

        Raises:
            UsageError: the server refuses what is asked, such as the key or the name of the model.
            RopeError: it gives no vectors for some inputs, however often it is asked.
        """
        is_one_each = self._server.api == "vllm" and bool(inputs) and isinstance(inputs[0], bytes)
        step = 1 if is_one_each else self._server.batch
        parts = [inputs[start : start + step] for start in range(0, len(inputs), step)]
        rows = [answer.rows for answer in asyncio.run(self._embed(parts, role))]
        if len({one.shape[1] for one in rows}) > 1:
            raise RopeError(f"{self._server.url}: vectors of several lengths for inputs of one call")
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    async def _embed(self, parts: Sequence[Sequence[HttpInput]], role: Role | None) -> list[HttpVectors]:
        server = self._server
        turns = Turns(server.concurrency, server.concurrency, server.per_second)
        waiting = iter(enumerate(parts))
        found: dict[int, HttpVectors] = {}
        headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        timeout = aiohttp.ClientTimeout(total=server.timeout_s)

        async def work() -> None:
            for index, part in waiting:
                found[index] = await self._ask(session, turns, index, part, role)

        # `Turns` counts connections; a limit of the connector would make requests wait on their own time.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            workers = [asyncio.create_task(work()) for _ in range(min(server.concurrency, len(parts)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [found[index] for index in range(len(parts))]

    async def _ask(
        self, session: aiohttp.ClientSession, turns: Turns, index: int, part: Sequence[HttpInput], role: Role | None
    ) -> HttpVectors:
        """The vectors of the inputs of one request, after as many tries as are allowed."""
        server, reason = self._server, ""
        for tries in range(1, server.tries + 1):
            try:
                answer = await self._try(session, turns, part, role)
            except _TryAgainError as failed:
                reason = str(failed)
            else:
                self.tokens += answer.tokens
                return answer
            if tries < server.tries:
                share = jitter(0, str(index), tries)
                await asyncio.sleep(backoff_s(tries, server.backoff_s, server.max_backoff_s, share))
        raise RopeError(
            f"{server.url}: no vectors after {server.tries} tries ({reason}); what was embedded is kept: run the same "
            "command again when the server is well"
        )

    async def _try(
        self, session: aiohttp.ClientSession, turns: Turns, part: Sequence[HttpInput], role: Role | None
    ) -> HttpVectors:
        server = self._server
        path, body = request_of(server.api, server.model, part, role, server.dims)
        url = URL(f"{server.url.rstrip('/')}/{path}")
        try:
            async with turns.turn(url.host or ""):
                self.n_requests += 1
                status, content = await self._post(session, turns, url, body)
        except asyncio.TimeoutError as error:
            raise _TryAgainError(f"no answer in {server.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _TryAgainError(" ".join(str(error).split()) or type(error).__name__) from error
        if status in _TEMPORARY:
            raise _TryAgainError(f"status {status}")
        if status != 200:
            said = " ".join(content[:300].decode("utf-8", "replace").split())
            said = said.replace(server.key, "***") if server.key else said
            raise UsageError(
                f"{server.url}: status {status} for the model {server.model!r} ({said}); check the address, api, the "
                "name of the model, and the key"
            )
        try:
            return read_vectors(server.api, content, len(part))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise _TryAgainError(f"an answer that cannot be taken: {error}") from error

    async def _post(
        self, session: aiohttp.ClientSession, turns: Turns, url: URL, body: dict[str, Any]
    ) -> tuple[int, bytes]:
        # A redirect could lead the key and the inputs to somebody who was not named.
        async with session.post(url, json=body, allow_redirects=False) as response:
            content = await response.read()
            if response.status in _PAUSING:
                header, now = response.headers.get("Retry-After"), datetime.now(timezone.utc)
                turns.pause(url.host or "", retry_after_s(header, now, self._server.max_backoff_s) or 0.0)
            return response.status, content
