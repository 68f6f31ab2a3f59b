"""What an order drawn at random comes to, beside what a model does: R@k that nothing was learned for."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from rope.arrays import BoolArray, IntArray
from rope.bench.metrics import expected_at_random
from rope.bench.stats.query_ranks import QueryRanks
from rope.dataset.directory import read_labels
from rope.domain import pair_of
from rope.files import AnyPath

__all__ = ["candidates_of", "chance_of"]


def candidates_of(ranks: QueryRanks, directory: AnyPath) -> dict[str, IntArray]:
    """How many samples each query of each pair is compared with: int64 [n_queries].

    In its own domain a query is not compared with itself; where queries have their own galleries, with these alone.

    Args:
        ranks: of one model.
        directory: the dataset that was scored.
    """
    labels = read_labels(directory, ranks.origin.split)
    found = {}
    for name, pair in ranks.pairs.items():
        of, itself = pair_of(name), pair_of(name).query == pair_of(name).gallery
        asked, gallery = labels[of.query], labels[of.gallery]
        if asked.galleries is None or gallery.galleries is None:
            found[name] = np.full_like(pair.n_positives, len(gallery.sample_ids) - itself)
            continue
        sizes, group = Counter(gallery.galleries), dict(zip(asked.sample_ids, asked.galleries, strict=True))
        found[name] = np.array([sizes[group[query]] - itself for query in pair.query_ids], np.int64)
    return found


def chance_of(ranks: QueryRanks, candidates: Mapping[str, IntArray], pair: str, queries: BoolArray, k: int) -> float:
    """R@k of an order drawn at random for some queries of a pair.

    Args:
        ranks: of one model.
        candidates: of each pair, as `candidates_of` gives them.
        pair: `P2V` and so on.
        queries: bool [n_queries], at least one.
        k: cut-off.
    """
    return expected_at_random(ranks.pairs[pair].n_positives[queries], candidates[pair][queries], k)
