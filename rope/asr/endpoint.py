"""A language model behind HTTP: any server that speaks OpenAI's chat completions, a company's or one's own."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

import aiohttp
from yarl import URL

from rope.asr.answers import ChatAnswer, Reader, UnansweredChat
from rope.asr.prompt import Message
from rope.config import Count, NonNegative, Positive, Seed, check_record
from rope.errors import RopeError, UsageError
from rope.rate_limit import Turns, backoff_s, jitter, retry_after_s

__all__ = ["Endpoint", "EndpointOptions", "parse_answer"]

_TEMPORARY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_PAUSING: Final = frozenset({429, 503})
"""Where the server speaks of itself and not of one request, so that all requests pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where to ask, and how hard.

    Attributes:
        url: what the path `/chat/completions` is added to, such as `http://localhost:8000/v1`.
        model: name of the model there.
        key: sent as a bearer token; None sends none.
        max_tokens: longest answer.
        concurrency: requests at a time.
        tries: requests for one text before it is given up.
        timeout_s: for one request.
        backoff_s: longest pause after a first failure; it doubles with each further one.
        max_backoff_s: where doubling ends, and the longest pause that the server can ask for.
        max_lost_in_a_row: so many texts given up one after the other stop the run.
        seed: of the pauses.

    Raises:
        UsageError: the URL is none of the web, or a number is out of range.
    """

    url: str
    model: str
    seed: Seed
    key: str | None = None
    max_tokens: Count = 96
    concurrency: Count = 16
    tries: Count = 6
    timeout_s: Positive = 120.0
    backoff_s: NonNegative = 1.0
    max_backoff_s: NonNegative = 60.0
    max_lost_in_a_row: Count = 20

    def __post_init__(self) -> None:
        check_record(self)
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"--endpoint {self.url}: expected an address that begins with http:// or https://")


class _TryAgainError(Exception):
    """A request failed in a way that may pass."""


class Endpoint:
    """A model behind HTTP; see `rope.asr.answers.ChatModel`.

    Requests are plain JSON over aiohttp, which the fetching of images uses too; its pauses and back-off are shared.

    Args:
        options: where to ask, and how hard.
    """

    def __init__(self, options: EndpointOptions) -> None:
        self.name = options.model
        self._options = options
        self._lost_in_a_row = 0

    def answer(self, conversations: Sequence[Sequence[Message]], keep: Reader) -> list[UnansweredChat]:
        """Answer conversations, several at a time.

        Raises:
            UsageError: the server refuses what is asked, such as the key or the name of the model.
            RopeError: it gives no answer to too many texts in a row.
        """
        return asyncio.run(self._answer(conversations, keep))

    async def _answer(self, conversations: Sequence[Sequence[Message]], keep: Reader) -> list[UnansweredChat]:
        options = self._options
        turns = Turns(options.concurrency, options.concurrency)
        waiting = iter(enumerate(conversations))
        lost: list[UnansweredChat] = []
        headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
        timeout = aiohttp.ClientTimeout(total=options.timeout_s)

        async def work() -> None:
            for index, conversation in waiting:
                answer = await self._ask(session, turns, conversation)
                if isinstance(answer, ChatAnswer):
                    keep(index, answer)
                else:
                    lost.append(UnansweredChat(index, answer))

        # `Turns` counts connections; a limit of the connector would make requests wait on their own time.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            workers = [asyncio.create_task(work()) for _ in range(min(options.concurrency, len(conversations)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return sorted(lost, key=lambda one: one.index)

    async def _ask(
        self, session: aiohttp.ClientSession, turns: Turns, conversation: Sequence[Message]
    ) -> ChatAnswer | str:
        """The answer to one conversation, or why there is none after all tries."""
        options, reason = self._options, ""
        for tries in range(1, options.tries + 1):
            try:
                answer = await self._try(session, turns, conversation)
            except _TryAgainError as failed:
                reason = str(failed)
            else:
                self._lost_in_a_row = 0
                return answer
            if tries < options.tries:
                share = jitter(options.seed, conversation[-1]["content"], tries)
                await asyncio.sleep(backoff_s(tries, options.backoff_s, options.max_backoff_s, share))
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= options.max_lost_in_a_row:
            raise RopeError(
                f"{options.url}: no answer to {self._lost_in_a_row} texts in a row, each tried {options.tries} times "
                f"({reason}); the answers so far are kept: run the same command again when the server is well"
            )
        return reason

    async def _try(self, session: aiohttp.ClientSession, turns: Turns, conversation: Sequence[Message]) -> ChatAnswer:
        options = self._options
        url = URL(f"{options.url.rstrip('/')}/chat/completions")
        body = {
            "model": options.model,
            "messages": list(conversation),
            "temperature": 0,
            "max_tokens": options.max_tokens,
        }
        try:
            # A redirect could lead the key and the texts to somebody who was not named.
            async with turns.turn(url.host or ""), session.post(url, json=body, allow_redirects=False) as response:
                content = await response.read()
                if response.status in _PAUSING:
                    header, now = response.headers.get("Retry-After"), datetime.now(timezone.utc)
                    turns.pause(url.host or "", retry_after_s(header, now, options.max_backoff_s) or 0.0)
        except asyncio.TimeoutError as error:
            raise _TryAgainError(f"no answer in {options.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _TryAgainError(" ".join(str(error).split()) or type(error).__name__) from error
        return self._read(response.status, content)

    def _read(self, status: int, content: bytes) -> ChatAnswer:
        if status == 400 and b"content_filter" in content:
            return ChatAnswer("", is_refused=True)
        if status in _TEMPORARY:
            raise _TryAgainError(f"status {status}")
        if status != 200:
            said = " ".join(content[:300].decode("utf-8", "replace").split())
            raise UsageError(
                f"{self._options.url}: status {status} for the model {self._options.model} ({said}); check the "
                "address, the name of the model and the key"
            )
        try:
            return parse_answer(content)
        except ValueError as error:
            raise _TryAgainError(str(error)) from error


def parse_answer(content: bytes) -> ChatAnswer:
    """The answer in the body of a response.

    >>> parse_answer(b'{"choices": [{"message": {"content": "a cup"}, "finish_reason": "stop"}]}').text
    'a cup'

    Raises:
        ValueError: the body is not a chat completion.
    """
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        message = choice["message"]
        text, usage = message.get("content") or "", body.get("usage") or {}
        if not isinstance(text, str):
            raise TypeError("content is not text")
        is_refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        text = text.encode("utf-8", "replace").decode()  # JSON can hold half of a character, which no file can
        return ChatAnswer(text, is_refused, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer that is not a chat completion ({type(error).__name__}: {error})") from error


def _count(usage: Any, name: str) -> int:  # noqa: ANN401  from somebody else's JSON
    value = usage.get(name)
    return value if isinstance(value, int) else 0
