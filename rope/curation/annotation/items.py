"""Items to annotate: an item and a question make a task."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from rope.errors import UsageError

__all__ = [
    "CHOICES",
    "QUESTIONS",
    "SCHEMA_VERSION",
    "Item",
    "Question",
    "media_digest",
    "pair_id",
    "readings_of",
    "task_id_of",
]

Question = Literal["same_product", "product_name", "merge", "precision"]
QUESTIONS: Final[tuple[Question, ...]] = get_args(Question)

_PAIR: Final = ("same", "different", "unclear")

CHOICES: Final[Mapping[Question, tuple[str, ...]]] = {"same_product": _PAIR, "merge": _PAIR, "precision": _PAIR}
"""The answers that a question allows; any text, where it is not listed."""

SCHEMA_VERSION: Final = 1
"""Of the questions and their answers; a change of meaning makes it higher, and every task a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What an annotator is shown.

    Attributes:
        item_id: names it for ever: the id of a sample, or the ids of a pair as `PAGE|CLIP`.
        question: the question about it.
        texts: heading -> text, in the order of display; texts may be empty.
        media: heading -> paths of images, in the order of display; absolute, or relative to the pool.
        videos: heading -> path of a video file.
        digest: of the media's bytes, see `media_digest`; tells whether they have changed since an answer was given.
        stratum: of the sample that it was drawn in.
        weight: inverse of the probability that it was drawn with.
        gold: the known answer of an item that tests annotators, or None.
        score: the number of its row that a filter judges by, where items are chosen near a cut; else None.

    Raises:
        UsageError: the item has no id, no media and no text, or a known answer that the question does not allow.
    """

    item_id: str
    question: Question
    texts: Mapping[str, str] = field(default_factory=dict)
    media: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    videos: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    stratum: str = ""
    weight: float = 1.0
    gold: str | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        if not self.item_id:
            raise UsageError("an item to annotate needs an id that is not empty")
        if not any(self.media.values()) and not self.videos and not any(self.texts.values()):
            raise UsageError(f"item {self.item_id}: has neither text nor media, so there is nothing to ask about")
        allowed = CHOICES.get(self.question)
        if self.gold is not None and allowed and self.gold not in allowed:
            raise UsageError(
                f"item {self.item_id}: the known answer {self.gold!r} is not one of {', '.join(allowed)} "
                f"({self.question})"
            )

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings of its texts, images and videos, each once."""
        return tuple(dict.fromkeys((*self.texts, *self.media, *self.videos)))

    @property
    def task_id(self) -> str:
        """The same for the same item and question, whenever and wherever it is exported; 32 hex digits.

        >>> Item(item_id="p1|v9", question="same_product", texts={"page": "a cup"}).task_id
        'c781153f38142df36bb0737394d94293'
        """
        return task_id_of(self.item_id, self.question)


def task_id_of(item_id: str, question: Question) -> str:
    """The id of the task that asks a question of an item."""
    return hashlib.blake2b(f"{item_id}|{SCHEMA_VERSION}|{question}".encode(), digest_size=16).hexdigest()


def pair_id(left: str, right: str) -> str:
    r"""The id of an item of two rows: `LEFT|RIGHT`, with a backslash before each bar and backslash of an id.

    >>> print(pair_id("p1", "v1"), pair_id("p|1", "v1"))
    p1|v1 p\|1|v1
    """
    return "|".join(re.sub(r"[\\|]", r"\\\g<0>", part) for part in (left, right))


def readings_of(item_id: str) -> list[tuple[str, str]]:
    """The pairs that an id may mean: as `pair_id` writes it; then, for labels made by hand, cut at any of its bars.

    >>> readings_of(pair_id("p|1", "v1"))[0], readings_of("p|1|v1")
    (('p|1', 'v1'), [('p', '1|v1'), ('p|1', 'v1')])
    """
    parts = [""]
    for sign in re.findall(r"\\[\\|]|.", item_id, re.DOTALL):
        if sign == "|":
            parts.append("")
        else:
            parts[-1] += sign[-1]
    written = [(parts[0], parts[1])] if len(parts) == 2 else []
    by_hand = [(item_id[:at], item_id[at + 1 :]) for at, character in enumerate(item_id) if character == "|"]
    return list(dict.fromkeys([*written, *by_hand]))


def media_digest(sha256s: Mapping[str, str]) -> str:
    """One digest of the media of an item, from path -> SHA-256; the order does not matter.

    >>> media_digest({"a.jpg": "00", "b.jpg": "11"}) == media_digest({"b.jpg": "11", "a.jpg": "00"})
    True
    """
    lines = "".join(f"{digest} {path}\n" for path, digest in sorted(sha256s.items()))
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()
