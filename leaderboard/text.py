"""Texts of a submission: nothing hidden in them, and no name that reads like another's."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rope.errors import RopeError

__all__ = ["check_texts", "printable", "skeleton", "text_problem"]

_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Characters that take part in text and show nothing, besides those whose category says so."""

_HIDDEN_CATEGORIES: Final = {
    "Cc": "a control character",
    "Cf": "a character that cannot be seen",
    "Cn": "no character of Unicode",
    "Co": "a character without meaning",
    "Cs": "half of a character",
    "Zl": "an end of line",
    "Zp": "an end of line",
}
_DIRECTIONS: Final = frozenset(["R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI", "PDF", "PDI"])
"""Classes of characters that run from right to left, or make others do so."""

_LOOK_ALIKE: Final = (("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"), ("i", "l"), ("|", "l"))
"""What reads alike among the letters that a name may have, after case is folded (Unicode's confusables.txt)."""

_MAX_TEXT: Final = 300
_MAX_MARKS: Final = 2


def text_problem(text: str) -> str | None:
    r"""Why a text cannot be shown as it is, as the end of a sentence; None if it can.

    A reader must see what is there: no control, format or private character, no space but the plain one, no letter
    that runs from right to left (it would reorder what stands next to it), no stack of accents, and NFC.

    >>> text_problem("rope-bench run --model x:Y"), text_problem("中文 CLIP, é")
    (None, None)
    >>> text_problem("a\u202eb"), text_problem("a\u200bb")
    ('holds U+202E, which changes the direction of text', 'holds U+200B, a character that cannot be seen')
    >>> text_problem("e\u0301")
    "is not in the normal form NFC, which is 'é'"
    """
    if len(text) > _MAX_TEXT:
        return f"has {len(text):,} characters, expected {_MAX_TEXT} at most"
    n_marks = 0
    for letter in text:
        if problem := _letter_problem(letter):
            return f"holds U+{ord(letter):04X}, {problem}"
        n_marks = n_marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if n_marks > _MAX_MARKS:
            return f"holds more than {_MAX_MARKS} accents on one letter"
    composed = unicodedata.normalize("NFC", text)
    return None if composed == text else f"is not in the normal form NFC, which is {composed!r}"


def check_texts(value: Any, where: str) -> None:  # noqa: ANN401 (a JSON value)
    """Refuse a JSON value with a text, or a key, that cannot be shown as it is.

    Raises:
        RopeError: names the place of the first and what is wrong with it.
    """
    for place, text in _texts(value, "$"):
        if (problem := text_problem(text)) is not None:
            raise RopeError(f"{where}: {place} {problem}; write it with characters that a reader can see and type")


def skeleton(name: str) -> str:
    """What a name looks like: two names with one skeleton are the same to a hasty reader.

    Case, spaces, hyphens and underscores do not count, nor do letters of Unicode that stand for others (NFKC), nor what
    looks alike.

    >>> skeleton("COPE"), skeleton("C0-pe "), skeleton("ＣＯＰＥ"), skeleton("COPE+")
    ('cope', 'cope', 'cope', 'cope+')
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    plain = "".join(letter for letter in plain if not letter.isspace() and letter not in "-_")
    for shown, read in _LOOK_ALIKE:
        plain = plain.replace(shown, read)
    return plain


def printable(text: str) -> str:
    r"""A text for a terminal or a log, in one line: what does not print is written as an escape.

    >>> print(printable("a\nb\x1b[2J\u202e"))
    a\nb\x1b[2J\u202e
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _letter_problem(letter: str) -> str | None:
    if unicodedata.bidirectional(letter) in _DIRECTIONS:
        return "which changes the direction of text"
    category = unicodedata.category(letter)
    if letter in _INVISIBLE or 0xFE00 <= ord(letter) <= 0xFE0F or 0xE0000 <= ord(letter) <= 0xE0FFF:
        return _HIDDEN_CATEGORIES["Cf"]
    if category == "Zs" and letter != " ":
        return "a space that is not the plain one"
    return _HIDDEN_CATEGORIES.get(category)


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 (a JSON value)
    """Every text in a JSON value and every key, with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"a key of {place}", key
            yield from _texts(inner, f"{place}.{key}")
    elif isinstance(value, Sequence):
        for i, inner in enumerate(value):
            yield from _texts(inner, f"{place}[{i}]")
