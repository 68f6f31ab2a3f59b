"""A floor for re-rankers: hand-made evidence that two samples show one product, from both together.

An embedder has to fold a sample into one vector before it knows what it is compared with. Given both, the one
pair of frames that agrees best counts, and of two texts what they share. Nothing is learned.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from baselines.handcrafted import frame_features
from rope.arrays import FloatArray
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of

__all__ = ["HandmadeEvidence", "reranker"]

_N: Final = 2
"""Characters of the pieces that texts are compared by."""

_KEPT: Final = 4096
"""Samples whose features are kept: a gallery sample is a candidate of many queries."""


class HandmadeEvidence:
    """The best agreement of two frames, and the share of the shorter text's pieces that the other has.

    Attributes:
        name: `evidence`.
        fingerprint: changes with the code below and with that which decodes, see `fingerprint_of`.
    """

    name: str = "evidence"

    def __init__(self) -> None:
        self.fingerprint = fingerprint_of(self)
        self._looked_at = lru_cache(_KEPT)(_features)

    def score(self, queries: Sequence[Sample], candidates: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """float32 [n], from 0 to 2: what the frames say and what the texts say; 0 for what one of them lacks.

        Raises:
            DatasetError: a frame cannot be decoded; names the sample.
        """
        pairs = zip(queries, candidates, strict=True)
        return np.array([self._score(query, candidate) for query, candidate in pairs], np.float32)

    def _score(self, query: Sample, candidate: Sample) -> float:
        (frames, pieces), (others, other_pieces) = self._looked_at(query), self._looked_at(candidate)
        seen = float((frames @ others.T).max(initial=0.0))
        shortest = min(len(pieces), len(other_pieces))
        return seen + (len(pieces & other_pieces) / shortest if shortest else 0.0)


def reranker() -> HandmadeEvidence:
    """The re-ranker of `baselines:evidence`; it has no options."""
    return HandmadeEvidence()


def _features(sample: Sample) -> tuple[FloatArray, frozenset[str]]:
    """Of each frame a vector of length 1 [n_frames, dim], and the pieces of the text."""
    plain = "".join(normalize("NFKC", sample.text or "").lower().split())
    return frame_features(sample), frozenset(plain[i : i + _N] for i in range(len(plain) - _N + 1))
