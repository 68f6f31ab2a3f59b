import numpy as np
import pytest

from rope.bench.doctor.retrieval import Triangle, follow


@pytest.mark.parametrize(
    ("hops", "returns", "stays"),
    [
        ([[0, 1], [0, 1], [0, 1]], 1.0, 1.0),
        ([[1, 0], [0, 1], [1, 0]], 1.0, 0.0),  # strays and comes back
        ([[0, 1], [0, 1], [1, 1]], 0.5, 0.5),
        ([[0, 0], [1, 1], [0, 1]], 0.5, 0.0),
    ],
)
def test_chains_by_hand(hops, returns, stays):
    products = [np.array([7, 8])] * 3
    assert follow([np.array(hop) for hop in hops], products) == Triangle(2, returns, stays)


def test_only_products_of_all_three_domains_start():
    hops = [np.array([0, 0, 0]), np.array([0]), np.array([1])]
    products = [np.array([1, 2, 3]), np.array([2]), np.array([2])]
    assert follow(hops, products) == Triangle(1, 1.0, 1.0)


def test_no_start_has_no_share():
    hops = [np.array([0]), np.array([0]), np.array([0])]
    assert follow(hops, [np.array([1]), np.array([2]), np.array([3])]) == Triangle(0, None, None)
