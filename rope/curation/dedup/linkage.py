"""Groups from pairs: connected components, and complete linkage inside them.

A component chains: a is like b, b is like c, and a and c end in one group though nothing ties them. Complete linkage
asks that every two members of a group are a pair, so a group is a clique. It is affordable, as it looks at one
component at a time.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from rope.arrays import BoolArray, FloatArray, IntArray

__all__ = ["Linkage", "components", "link"]


@dataclass(frozen=True, slots=True)
class Linkage:
    """Groups and components of n nodes, each named by its smallest node.

    Attributes:
        group: int64 [n]; the clique that a node was put in.
        component: int64 [n].
        queued: bool [n]; the component is above the cap, and each of its nodes was left alone.
    """

    group: IntArray
    component: IntArray
    queued: BoolArray


def components(n: int, left: IntArray, right: IntArray) -> IntArray:
    """The smallest node of each node's connected component; int64 [n].

    >>> components(5, np.array([1, 3]), np.array([3, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    graph = coo_matrix((np.ones(len(left), np.bool_), (left, right)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    return _smallest(labels.astype(np.int64))


def link(n: int, left: IntArray, right: IntArray, strength: FloatArray, *, cap: int) -> Linkage:
    """Put nodes into groups in which every two are a pair, the strongest pairs first.

    The groups are those of complete linkage cut where a pair is missing: two clusters join while their weakest cross
    pair is there, and the clusters whose weakest cross pair is strongest join first.

    Args:
        n: nodes, numbered in the order of their ids, which makes the result independent of the order of rows.
        left: int64 [m]; one node of each pair, each pair once.
        right: int64 [m]; the other one.
        strength: float64 [m], from 0 to 1.
        cap: a component of more nodes is left apart, for somebody to review.

    >>> chain = link(3, np.array([0, 1]), np.array([1, 2]), np.array([0.95, 0.91]), cap=10)
    >>> chain.group.tolist(), chain.component.tolist()
    ([0, 0, 2], [0, 0, 0])
    """
    component = components(n, left, right)
    size = np.bincount(component, minlength=n)
    n_pairs = np.bincount(component[left], minlength=n)
    queued = size[component] > cap
    group = np.where(queued, np.arange(n), component)
    whole = n_pairs * 2 == size * (size - 1)
    open_pairs = ~whole[component[left]] & ~queued[left]
    order = np.flatnonzero(open_pairs)[np.argsort(component[left[open_pairs]], kind="stable")]
    for pairs in np.split(order, np.flatnonzero(np.diff(component[left[order]])) + 1):
        if len(pairs):
            nodes, groups = _cliques(left[pairs], right[pairs], strength[pairs])
            group[nodes] = groups
    return Linkage(group, component, queued)


def _cliques(left: IntArray, right: IntArray, strength: FloatArray) -> tuple[IntArray, IntArray]:
    """Nodes of one component, and the smallest node of the group of each."""
    nodes, at = np.unique(np.concatenate([left, right]), return_inverse=True)
    i, j = at[: len(left)], at[len(left) :]
    distance = np.full((len(nodes), len(nodes)), 2.0)  # no pair: farther than any pair
    distance[i, j] = distance[j, i] = 1 - strength
    np.fill_diagonal(distance, 0)
    labels = fcluster(linkage(squareform(distance, checks=False), "complete"), 1.0, "distance")
    return nodes, nodes[_smallest(labels.astype(np.int64))]


def _smallest(labels: IntArray) -> IntArray:
    """For each place, the first place with its label.

    >>> _smallest(np.array([7, 3, 7])).tolist()
    [0, 1, 0]
    """
    _, first, at = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[at], np.int64)
