"""Search queries scored slowly, from the definitions alone: every two samples are compared in exact arithmetic."""

import math
from fractions import Fraction
from statistics import mean

import numpy as np

KS = (1, 5, 10, 20, 50)
TIE = Fraction(1, 10**12)


def similarity(a, b):
    """The cosine of whole numbers as its square with its sign, which orders as it does; ties here are exact."""
    x, y = [int(v) for v in a], [int(v) for v in b]
    dot = sum(map(int.__mul__, x, y))
    squares = sum(v * v for v in x) * sum(v * v for v in y)
    return Fraction(dot * abs(dot), squares)


def one_query(query, candidates, positives, hard):
    """What one query scores.

    Args:
        query: its vector.
        candidates: key -> vector of each sample in its gallery.
        positives: key -> grade.
        hard: keys of hard negatives.
    """
    of = {key: similarity(query, vector) for key, vector in candidates.items()}
    positives = {key: grade for key, grade in positives.items() if key in of}
    hard = [key for key in hard if key in of]
    if not positives:
        return None
    grade = {key: positives.get(key, 0) for key in of}
    ordered = sorted(of, key=lambda key: (-of[key], grade[key], key))
    best = max(of[key] for key in positives)
    negatives = [key for key in of if key not in positives]
    rank = 1 + sum(of[key] >= best for key in negatives)
    # Ties against the model in a list of positives and negatives alone.
    plain = sorted(of, key=lambda key: (-of[key], key in positives))
    places = [place for place, key in enumerate(plain, 1) if key in positives]
    precision = mean(i / place for i, place in enumerate(places, 1))
    gains = [grade[key] for key in ordered]
    ideal = sorted(positives.values(), reverse=True)
    return {
        "rank": rank,
        "rank_optimistic": 1 + sum(of[key] > best for key in negatives),
        "average_precision": precision,
        "hits": [sum(place <= k for place in places) for k in KS],
        "ndcg": [dcg(gains[:k]) / dcg(ideal[:k]) for k in KS],
        "n_candidates": len(of),
        "n_negatives": len(hard),
        "outranked": any(of[key] >= best for key in hard),
        "answers": [answers(of, k) for k in (1, 10)],
        "chance": {k: 1 - missed(len(of), len(positives), k) for k in KS},
    }


def dcg(gains):
    return sum(gain / math.log2(1 + place) for place, gain in enumerate(gains, 1))


def missed(n, n_positives, k):
    """The chance that none of the first k is a positive."""
    k = min(k, n)
    return math.comb(n - n_positives, k) / math.comb(n, k)


def answers(of, k):
    """Domain -> share of the first k; ties for the last places share them."""
    k = min(k, len(of))
    last = sorted(of.values(), reverse=True)[k - 1]
    before, tied = ([key for key in of if test(of[key])] for test in (lambda s: s > last, lambda s: s == last))
    weights = {**dict.fromkeys(before, 1.0), **dict.fromkeys(tied, (k - len(before)) / len(tied))}
    shares = {}
    for key, weight in weights.items():
        shares[key[0]] = shares.get(key[0], 0.0) + weight / k
    return shares


def spread(values, groups):
    """Of each group with several queries: mean, best and worst."""
    members = {}
    for value, group in zip(values, groups, strict=True):
        if group is not None:
            members.setdefault(group, []).append(value)
    several = [found for found in members.values() if len(found) > 1]
    return {
        "mean": mean(map(mean, several)),
        "best": mean(map(max, several)),
        "worst": mean(map(min, several)),
        "spread": mean(max(found) - min(found) for found in several),
    }


def small_vectors(rng, n, dim=3):
    """Whole numbers from -1 to 1, so that ties abound; none is zero."""
    found = rng.integers(-1, 2, (n, dim)).astype(np.float32)
    found[~found.any(axis=1)] = 1
    return found
