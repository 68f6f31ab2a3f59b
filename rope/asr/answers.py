"""Answers of a language model, and how they become texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from rope.asr.prompt import Message

__all__ = ["ChatAnswer", "ChatModel", "Outcome", "Reader", "UnansweredChat", "outcome", "summary"]

Outcome = Literal["summary", "empty", "refused"]

_EMPTY: Final = frozenset({"", "无", "空", "没有", "none", "null", "n/a"})
"""Answers which mean that no product is presented, without the full stop and quotes around them."""

_REFUSALS: Final = (
    "抱歉",
    "对不起",
    "很抱歉",
    "非常抱歉",
    "我无法",
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "i cannot",
    "i can't",
)
"""How models begin when they decline; no summary of a product begins so."""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """One answer of a language model, with the tokens that it took.

    Attributes:
        text: as it came.
        is_refused: whether the endpoint says that the model, or its filter, declined.
        prompt_tokens: read by the model; 0 where the endpoint does not say.
        completion_tokens: written by it; 0 where the endpoint does not say.
    """

    text: str
    is_refused: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class UnansweredChat:
    """A conversation that got no answer.

    Attributes:
        index: its place among those that were asked together.
        reason: of the last try.
    """

    index: int
    reason: str


Reader = Callable[[int, ChatAnswer], None]
"""Takes the place of a conversation and its answer, as soon as it is there."""


class ChatModel(Protocol):
    """A language model that answers conversations: an endpoint or a local model.

    Attributes:
        name: of the model; answers of another name are not taken for its own.
    """

    name: str

    def answer(self, conversations: Sequence[Sequence[Message]], keep: Reader) -> list[UnansweredChat]:
        """Answer conversations in any order, calling `keep` once for each, and return those without an answer."""
        ...


def summary(answer: ChatAnswer) -> str | None:
    r"""The summary of an answer in one line, or None where it is empty or refused.

    >>> [summary(ChatAnswer(text)) for text in ("A red\n cup", "无。", "Sorry, I can't help", "「空」")]
    ['A red cup', None, None, None]
    """
    return " ".join(answer.text.split()) if outcome(answer) == "summary" else None


def outcome(answer: ChatAnswer) -> Outcome:
    """What kind of answer it is.

    >>> [outcome(ChatAnswer(text)) for text in ("a cup", "None.", "很抱歉，我不能")]
    ['summary', 'empty', 'refused']
    >>> outcome(ChatAnswer("a cup", is_refused=True))
    'refused'
    """
    plain = answer.text.casefold().strip().strip("。.\"'“”「」 ")
    if answer.is_refused or plain.replace("’", "'").startswith(_REFUSALS):
        return "refused"
    return "empty" if plain in _EMPTY else "summary"
