"""The protocol applied: embeddings and labels in, every reported number out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import BitArray, BoolArray
from rope.bench.io.embeddings import DomainEmbeddings, align
from rope.bench.metrics import (
    KS,
    QueryScores,
    Summary,
    expected_at_random,
    mean,
    score_one_way,
    score_pair,
    score_within,
    summarise,
)
from rope.bench.one_shot import Draws, OneShot, classify, support_bits
from rope.bench.per_gallery import score_one_way_by_group, score_pair_by_group, score_within_by_group
from rope.bench.ranking.engine import ComputeSettings, Labelled
from rope.bench.ranking.similarity import Vectors
from rope.bench.running.share import RunShare
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName, Pair, all_pairs, cross_domain_pairs, in_order
from rope.errors import DatasetError

__all__ = [
    "PROTOCOL_VERSION",
    "OrderedLabels",
    "PairScore",
    "Score",
    "ScoredDomain",
    "by_product",
    "count_similarities",
    "headline_of",
    "ordered_labels",
    "pair_score",
    "scorable_pairs",
    "score",
    "score_share",
    "sides_of",
]

PROTOCOL_VERSION: Final = "1.1"
"""Version of docs/protocol.md; a change that can move any number changes it."""


@dataclass(frozen=True, slots=True, eq=False)
class PairScore:
    """What one ordered pair of domains scored.

    Attributes:
        pair: query and gallery domain.
        n_queries: queries with a positive; the others are left out of every mean.
        n_no_positive: queries left out.
        n_gallery: gallery samples (for a same-domain pair, the query itself among them).
        n_rechecked: comparisons that float32 could not settle; depends on the machine, unlike all else here.
        micro: means over queries; None for a same-domain pair in which no product has two samples.
        macro: means over products, so that products with many samples don't dominate; None in the same case.
        queries: the scores of each query.
        query_ids: the sample id of each query in `queries`.
        query_products: the product id of each.
        at_random: k -> R@k of an order drawn at random; empty where no query has a positive.
    """

    pair: Pair
    n_queries: int
    n_no_positive: int
    n_gallery: int
    n_rechecked: int
    micro: Summary | None
    macro: Summary | None
    queries: QueryScores
    query_ids: list[str]
    query_products: list[str]
    at_random: dict[int, float]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Everything that is reported of one set of embeddings.

    Attributes:
        headline: the mean R@1 of the cross-domain pairs, a fraction: six where the dataset has ROPE's three domains;
            None where it has only one domain.
        pairs: `P2V` and so on -> its score; the cross-domain pairs, then those within a domain.
        one_shot: the cross-domain pairs -> accuracy; support of the first domain, queries of the second. Empty where
            queries have their own galleries, as a support set would cut across these.
        draws: how the support sets were drawn.
    """

    headline: float | None
    pairs: dict[str, PairScore]
    one_shot: dict[str, OneShot]
    draws: Draws


@dataclass(frozen=True, slots=True, eq=False)
class OrderedLabels:
    """The labels of one domain in the order of the engine: by product.

    Attributes:
        products: int64 [n], ascending; products have the same number in all domains.
        sample_ids: of each sample.
        product_ids: of each.
        galleries: of each, if the dataset has any.
    """

    products: npt.NDArray[np.int64]
    sample_ids: list[str]
    product_ids: list[str]
    galleries: list[str | None] | None

    @property
    def groups(self) -> list[str | None]:
        """The gallery of each sample; None where all share one."""
        return self.galleries if self.galleries is not None else [None] * len(self.sample_ids)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredDomain:
    """One domain in the order of the engine: by product.

    Attributes:
        labelled: the samples as a gallery has them.
        sample_ids: of each.
        product_ids: of each.
        galleries: of each, if the dataset has any.
        queries: the samples with the vectors that they have as queries; None where these are the same.
    """

    labelled: Labelled
    sample_ids: list[str]
    product_ids: list[str]
    galleries: list[str | None] | None
    queries: Labelled | None = None

    @property
    def labels(self) -> OrderedLabels:
        """What is known of the samples beside their vectors."""
        return OrderedLabels(self.labelled.products, self.sample_ids, self.product_ids, self.galleries)

    @property
    def asked(self) -> Labelled:
        """The samples as queries."""
        return self.labelled if self.queries is None else self.queries


