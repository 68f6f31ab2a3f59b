"""Made-up embeddings that a person can picture."""

import numpy as np

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.ranking.engine import Labelled
from rope.bench.ranking.similarity import Vectors
from rope.dataset.directory import SampleLabels
from rope.domain import DOMAINS


def clusters(seed=0, *, n_products=12, a_domain=40, dim=16, noise=0.8, gap=0.0):
    """A cluster of samples a product, in three domains that lie `gap` apart; as arrays (vectors, products)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_products, dim))
    found = {}
    for i, domain in enumerate(DOMAINS):
        products = np.sort(np.concatenate([np.arange(n_products), rng.integers(0, n_products, a_domain - n_products)]))
        vectors = centres[products] + noise * rng.normal(size=(a_domain, dim))
        vectors[:, i] += gap
        found[domain] = vectors.astype(np.float32), products
    return found


def as_files(arrays):
    """What a reader and a dataset directory would give: embeddings and labels."""
    embeddings, labels = {}, {}
    for domain, (vectors, products) in arrays.items():
        ids = [f"{domain}-{i}" for i in range(len(vectors))]
        embeddings[domain] = DomainEmbeddings(ids, np.ascontiguousarray(vectors, np.float32), "float32")
        labels[domain] = SampleLabels(ids, [f"product-{product:03}" for product in products])
    return embeddings, labels


def as_sides(arrays):
    """What the engine takes."""
    return {
        domain: Labelled(Vectors.of(np.ascontiguousarray(vectors)), products.astype(np.int64))
        for domain, (vectors, products) in arrays.items()
    }
