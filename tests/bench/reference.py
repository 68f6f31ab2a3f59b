"""The protocol as plain double loops over exact cosines: the oracle of the engine's tests."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from rope.bench.metrics import KS
from rope.bench.ranking.similarity import exact_cosine

TIE = Decimal("1e-12")


@dataclass(frozen=True)
class Slow:
    """One query, scored by hand."""

    rank: int
    rank_optimistic: int
    n_positives: int
    average_precision: float
    hits: list[int]


def score_slowly(queries, query_products, gallery, gallery_products, same=False) -> list[Slow | None]:
    """One entry a query, None where it has no positive."""
    return [
        _score_query(
            [
                (exact_cosine(query, other), product == gallery_product)
                for j, (other, gallery_product) in enumerate(zip(gallery, gallery_products, strict=True))
                if not (same and i == j)
            ]
        )
        for i, (query, product) in enumerate(zip(queries, query_products, strict=True))
    ]


def _score_query(answers: list[tuple[Decimal, bool]]) -> Slow | None:
    positives = sorted((s for s, positive in answers if positive), reverse=True)
    negatives = [s for s, positive in answers if not positive]
    if not positives:
        return None
    positions, precisions = [], []
    for i, positive in enumerate(positives, start=1):
        before = sum(1 for negative in negatives if negative - positive > -TIE)
        positions.append(i + before)
        precisions.append(i / (i + before))
    return Slow(
        rank=positions[0],
        rank_optimistic=1 + sum(1 for negative in negatives if negative - positives[0] >= TIE),
        n_positives=len(positives),
        average_precision=sum(precisions) / len(precisions),
        hits=[sum(position <= k for position in positions) for k in KS],
    )


def float32(values) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
