"""A map of the vectors in two dimensions, for the eye."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.bench.io.embeddings import DomainEmbeddings
from rope.domain import DomainName, in_order

__all__ = ["N_PRODUCTS", "MapPoint", "project"]

N_PRODUCTS: Final = 8
"""Products on the map: as many as colours can tell apart."""

_A_DOMAIN: Final = 12
"""Samples of one product and domain on the map, at most."""


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A sample on the map.

    Attributes:
        x: first principal component.
        y: second.
        product: index of the product among those shown, by id.
        domain: of the sample.
    """

    x: float
    y: float
    product: int
    domain: DomainName


def project(
    embeddings: Mapping[DomainName, DomainEmbeddings], products: Mapping[DomainName, Mapping[str, str]]
) -> tuple[list[str], list[MapPoint]]:
    """The two principal components of the samples of eight products.

    Principal components and not t-SNE: they have no seed and no settings, distances on them are distances of the
    vectors seen from one side, and they show no clusters that are not there.

    Args:
        embeddings: of each domain, rows in any order.
        products: of each domain, sample id -> product id.

    Returns:
        The products shown, by id: those with the most evenly many samples in all domains; and a point for each of
        their first samples by id; none where there are fewer than three samples or two dimensions. On
        each axis the point that is farthest out lies on the positive side.
    """
    shown = _most_present(products)
    rows: list[tuple[int, DomainName]] = []
    vectors = []
    for domain in in_order(embeddings):
        given = embeddings[domain]
        row_of = {sample_id: row for row, sample_id in enumerate(given.sample_ids)}
        for number, product in enumerate(shown):
            members = sorted(sample for sample, owner in products[domain].items() if owner == product)
            for sample in (sample for sample in members[:_A_DOMAIN] if sample in row_of):
                rows.append((number, domain))
                vectors.append(given.vectors[row_of[sample]])
    if len(vectors) < 3 or len(vectors[0]) < 2:
        return [], []
    matrix = np.array(vectors, np.float64)  # [n, dim]
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix -= matrix.mean(axis=0)
    strengths, directions = np.linalg.eigh(matrix @ matrix.T)  # the fewer side: n is at most 288
    places = directions[:, :-3:-1] * np.sqrt(strengths[:-3:-1].clip(0))  # [n, 2]
    places *= np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])
    points = [MapPoint(float(x), float(y), *row) for (x, y), row in zip(places, rows, strict=True)]
    return shown, points


def _most_present(products: Mapping[DomainName, Mapping[str, str]]) -> list[str]:
    """The products whose rarest domain has the most samples; equal ones by id."""
    counts: dict[str, dict[DomainName, int]] = {}
    for domain, owner in products.items():
        for product in owner.values():
            of_product = counts.setdefault(product, {})
            of_product[domain] = of_product.get(domain, 0) + 1
    least: Sequence[tuple[int, str]] = sorted(
        (-min(of_product.get(domain, 0) for domain in products), product) for product, of_product in counts.items()
    )
    return sorted(product for _, product in least[:N_PRODUCTS])
