"""Embeddings with planted attributes: what a sample's vector says is chosen, and nothing else is in it."""

import numpy as np

from rope.bench.attributes.columns import Column
from rope.bench.attributes.score import Embedded
from rope.bench.io.embeddings import DomainEmbeddings
from rope.dataset.directory import SampleLabels
from rope.domain import DOMAINS

CLASSES = 4


def column_of(n_products: int, first: int = 0) -> Column:
    """Product i is of class i modulo 4."""
    products = range(first, first + n_products)
    return Column("colour", False, {f"p{i:04d}": (f"c{i % CLASSES}",) for i in products})


def tags_of(n_products: int) -> Column:
    """Product i has the tag t0 if i is even, t1 if it is a multiple of 3, t2 if it is a multiple of 5."""
    return Column(
        "tags",
        True,
        {f"p{i:04d}": tuple(f"t{j}" for j, n in enumerate((2, 3, 5)) if i % n == 0) for i in range(n_products)},
    )


def embedded(
    n_products: int,
    signal: float,
    product_noise: float,
    seed: int,
    *,
    first: int = 0,
    mirrored: bool = False,
    dim: int = 12,
) -> Embedded:
    """Two samples a product and domain: class centre times `signal` + a vector of the product + their own little.

    Where it is `mirrored`, live clips have the dimensions in reverse, and so say the same in another way.
    """
    centres = np.random.default_rng(99).normal(size=(CLASSES, dim))
    rng = np.random.default_rng(seed)
    own = product_noise * rng.normal(size=(n_products, dim))
    embeddings, labels = {}, {}
    for domain in DOMAINS:
        of = np.repeat(np.arange(n_products), 2)
        vectors = signal * centres[(of + first) % CLASSES] + own[of] + 0.05 * rng.normal(size=(len(of), dim))
        if mirrored and domain == "live":
            vectors = np.ascontiguousarray(vectors[:, ::-1])
        ids = [f"{domain}{first + i:04d}-{j}" for i in range(n_products) for j in range(2)]
        embeddings[domain] = DomainEmbeddings(ids, vectors.astype(np.float32), "float32")
        labels[domain] = SampleLabels(ids, [f"p{first + i:04d}" for i in of])
    return Embedded(embeddings, labels)


def shuffled(given: Embedded, seed: int) -> Embedded:
    """The same rows in another order."""
    rng = np.random.default_rng(seed)
    embeddings, labels = {}, {}
    for domain, rows in given.labels.items():
        order = rng.permutation(len(rows.sample_ids))
        ids = [rows.sample_ids[i] for i in order]
        embeddings[domain] = DomainEmbeddings(ids, given.embeddings[domain].vectors[order], "float32")
        labels[domain] = SampleLabels(ids, [rows.product_ids[i] for i in order])
    return Embedded(embeddings, labels)
