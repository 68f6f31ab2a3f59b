"""A quick score: the cross-domain pairs, ranked by the best positive of each query alone.

For looking at a model while it is trained. The numbers are those of the full score, of which these are a part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.metrics import KS, mean
from rope.bench.ranking.engine import Effort, rank_pair
from rope.bench.score import scorable_pairs, sides_of
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import DatasetError

__all__ = ["QuickPair", "QuickScore", "quick_score"]


@dataclass(frozen=True, slots=True)
class QuickPair:
    """Means over the queries of one pair that have a positive, as in `metrics.Summary`."""

    hit_rate: dict[int, float]
    mrr: float
    median_rank: float
    n_queries: int


@dataclass(frozen=True, slots=True)
class QuickScore:
    """The headline, see `score.Score`, and the cross-domain pairs by name."""

    headline: float
    pairs: dict[str, QuickPair]


def quick_score(
    embeddings: Mapping[DomainName, DomainEmbeddings], labels: Mapping[DomainName, SampleLabels], effort: Effort
) -> QuickScore:
    """Score the cross-domain pairs of one split of a dataset.

    Args:
        embeddings: for each domain of `labels`, vectors in any order; they meet their labels by sample id.
        labels: for each domain, the sample and product ids.
        effort: how to spend the machine.

    Raises:
        EmbeddingError: the embeddings are not of these samples, see `rope.bench.io.embeddings.align`.
        DatasetError: there is one domain alone, two have no product in common, or queries have galleries of their own.
    """
    sides = sides_of(embeddings, labels)
    cross = scorable_pairs(sides)
    if not cross or any(side.galleries is not None for side in sides.values()):
        raise DatasetError("a quick score is of pairs of whole domains, which this dataset lacks; make a full score")
    above: dict[str, npt.NDArray[np.int64]] = {}
    for pair in cross[::2]:
        ranks = rank_pair(sides[pair.query].labelled, sides[pair.gallery].labelled, effort, best_only=True)
        above[pair.name], above[pair.reverse.name] = (one.above for one in ranks)
    pairs = {pair.name: _summarise(1 + above[pair.name]) for pair in cross}
    return QuickScore(mean(pair.hit_rate[1] for pair in pairs.values()), pairs)


def _summarise(rank: npt.NDArray[np.int64]) -> QuickPair:
    return QuickPair({k: mean(rank <= k) for k in KS}, mean(1 / rank), float(np.median(rank)), len(rank))
