"""The prompt that precedes a text: instructions and examples, kept as text files beside this one."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

__all__ = ["Language", "Message", "Prompt", "load_prompt"]

Language = Literal["zh", "en"]

_FOLDER: Final = Path(__file__).parent / "prompts"
_HEADING: Final = "### "

Message = dict[str, str]
"""`role` (`system`, `user` or `assistant`) and `content`, as chat endpoints and chat templates take them."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The beginning of a conversation: instructions, then examples of a text and its summary.

    Attributes:
        messages: in order; the text to be summarised follows them.
        max_characters: a text is cut to so many characters, so that what a request costs is bounded.
    """

    messages: tuple[Message, ...]
    max_characters: int

    def conversation(self, text: str) -> list[Message]:
        """The messages that ask for the summary of a text.

        >>> load_prompt("en", max_characters=5).conversation("a red cup")[-1]
        {'role': 'user', 'content': 'a red'}
        """
        return [*self.messages, {"role": "user", "content": text[: self.max_characters]}]

    def key(self, model: str, text: str) -> str:
        """SHA-256, in hex, of the model's name and the whole conversation: what an answer is kept under."""
        return hashlib.sha256(_canonical([model, *self.conversation(text)])).hexdigest()

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the messages and the limit."""
        return hashlib.sha256(_canonical([*self.messages, self.max_characters])).hexdigest()


def load_prompt(language: Language, *, max_characters: int) -> Prompt:
    """The prompt of a language that comes with the package.

    >>> [message["role"] for message in load_prompt("zh", max_characters=2000).messages][:3]
    ['system', 'user', 'assistant']
    """
    return Prompt(_parsed((_FOLDER / f"{language}.txt").read_text("utf-8")), max_characters)


def _parsed(text: str) -> tuple[Message, ...]:
    r"""Messages of a text in which a line such as `### user` begins each.

    >>> _parsed("### system\nBe brief.\n### user\nhello\n")
    ({'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'hello'})
    """
    parts = [part.partition("\n") for part in f"\n{text}".split(f"\n{_HEADING}")[1:]]
    return tuple({"role": role.strip(), "content": content.strip()} for role, _, content in parts)


def _canonical(values: list[object]) -> bytes:
    return json.dumps(values, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")
