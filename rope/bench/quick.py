"""A quick score: the cross-domain pairs, ranked only by the best positive of each query.

For looking at a model while it is trained. The numbers are those of the full score, of which these are a part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.metrics import KS, expected_at_random, mean
from rope.bench.ranking.engine import ComputeSettings, Labelled, PositiveRanks, rank_one_way, rank_pair
from rope.bench.score import ScoredDomain, scorable_pairs, sides_of
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import DatasetError

__all__ = ["QuickPair", "QuickScore", "quick_score"]


@dataclass(frozen=True, slots=True)
class QuickPair:
    """Means over the queries of one pair that have a positive, as in `metrics.Summary` and `score.PairScore`."""

    hit_rate: dict[int, float]
    mrr: float
    median_rank: float
    n_queries: int
    at_random: dict[int, float]


@dataclass(frozen=True, slots=True)
class QuickScore:
    """The headline, see `score.Score`, and the cross-domain pairs by name."""

    headline: float
    pairs: dict[str, QuickPair]


def quick_score(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    compute: ComputeSettings,
) -> QuickScore:
    """Score the cross-domain pairs of one split of a dataset.

    Args:
        embeddings: for each domain of `labels`, vectors in any order; they meet their labels by sample id.
        labels: for each domain, the sample and product ids.
        compute: how to spend the machine.

    Raises:
        EmbeddingError: the embeddings are not of these samples, see `rope.bench.io.embeddings.align`.
        DatasetError: there is only one domain, two have no product in common, or queries have their own galleries.
    """
    sides = sides_of(embeddings, labels)
    cross = scorable_pairs(sides)
    if not cross or any(side.galleries is not None for side in sides.values()):
        raise DatasetError("a quick score is of pairs of whole domains, which this dataset lacks; make a full score")
    pairs: dict[str, QuickPair] = {}
    for pair in cross[::2]:
        a, b = sides[pair.query], sides[pair.gallery]
        forward, backward = _best_ranks(a, b, compute)
        pairs[pair.name] = _summarise(forward, a.labelled, b.labelled)
        pairs[pair.reverse.name] = _summarise(backward, b.labelled, a.labelled)
    return QuickScore(mean(pair.hit_rate[1] for pair in pairs.values()), pairs)


def _best_ranks(a: ScoredDomain, b: ScoredDomain, compute: ComputeSettings) -> tuple[PositiveRanks, PositiveRanks]:
    """The ranks of the best positives of a's queries in b, and of b's in a."""
    if a.queries is None and b.queries is None:
        return rank_pair(a.labelled, b.labelled, compute, best_only=True)
    return (
        rank_one_way(a.asked, b.labelled, compute, best_only=True),
        rank_one_way(b.asked, a.labelled, compute, best_only=True),
    )


def _summarise(ranks: PositiveRanks, queries: Labelled, gallery: Labelled) -> QuickPair:
    rank = 1 + ranks.above
    first, last = (np.searchsorted(gallery.products, queries.products, side) for side in ("left", "right"))
    n_positives = (last - first)[last > first]
    at_random = {k: expected_at_random(n_positives, np.full_like(n_positives, len(gallery)), k) for k in KS}
    return QuickPair({k: mean(rank <= k) for k in KS}, mean(1 / rank), float(np.median(rank)), len(rank), at_random)
