"""One of several processes of a run: which parts are its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rope.errors import UsageError

__all__ = ["RunShare", "parse_share"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunShare:
    """One process's share of the samples: share `rank` of `world`.

    Attributes:
        rank: from 0 to `world` - 1.
        world: how many processes there are.

    Raises:
        UsageError: the rank is not one of them.
    """

    rank: int
    world: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            last = f"; of {self.world} shares the last is {self.world - 1}/{self.world}" if self.world else ""
            raise UsageError(f"share {self.rank}/{self.world}: expected rank/world with 0 <= rank < world{last}")

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Its items: neighbours, and as many as any other share has, or one more or less.

        >>> [RunShare(rank, 3).of("abcde") for rank in range(3)]
        ['a', 'bc', 'de']
        """
        start, stop = (len(items) * end // self.world for end in (self.rank, self.rank + 1))
        return items[start:stop]


def parse_share(text: str) -> RunShare:
    """The share of a text such as `0/2`.

    >>> parse_share("1/4")
    RunShare(rank=1, world=4)

    Raises:
        UsageError: it has another form, or the share is unknown.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if match is None:
        raise UsageError(f"share {text!r}: expected rank/world, as in 0/2 and 1/2 for two processes")
    return RunShare(int(match[1]), int(match[2]))