def score(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    draws: Draws,
    compute: ComputeSettings,
    queries: Mapping[str, QueryScores] | None = None,
) -> Score:
    """Score the embeddings of one split of a dataset, on all pairs of the domains that it has.

    Args:
        embeddings: for each domain of `labels`, vectors in any order; they meet their labels by sample id. Those in
            the order of the labels are not copied.
        labels: for each domain of the dataset, the sample and product ids, and the galleries if it has any.
        draws: of the support sets of one-shot classification.
        compute: how to spend the machine; its `advance` is called with `count_similarities` in all.
        queries: what all queries of each pair have scored, if that is known (see `score_share`); None to compute it.

    Raises:
        EmbeddingError: the embeddings are not of these samples, see `rope.bench.io.embeddings.align`.
        DatasetError: two domains have no product in common.
    """
    sides = sides_of(embeddings, labels)
    cross = scorable_pairs(sides)
    is_grouped = _is_grouped(sides)
    scores = dict(_score_queries(sides, cross, draws, compute) if queries is None else queries)
    ordered = {domain: side.labels for domain, side in sides.items()}
    pairs = {pair.name: pair_score(pair, scores[pair.name], ordered) for pair in all_pairs(sides)}
    one_shot = {
        pair.name: classify(
            sides[pair.query].labelled, sides[pair.gallery].asked, scores[pair.reverse.name], draws, compute
        )
        for pair in cross
        if not is_grouped
    }
    return Score(headline_of(pairs), pairs, one_shot, draws)


def headline_of(pairs: Mapping[str, PairScore]) -> float | None:
    """The mean R@1 of the cross-domain pairs among some; None where there is none."""
    cross = [pair for pair in pairs.values() if pair.pair.query != pair.pair.gallery]
    return mean([_r_at_1(pair) for pair in cross]) if cross else None


def score_share(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    draws: Draws,
    compute: ComputeSettings,
    share: RunShare,
) -> dict[str, QueryScores]:
    """What one share of the queries of each pair scores: a run of them in every domain, each against the whole gallery.

    The shares of all ranks, put together with `metrics.joined`, are what `score` computes at once. A similarity serves
    one direction here, so all shares together compute twice as many.

    Args:
        embeddings: as for `score`.
        labels: likewise.
        draws: likewise.
        compute: likewise; its `advance` is called with the share's part of `count_similarities`.
        share: which queries.

    Raises:
        EmbeddingError: as `score`.
        DatasetError: as `score`.
    """
    sides = sides_of(embeddings, labels)
    scorable_pairs(sides)
    is_grouped = _is_grouped(sides)
    asked = {domain: _rows_of(share, len(side.labelled)) for domain, side in sides.items()}
    drawn = _drawn(sides, draws)
    return {
        pair.name: _score_within(sides[pair.query], compute, is_grouped, asked[pair.query])
        if pair.query == pair.gallery
        else _score_one_way(sides[pair.query], sides[pair.gallery], drawn[pair.gallery], compute, asked[pair.query])
        for pair in all_pairs(sides)
    }


def scorable_pairs(sides: Mapping[DomainName, ScoredDomain]) -> tuple[Pair, ...]:
    """The cross-domain pairs of the domains there are, each beside its reverse.

    Raises:
        DatasetError: two domains have no product in common.
    """
    cross = cross_domain_pairs(sides)
    for pair in cross[::2]:
        if _products_by_group(sides[pair.query]).isdisjoint(_products_by_group(sides[pair.gallery])):
            raise DatasetError(
                f"no product has both a {pair.query} and a {pair.gallery} in this split, so {pair.name} "
                "cannot be scored, and every pair is part of the protocol"
            )
    return cross


