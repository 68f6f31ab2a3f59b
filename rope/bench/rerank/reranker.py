"""The interface of a re-ranker, how one is found by name, and what is checked of it."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray
from rope.bench.running.embedder import EmbedderOrigin, ModelKind, NamedModel, find_model
from rope.domain import Sample
from rope.errors import EmbeddingError

__all__ = ["TOLERANCE", "Reranker", "find_reranker", "largest_difference", "score_checked"]

TOLERANCE: Final = 1e-3
"""How far two scores of one pair may be apart, as a share of the largest that a batch has, and pass as rounding."""

_RERANKER: Final = ModelKind(
    "reranker", "score", "a method `score(queries, candidates)` that returns a float array [n], one for each pair"
)


class Reranker(NamedModel, Protocol):
    """Anything that says how well a sample answers a query, of both together.

    It may have an attribute `fingerprint`, as an `Embedder` may, by which kept scores are known again. With an
    attribute `abstains = True`, a score of NaN says that it has none for this pair, such as a model of texts for a
    sample without one: such a candidate stays behind those with a score, in the order of the first stage.
    """

    def score(self, queries: Sequence[Sample], candidates: Sequence[Sample]) -> npt.NDArray[np.floating[Any]]:
        """Score n pairs, `queries[i]` with `candidates[i]`, as floats [n]; the higher, the better the answer.

        All queries are of one domain, and so are all candidates.
        """
        ...


def find_reranker(spec: str) -> tuple[Reranker, EmbedderOrigin]:
    """Find a re-ranker by `module:object`, as `rope.bench.running.embedder.find_embedder` finds an embedder.

    A module in place of the object stands for its function `reranker`.

    Raises:
        UsageError: see there.
    """
    return find_model(spec, _RERANKER)


def score_checked(reranker: Reranker, queries: Sequence[Sample], candidates: Sequence[Sample]) -> FloatArray:
    """The scores of n pairs as float64 [n], NaN where the re-ranker abstains.

    Raises:
        EmbeddingError: they are something else; names the re-ranker and the pair.
    """
    found: object = reranker.score(queries, candidates)
    where = f"{reranker.name}: {queries[0].domain} {queries[0].sample_id!r} and {len(queries):,} pairs from it on"
    if (
        not isinstance(found, np.ndarray)
        or not np.issubdtype(found.dtype, np.floating)
        or found.shape != (len(queries),)
    ):
        kind = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise EmbeddingError(f"{where}: score returned {kind}, expected a NumPy array of floats ({len(queries)},)")
    scores = found.astype(np.float64)
    is_bad = np.isinf(scores) if getattr(reranker, "abstains", False) else ~np.isfinite(scores)
    if is_bad.any():
        at = int(np.argmax(is_bad))
        raise EmbeddingError(
            f"{reranker.name}: {queries[at].domain} {queries[at].sample_id!r} with {candidates[at].domain} "
            f"{candidates[at].sample_id!r}: the score is {scores[at]}, expected a number; NaN is for re-rankers with "
            "the attribute abstains = True"
        )
    return scores


def largest_difference(one: FloatArray, other: FloatArray, scale: float) -> float:
    """Of the scores of the same pairs, as a share of `scale`; infinite where only one has a score.

    >>> largest_difference(np.array([1.0, np.nan]), np.array([1.5, np.nan]), 2.0)
    0.25
    """
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float(np.inf)
    difference = np.abs(one - other)
    return float(np.nanmax(difference, initial=0.0)) / (scale or 1.0)
