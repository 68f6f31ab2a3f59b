"""The summary that a run prints at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["RunSummary"]

_SHOWN: Final = 3
"""Files named."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How many vectors a run made, how many an earlier run had made, and how far repeats differed.

    Attributes:
        n_kept: vectors that an earlier run, or another process of this one, had made.
        n_embedded: vectors made now.
        difference: the largest 1 - cosine of vectors of one sample embedded in two batches, see
            `rope.bench.running.checks`; None where none was compared.
        source: the files that stand for a model without a fingerprint.
        unseen: why such a model cannot be resumed; None where it can.
    """

    n_kept: int
    n_embedded: int
    difference: float | None
    source: tuple[str, ...]
    unseen: str | None

    def sentence(self, name: str) -> str:
        """The summary as a sentence.

        >>> print(RunSummary(0, 30, 4e-8, ("my_model.py",), None).sentence("mine"))  # doctest: +ELLIPSIS
        mine: 0 vectors kept, 30 embedded; ... is at most 4e-08; it has no fingerprint, so the source of my_model.py ...
        """
        checked = (
            "none was embedded again to see whether it stays the same"
            if self.difference is None
            else f"embedded again in another batch, 1 - cosine is at most {self.difference:.0e}"
        )
        text = f"{name}: {self.n_kept:,} vectors kept, {self.n_embedded:,} embedded; {checked}"
        if self.unseen is not None:
            text += f"; it has no fingerprint and {self.unseen}, so a later run will not keep these vectors"
        elif self.source:
            text += (
                f"; it has no fingerprint, so the source of {_listed(self.source)} stands for it, and files that it "
                "reads are not seen"
            )
        return text


def _listed(names: Sequence[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
