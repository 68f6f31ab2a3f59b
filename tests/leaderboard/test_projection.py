import numpy as np

from leaderboard.projection import N_PRODUCTS, project
from rope.bench.io.embeddings import DomainEmbeddings
from rope.domain import DOMAINS


def on_a_circle(n_products, dim=5):
    """Products at angles of the plane of the first two dimensions, two samples of each in every domain."""
    products = {domain: {f"{p}-{i}": str(p) for p in range(n_products) for i in range(2)} for domain in DOMAINS}
    angles = np.repeat(np.linspace(0, 3, n_products), 2)
    vectors = np.zeros((2 * n_products, dim), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return {d: DomainEmbeddings(list(products[d]), vectors, "float32") for d in DOMAINS}, products


def test_distances_in_a_plane_are_kept():
    embeddings, products = on_a_circle(6)
    names, points = project(embeddings, products)
    assert names == [str(p) for p in range(6)]
    assert {point.domain for point in points} == set(DOMAINS)
    first, last = (next(p for p in points if p.product == i) for i in (0, 5))
    assert np.isclose(np.hypot(first.x - last.x, first.y - last.y), 2 * np.sin(1.5))


def test_the_order_of_rows_changes_nothing():
    embeddings, products = on_a_circle(12)
    order = np.random.default_rng(0).permutation(24)
    shuffled = {
        domain: DomainEmbeddings([rows.sample_ids[i] for i in order], rows.vectors[order], "float32")
        for domain, rows in embeddings.items()
    }
    assert project(embeddings, products) == project(shuffled, products)
    assert len(project(embeddings, products)[0]) == N_PRODUCTS


def test_one_dimension_has_no_map():
    assert project(*on_a_circle(3, dim=2))[1]
    embeddings, products = on_a_circle(3, dim=2)
    flat = {
        d: DomainEmbeddings(rows.sample_ids, rows.vectors[:, :1].copy(), "float32") for d, rows in embeddings.items()
    }
    assert project(flat, products) == ([], [])
