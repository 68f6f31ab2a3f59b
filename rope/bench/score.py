"""The protocol applied: embeddings and labels in, every reported number out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.bench.embeddings import DomainEmbeddings
from rope.bench.engine import Effort, Labelled, PositiveRanks, rank_pair, rank_within
from rope.bench.metrics import QueryScores, Summary, mean, score_queries, summarise
from rope.bench.one_shot import Draws, OneShot, classify
from rope.bench.similarity import Vectors
from rope.dataset.directory import Labels
from rope.domain import ALL_PAIRS, CROSS_DOMAIN_PAIRS, DOMAINS, SAME_DOMAIN_PAIRS, Domain, Pair
from rope.errors import DatasetError

__all__ = ["PROTOCOL_VERSION", "PairScore", "Score", "by_product", "count_similarities", "score"]

PROTOCOL_VERSION: Final = "1.0"
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
        macro: means over products, so that products with many samples don't dominate; None likewise.
        queries: the scores of each query.
        query_ids: the sample id of each query in `queries`.
        query_products: the product id of each.
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


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Everything that is reported of one set of embeddings.

    Attributes:
        headline: the mean R@1 of the six cross-domain pairs, a fraction.
        pairs: `P2V` and so on -> its score; the six pairs, then `P2P`, `V2V`, `L2L`.
        one_shot: the six pairs -> accuracy; support of the first domain, queries of the second.
        draws: how the support sets were drawn.
    """

    headline: float
    pairs: dict[str, PairScore]
    one_shot: dict[str, OneShot]
    draws: Draws


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One domain in the order of the engine: by product."""

    labelled: Labelled
    sample_ids: list[str]
    product_ids: list[str]


def score(
    embeddings: Mapping[Domain, DomainEmbeddings],
    labels: Mapping[Domain, Labels],
    draws: Draws,
    effort: Effort,
) -> Score:
    """Score the embeddings of one split of a dataset.

    Args:
        embeddings: for each domain, vectors in the order of the labels (see `rope.bench.embeddings.align`).
        labels: for each domain, the sample and product ids.
        draws: of the support sets of one-shot classification.
        effort: how to spend the machine; its `advance` is told of `count_similarities` in all.

    Raises:
        DatasetError: two domains have no product in common.
        ValueError: the dimensions of two domains differ.
    """
    sides = _sides(embeddings, labels)
    ranks: dict[str, PositiveRanks] = {}
    for pair in CROSS_DOMAIN_PAIRS[::2]:
        a, b = sides[pair.query].labelled, sides[pair.gallery].labelled
        if not np.isin(a.products, b.products).any():
            raise DatasetError(
                f"no product has both a {pair.query} and a {pair.gallery} in this split, so {pair.name} "
                "cannot be scored, and every pair is part of the protocol"
            )
        ranks[pair.name], ranks[pair.reverse.name] = rank_pair(a, b, effort, with_survival=True)
    for pair in SAME_DOMAIN_PAIRS:
        ranks[pair.name] = rank_within(sides[pair.query].labelled, effort)
    pairs = {pair.name: _pair_score(pair, ranks[pair.name], sides) for pair in ALL_PAIRS}
    one_shot = {
        pair.name: classify(
            sides[pair.query].labelled, sides[pair.gallery].labelled, ranks[pair.reverse.name], draws, effort
        )
        for pair in CROSS_DOMAIN_PAIRS
    }
    headline = mean([_r_at_1(pairs[pair.name]) for pair in CROSS_DOMAIN_PAIRS])
    return Score(headline, pairs, one_shot, draws)


def count_similarities(labels: Mapping[Domain, Labels], trials: int) -> int:
    """About how many similarities `score` will compute; the total of a progress bar."""
    n = {domain: len(labels[domain].sample_ids) for domain in DOMAINS}
    n_products = {domain: len(set(labels[domain].product_ids)) for domain in DOMAINS}
    cross = sum(n[pair.query] * n[pair.gallery] for pair in CROSS_DOMAIN_PAIRS) // 2
    within = sum(n[domain] ** 2 for domain in DOMAINS) // 2
    one_shot = sum(trials * n_products[pair.query] * n[pair.gallery] for pair in CROSS_DOMAIN_PAIRS)
    return cross + within + one_shot


def by_product(labels: Labels) -> Labels:
    """The same labels in the order that `score` works in; embeddings in this order are not copied."""
    order = sorted(range(len(labels.product_ids)), key=lambda i: labels.product_ids[i])
    return Labels([labels.sample_ids[i] for i in order], [labels.product_ids[i] for i in order])


def _sides(embeddings: Mapping[Domain, DomainEmbeddings], labels: Mapping[Domain, Labels]) -> dict[Domain, _Side]:
    """Number the products of all domains alike, and put each domain in the order of its products."""
    ids = sorted({product for domain in DOMAINS for product in labels[domain].product_ids})
    number = {product: i for i, product in enumerate(ids)}
    sides: dict[Domain, _Side] = {}
    for domain in DOMAINS:
        products = np.array([number[product] for product in labels[domain].product_ids], np.int64)
        order = np.argsort(products, kind="stable")
        vectors = embeddings[domain].vectors
        if np.any(np.diff(products) < 0):
            vectors = vectors[order]
        sample_ids = labels[domain].sample_ids
        sides[domain] = _Side(
            Labelled(Vectors.of(vectors), products[order]),
            [sample_ids[i] for i in order],
            [ids[i] for i in products[order]],
        )
    return sides


def _pair_score(pair: Pair, ranks: PositiveRanks, sides: Mapping[Domain, _Side]) -> PairScore:
    asked = sides[pair.query]
    queries = score_queries(ranks)
    products = asked.labelled.products[queries.queries]
    n_queries = len(queries.queries)
    return PairScore(
        pair=pair,
        n_queries=n_queries,
        n_no_positive=len(asked.labelled) - n_queries,
        n_gallery=len(sides[pair.gallery].labelled),
        n_rechecked=ranks.n_rechecked,
        micro=summarise(queries) if n_queries else None,
        macro=summarise(queries, products) if n_queries else None,
        queries=queries,
        query_ids=[asked.sample_ids[i] for i in queries.queries],
        query_products=[asked.product_ids[i] for i in queries.queries],
    )


def _r_at_1(pair: PairScore) -> float:
    assert pair.micro is not None, "a cross-domain pair without queries was refused before"
    return pair.micro.hit_rate[1]