def count_similarities(labels: Mapping[DomainName, SampleLabels], draws: Draws) -> int:
    """About how many similarities `score` will compute; the total of a progress bar."""
    pairs = all_pairs(labels)
    found = sum(_count_pairs(labels[pair.query], labels[pair.gallery]) for pair in pairs) // 2
    if draws.shots == 1 or any(rows.galleries is not None for rows in labels.values()):
        return found
    one_shot = sum(
        draws.trials * len(set(labels[pair.query].product_ids)) * len(labels[pair.gallery].sample_ids)
        for pair in pairs
        if pair.query != pair.gallery
    )
    return found + one_shot


def by_product(labels: SampleLabels) -> SampleLabels:
    """The same labels in the order that `score` works in; embeddings in this order are not copied."""
    order = sorted(range(len(labels.product_ids)), key=lambda i: labels.product_ids[i])
    return SampleLabels(
        [labels.sample_ids[i] for i in order],
        [labels.product_ids[i] for i in order],
        None if labels.galleries is None else [labels.galleries[i] for i in order],
    )


def sides_of(
    embeddings: Mapping[DomainName, DomainEmbeddings], labels: Mapping[DomainName, SampleLabels]
) -> dict[DomainName, ScoredDomain]:
    """Number the products of all domains alike, and put each domain in the order of its products.

    Samples that are listed without a vector are ranked last; `rope.bench.io.provenance.describe` lets them in.

    Raises:
        EmbeddingError: the embeddings are not of the samples of the labels, see `rope.bench.io.embeddings.align`.
    """
    aligned = align(dict(embeddings), labels, "given")
    sides: dict[DomainName, ScoredDomain] = {}
    for domain, ordered in ordered_labels(labels).items():
        rows, order = aligned.pop(domain), _order(labels[domain])
        if np.any(np.diff(order) < 0):
            rows = rows.take(order)
        queries = None if rows.queries is None else _labelled(rows.queries, ordered.products)
        labelled = _labelled(rows, ordered.products)
        sides[domain] = ScoredDomain(labelled, ordered.sample_ids, ordered.product_ids, ordered.galleries, queries)
    return sides


def ordered_labels(labels: Mapping[DomainName, SampleLabels]) -> dict[DomainName, OrderedLabels]:
    """Number the products of all domains alike, and put each domain in the order of its products."""
    ids = sorted({product for rows in labels.values() for product in rows.product_ids})
    number = {product: i for i, product in enumerate(ids)}
    found: dict[DomainName, OrderedLabels] = {}
    for domain in in_order(labels):
        rows, order = labels[domain], _order(labels[domain]).tolist()
        product_ids = [rows.product_ids[i] for i in order]
        found[domain] = OrderedLabels(
            np.array([number[product] for product in product_ids], np.int64),
            [rows.sample_ids[i] for i in order],
            product_ids,
            None if rows.galleries is None else [rows.galleries[i] for i in order],
        )
    return found


def _order(labels: SampleLabels) -> npt.NDArray[np.int64]:
    """By product, and else as it was."""
    return np.array(sorted(range(len(labels.product_ids)), key=labels.product_ids.__getitem__), np.int64)


def _labelled(rows: DomainEmbeddings, products: npt.NDArray[np.int64]) -> Labelled:
    return Labelled(Vectors.of(rows.vectors, rows.offsets), products)


def _products_by_group(side: ScoredDomain) -> set[tuple[int, str | None]]:
    return set(zip(side.labelled.products.tolist(), side.labels.groups, strict=True))


def _is_grouped(sides: Mapping[DomainName, ScoredDomain]) -> bool:
    return any(side.galleries is not None for side in sides.values())


def _rows_of(share: RunShare, n: int) -> BoolArray:
    asked = np.zeros(n, np.bool_)
    asked[share.of(range(n))] = True
    return asked


def _score_queries(
    sides: Mapping[DomainName, ScoredDomain], cross: Sequence[Pair], draws: Draws, compute: ComputeSettings
) -> dict[str, QueryScores]:
    is_grouped, drawn = _is_grouped(sides), _drawn(sides, draws)
    scores: dict[str, QueryScores] = {}
    for pair in cross[::2]:
        a, b = sides[pair.query], sides[pair.gallery]
        scores[pair.name], scores[pair.reverse.name] = _score_pair(
            a, b, (drawn[pair.query], drawn[pair.gallery]), compute
        )
    for domain, side in sides.items():
        scores[Pair(domain, domain).name] = _score_within(side, compute, is_grouped)
    return scores


