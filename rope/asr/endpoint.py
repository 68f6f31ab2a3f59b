"""A language model behind HTTP: any server that speaks OpenAI's chat completions, a company's or your own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rope.asr.answers import ChatAnswer, Reader, UnansweredChat
from rope.asr.prompt import Message
from rope.config import Count, Seed
from rope.errors import RopeError
from rope.http_requests import HttpQuestions, HttpService, ask_all, refusal

__all__ = ["Endpoint", "EndpointOptions", "parse_answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions(HttpService):
    """Where to ask, and how hard; see `rope.http_requests.HttpService`.

    Attributes:
        max_tokens: longest answer.
        max_lost_in_a_row: so many texts given up one after the other stop the run.
        seed: of the pauses.

    Raises:
        UsageError: the URL is none of the web, or a number is out of range.
    """

    _url_option: ClassVar[str] = "--endpoint "

    seed: Seed
    max_tokens: Count = 96
    concurrency: Count = 16
    max_lost_in_a_row: Count = 20


class Endpoint:
    """A model behind HTTP; see `rope.asr.answers.ChatModel`.

    Requests are plain JSON over aiohttp, by the loop that embeddings behind HTTP use too.

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
        options, lost = self._options, list[UnansweredChat]()

        def request(index: int) -> tuple[str, dict[str, Any]]:
            told = {"model": options.model, "messages": list(conversations[index])}
            return "chat/completions", {**told, "temperature": 0, "max_tokens": options.max_tokens}

        def taken(index: int, answer: ChatAnswer) -> None:
            self._lost_in_a_row = 0
            keep(index, answer)

        def give_up(index: int, reason: str) -> None:
            self._count_lost(reason)
            lost.append(UnansweredChat(index, reason))

        def name(index: int) -> str:
            return conversations[index][-1]["content"]

        ask_all(
            options,
            HttpQuestions(len(conversations), request, self._read, taken, give_up, seed=options.seed, name=name),
        )
        return sorted(lost, key=lambda one: one.index)

    def _count_lost(self, reason: str) -> None:
        options = self._options
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= options.max_lost_in_a_row:
            raise RopeError(
                f"{options.url}: no answer to {self._lost_in_a_row} texts in a row, each tried {options.tries} times "
                f"({reason}); the answers so far are kept: run the same command again when the server is well"
            )

    def _read(self, _: int, status: int, content: bytes) -> ChatAnswer:
        if status == 400 and b"content_filter" in content:
            return ChatAnswer("", is_refused=True)
        if status != 200:
            raise refusal(self._options, status, content)
        return parse_answer(content)


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
