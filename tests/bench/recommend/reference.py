"""A slow, plain count of places: one loop a user, one comparison an item."""

import numpy as np

from rope.bench.ranking.similarity import TIE


def places(scores, split, exclude_history):
    """Items at least as good as the target, strictly better ones, and negatives, from scores [n_users, n_items]."""
    counted = []
    for user, target in enumerate(split.targets):
        gone = set(split.history[user].tolist()) if exclude_history else set()
        others = [item for item in range(scores.shape[1]) if item != target and item not in gone]
        differences = scores[user, others] - scores[user, target]
        counted.append((int((differences > -TIE).sum()), int((differences >= TIE).sum()), len(others)))
    return tuple(map(list, zip(*counted, strict=True)))


def neighbour_scores(split, n_items, k):
    """Sums of the weights of the k nearest items of each item of a history, from dense matrices."""
    taken = np.zeros((len(split.training), n_items))
    for user in range(len(split.training)):
        taken[user, split.training[user]] = 1
    together = taken.T @ taken
    counts = np.diag(together)
    weights = together / np.sqrt(np.maximum(np.outer(counts, counts), 1))
    np.fill_diagonal(weights, 0)
    for row in weights:
        row[np.lexsort((np.arange(n_items), -row))[k:]] = 0
    return np.array([sum(weights[item] for item in split.history[user]) for user in range(len(split.users))])