def _drawn(sides: Mapping[DomainName, ScoredDomain], draws: Draws) -> dict[DomainName, BitArray | None]:
    """The support sets that the samples of each domain are in; None where queries have their own galleries."""
    is_grouped = _is_grouped(sides)
    return {
        domain: None if is_grouped else support_bits(side.labelled.products, draws) for domain, side in sides.items()
    }


def _score_pair(
    a: ScoredDomain, b: ScoredDomain, drawn: tuple[BitArray | None, BitArray | None], compute: ComputeSettings
) -> tuple[QueryScores, QueryScores]:
    if a.queries is not None or b.queries is not None:  # the similarities of one direction are not those of the other
        half = replace(compute, advance=lambda n: compute.advance(n // 2))
        return _score_one_way(a, b, drawn[1], half), _score_one_way(b, a, drawn[0], half)
    if drawn[0] is None or drawn[1] is None:
        return score_pair_by_group(a.labelled, b.labelled, a.labels.groups, b.labels.groups, compute)
    return score_pair(a.labelled, b.labelled, compute, (drawn[0], drawn[1]))


def _score_one_way(
    queries: ScoredDomain,
    gallery: ScoredDomain,
    drawn: BitArray | None,
    compute: ComputeSettings,
    asked: BoolArray | None = None,
) -> QueryScores:
    a, b = queries.asked, gallery.labelled
    if drawn is None:
        return score_one_way_by_group(a, b, queries.labels.groups, gallery.labels.groups, compute, asked)
    return score_one_way(a, b, compute, drawn, asked)


def _score_within(
    side: ScoredDomain, compute: ComputeSettings, is_grouped: bool, asked: BoolArray | None = None
) -> QueryScores:
    if is_grouped:
        return score_within_by_group(side.labelled, side.labels.groups, compute, side.queries, asked)
    return score_within(side.labelled, compute, side.queries, asked)


def _count_pairs(queries: SampleLabels, gallery: SampleLabels) -> int:
    """Queries times what each is compared with."""
    if queries.galleries is None and gallery.galleries is None:
        return len(queries.sample_ids) * len(gallery.sample_ids)
    sizes = Counter(gallery.galleries or [None] * len(gallery.sample_ids))
    return sum(sizes[group] for group in queries.galleries or [None] * len(queries.sample_ids))


def pair_score(pair: Pair, queries: QueryScores, labels: Mapping[DomainName, OrderedLabels]) -> PairScore:
    """The score of a pair from those of its queries.

    Args:
        pair: query and gallery domain.
        queries: of each query that has a positive, by its number among `labels`.
        labels: of both domains.
    """
    asked = labels[pair.query]
    products = asked.products[queries.queries]
    n_queries = len(queries.queries)
    return PairScore(
        pair=pair,
        n_queries=n_queries,
        n_no_positive=len(asked.products) - n_queries,
        n_gallery=len(labels[pair.gallery].products),
        n_rechecked=queries.n_rechecked,
        micro=summarise(queries) if n_queries else None,
        macro=summarise(queries, products) if n_queries else None,
        queries=queries,
        query_ids=[asked.sample_ids[i] for i in queries.queries],
        query_products=[asked.product_ids[i] for i in queries.queries],
        at_random=_at_random(pair, queries, labels) if n_queries else {},
    )


def _at_random(pair: Pair, queries: QueryScores, labels: Mapping[DomainName, OrderedLabels]) -> dict[int, float]:
    """Each query is compared with the gallery of its group; in its own domain, without itself."""
    groups, sizes = labels[pair.query].groups, Counter(labels[pair.gallery].groups)
    itself = pair.query == pair.gallery
    n_candidates = np.array([sizes[groups[i]] - itself for i in queries.queries], np.int64)
    return {k: expected_at_random(queries.n_positives, n_candidates, k) for k in KS}


def _r_at_1(pair: PairScore) -> float:
    assert pair.micro is not None, "a cross-domain pair without queries was refused before"
    return pair.micro.hit_rate[1]
