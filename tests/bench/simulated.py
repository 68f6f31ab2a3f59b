"""Ranks of made-up models, without embeddings: what the statistics are tested on."""

import numpy as np

from rope.bench.metrics import KS
from rope.bench.score import PROTOCOL_VERSION
from rope.bench.stats.query_ranks import PairRanks, QueryRanks, RanksProvenance
from rope.domain import CROSS_DOMAIN_PAIRS


def origin(model: str = "a", **changes) -> RanksProvenance:
    fields = {"dataset": "mini", "fingerprint": "f" * 64, "split": "validation", "protocol": PROTOCOL_VERSION}
    return RanksProvenance(model=model, **{**fields, **changes})


def pair_ranks(products, rank, n_positives=None) -> PairRanks:
    """One positive a query unless said otherwise; all positives together at the rank of the best."""
    products, rank = np.asarray(products, np.int64), np.asarray(rank, np.int64)
    n_positives = np.ones_like(rank) if n_positives is None else np.asarray(n_positives, np.int64)
    hits = np.where(rank[:, None] <= np.array(KS), n_positives[:, None], 0)
    query_ids = [f"q{i:06d}" for i in range(len(rank))]
    return PairRanks(query_ids, products, n_positives, rank, rank, 1 / rank, hits)


def ranks_from(model: str, products, rank_of_pair, **changes) -> QueryRanks:
    """The same queries in each of the six pairs; `rank_of_pair` is called with the index of the pair."""
    pairs = {pair.name: pair_ranks(products, rank_of_pair(i)) for i, pair in enumerate(CROSS_DOMAIN_PAIRS)}
    product_ids = [f"p{i:05d}" for i in range(max(products) + 1)]
    return QueryRanks(origin(model, **changes), product_ids, pairs)


def clustered_products(rng, n_products: int, mean: float = 12) -> np.ndarray:
    """The product of each query: a log-normal number of queries a product."""
    counts = np.maximum(1, np.round(rng.lognormal(np.log(mean) - 0.245, 0.7, n_products))).astype(int)
    return np.repeat(np.arange(n_products), counts)


def clustered_ranks(rng, products, difficulty, location: float) -> np.ndarray:
    """Log-normal ranks: the median is exp(location), and half of the variance of the log belongs to the product."""
    log_rank = location + difficulty[products] + rng.normal(size=len(products))
    return np.ceil(np.exp(np.minimum(log_rank, 15))).astype(np.int64)
