"""The one loop for questions to a server: several at a time, no faster than it allows, again where a failure may pass.

What is asked, what an answer means, and what to do without one is the caller's: `rope.asr.endpoint` asks a language
model, `baselines.http_client` a model of embeddings.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar, Final, Generic, TypeVar

import aiohttp
from yarl import URL

from rope.config import Count, NonNegative, Positive, check_record
from rope.errors import UsageError
from rope.rate_limit import Turns, backoff_s, jitter, retry_after_s

__all__ = ["HttpQuestions", "HttpService", "ask_all", "refusal"]

T = TypeVar("T")

_TEMPORARY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_PAUSING: Final = frozenset({429, 503})
"""Where the server speaks of itself and not of one request, so that all requests pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpService:
    """Where to ask, and how hard.

    Attributes:
        url: what paths are added to, such as `http://localhost:8000/v1`.
        model: name of the model there.
        key: sent as a bearer token; None sends none.
        concurrency: requests at a time.
        per_second: starts of requests a second; None for as many as go.
        tries: requests for one question before it is given up.
        timeout_s: for one request.
        backoff_s: longest pause after a first failure; it doubles with each further one.
        max_backoff_s: where doubling ends, and the longest pause that the server can ask for.

    Raises:
        UsageError: the URL is none of the web, or a number is out of range.
    """

    _url_option: ClassVar[str] = "url="

    url: str
    model: str = ""
    key: str | None = field(default=None, repr=False)
    concurrency: Count = 8
    per_second: Positive | None = None
    tries: Count = 6
    timeout_s: Positive = 120.0
    backoff_s: NonNegative = 1.0
    max_backoff_s: NonNegative = 60.0

    def __post_init__(self) -> None:
        check_record(self)
        if not self.url.startswith(("http://", "https://")) or "@" in self.url:
            raise UsageError(
                f"{self._url_option}{self.url}: expected an address that begins with http:// or https://, without a key"
            )


@dataclass(frozen=True, slots=True)
class HttpQuestions(Generic[T]):
    """What is asked, each question by its number.

    Attributes:
        n: how many.
        request: number -> the path, and the body, an object of JSON.
        read: number, status and content -> the answer; a ValueError or its like asks again, any other error ends all.
        keep: told the number and the answer.
        give_up: told the number and the last reason, where no try gave an answer; may raise.
        seed: of the pauses.
        name: number -> a text that the pauses follow, with the seed.
        begun: called for each request that is made.
    """

    n: int
    request: Callable[[int], tuple[str, dict[str, Any]]]
    read: Callable[[int, int, bytes], T]
    keep: Callable[[int, T], None]
    give_up: Callable[[int, str], None]
    seed: int = 0
    name: Callable[[int], str] = str
    begun: Callable[[], None] = lambda: None


class _TryAgainError(Exception):
    """A request failed in a way that may pass."""


def ask_all(service: HttpService, questions: HttpQuestions[T]) -> None:
    """Ask all questions, in any order; what `read`, `keep` and `give_up` raise ends the others too."""
    asyncio.run(_Loop(service, questions).run())


def refusal(service: HttpService, status: int, content: bytes) -> UsageError:
    """The error for a status that no further try changes; what the server said is shown without the key."""
    said = " ".join(content[:300].decode("utf-8", "replace").split())
    said = said.replace(service.key, "***") if service.key else said
    return UsageError(
        f"{service.url}: status {status} for the model {service.model!r} ({said}); check the address and its format, "
        "the name of the model, and the key"
    )


class _Loop(Generic[T]):
    def __init__(self, service: HttpService, questions: HttpQuestions[T]) -> None:
        self._service, self._questions = service, questions
        self._turns = Turns(service.concurrency, service.concurrency, service.per_second)

    async def run(self) -> None:
        service, waiting = self._service, iter(range(self._questions.n))
        headers = {"Authorization": f"Bearer {service.key}"} if service.key else {}
        timeout = aiohttp.ClientTimeout(total=service.timeout_s)

        async def work() -> None:
            for index in waiting:
                await self._ask(session, index)

        # `Turns` counts connections; a limit of the connector would make requests wait on their own time.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            workers = [asyncio.create_task(work()) for _ in range(min(service.concurrency, self._questions.n))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _ask(self, session: aiohttp.ClientSession, index: int) -> None:
        service, asked, reason = self._service, self._questions, ""
        for tries in range(1, service.tries + 1):
            try:
                answer = await self._try(session, index)
            except _TryAgainError as failed:
                reason = str(failed)
            else:
                asked.keep(index, answer)
                return
            if tries < service.tries:
                share = jitter(asked.seed, asked.name(index), tries)
                await asyncio.sleep(backoff_s(tries, service.backoff_s, service.max_backoff_s, share))
        asked.give_up(index, reason)

    async def _try(self, session: aiohttp.ClientSession, index: int) -> T:
        path, body = self._questions.request(index)
        url = URL(f"{self._service.url.rstrip('/')}/{path}")
        try:
            async with self._turns.turn(url.host or ""):
                self._questions.begun()
                status, content = await self._post(session, url, body)
        except asyncio.TimeoutError as error:
            raise _TryAgainError(f"no answer in {self._service.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _TryAgainError(" ".join(str(error).split()) or type(error).__name__) from error
        if status in _TEMPORARY:
            raise _TryAgainError(f"status {status}")
        try:
            return self._questions.read(index, status, content)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise _TryAgainError(f"an answer that cannot be taken: {error}") from error

    async def _post(self, session: aiohttp.ClientSession, url: URL, body: dict[str, Any]) -> tuple[int, bytes]:
        # A redirect could lead the key and the inputs to somebody who was not named.
        async with session.post(url, json=body, allow_redirects=False) as response:
            content = await response.read()
            if response.status in _PAUSING:
                header, now = response.headers.get("Retry-After"), datetime.now(timezone.utc)
                self._turns.pause(url.host or "", retry_after_s(header, now, self._service.max_backoff_s) or 0.0)
            return response.status, content
