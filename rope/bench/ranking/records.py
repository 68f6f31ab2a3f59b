"""Records of the engine: labelled vectors in, compute settings, ranks of positives out."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rope.arrays import BitArray, FloatArray, IntArray
from rope.bench.ranking.backends import Arithmetic
from rope.bench.ranking.similarity import Vectors
from rope.moved import renamed_attribute

__all__ = ["ComputeSettings", "Labelled", "PositiveRanks"]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The samples of one domain: their vectors, and the product of each as an index.

    Attributes:
        vectors: n vectors.
        products: int64 [n], ascending, so that the samples of one product stand side by side.

    Raises:
        ValueError: the lengths differ, or the products are not ascending.
    """

    vectors: Vectors
    products: IntArray

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.products):
            raise ValueError(f"{len(self.vectors)} vectors but {len(self.products)} products")
        if np.any(np.diff(self.products) < 0):
            raise ValueError("products must be ascending")

    def __len__(self) -> int:
        return len(self.products)

    def part(self, start: int, stop: int) -> "Labelled":
        """The samples `start:stop`, not copied."""
        return Labelled(self.vectors.part(start, stop), self.products[start:stop])


@dataclass(frozen=True, slots=True, eq=False)
class PositiveRanks:
    """For each query and each of its positives, best first: how many negatives come before it.

    The positives of query q are the entries `offsets[q]:offsets[q + 1]` of the other arrays.

    Attributes:
        offsets: int64 [n_queries + 1].
        above: int64 [n_entries]; negatives at least as similar as the positive: ties count against the model.
        above_optimistic: int64 [n_entries]; negatives strictly more similar.
        n_rechecked: comparisons that were left open by the blocks and settled one by one.
        win_chances: float64 [n_entries]; the chance that the positive is more similar than everything in a support set
            of one sample, drawn at random, of each other product of the gallery; None where it was not requested.
        won: uint64 [n_queries, n_words]; bit t is set if the query's own product is the most similar in support set
            t; None where it was not requested.
    """

    offsets: IntArray
    above: IntArray
    above_optimistic: IntArray
    n_rechecked: int
    win_chances: FloatArray | None = None
    won: BitArray | None = None

    survival = renamed_attribute("survival", "win_chances")


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """How to spend the machine; changes the time that ranking takes, never the ranks.

    Attributes:
        memory_bytes: what blocks and their temporaries may take, and again what the positives may take that are
            counted at a time, beside the vectors; see `memory`. None for 256 MiB, or 8 GiB of an accelerator's memory.
        threads: number of workers, None for one a processor.
        advance: called from the workers with the number of similarities just dealt with.
        device: `cpu`, or an accelerator as torch names it.
        arithmetics: what to make blocks with, the coarsest first; the next is taken where one leaves too much open.
            None for what is fastest on the device.
    """

    memory_bytes: int | None = None
    threads: int | None = None
    advance: Callable[[int], None] = lambda _: None
    device: str = "cpu"
    arithmetics: Sequence[Arithmetic] | None = None

    @property
    def n_threads(self) -> int:
        """Number of workers."""
        return self.threads or os.cpu_count() or 1

    @property
    def memory(self) -> int:
        """`memory_bytes`, or its default."""
        return self.memory_bytes or (256 << 20 if self.device == "cpu" else 8 << 30)
