"""What must hold in any score, whatever the vectors: a number edited by hand rarely keeps all of it."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from rope.bench.doctor.charts import in_words
from rope.bench.metrics import KS
from rope.domain import all_pairs, cross_domain_pairs, in_order, pair_of

__all__ = ["reported_problems", "score_problems"]

_ROUNDING: Final = 1e-9


def score_problems(score: Mapping[str, Any]) -> list[str]:
    """Every identity that a score breaks, a sentence each: none for what `rope-bench score` writes.

    Args:
        score: an object that fits the schema of scores.
    """
    domains = in_order(score["embeddings"])
    known = {pair.name for pair in all_pairs(domains)}
    if strange := [name for name in score["pairs"] if name not in known]:
        return [f"{name} is no pair of the domains {', '.join(domains)}" for name in strange]
    problems = [text for name, pair in score["pairs"].items() for text in _pair_problems(name, pair, score)]
    cross = [pair.name for pair in cross_domain_pairs(domains)]
    lacking = [name for name in cross if score["pairs"].get(name, {"R@1": None})["R@1"] is None]
    if problems or lacking:
        return problems + [f"{name} is missing, and every pair is part of the protocol" for name in lacking]
    mean = sum(score["pairs"][name]["R@1"] for name in cross) / max(len(cross), 1)
    if score["headline"]["value"] is None or abs(score["headline"]["value"] - mean) > _ROUNDING:
        told = score["headline"]["value"]
        problems.append(f"the headline is {told}, but the mean R@1 of the {in_words(len(cross))} pairs is {mean:.6f}")
    return problems


def reported_problems(reported: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Pairs of a reported row whose R@k falls with k.

    >>> reported_problems({"P2V": {"R@1": 0.5, "R@10": 0.4}})
    ['P2V: R@k falls from 0.5 to 0.4 as k grows']
    """
    return [text for name, pair in reported.items() for text in _falls(name, pair, "R")]


def _pair_problems(name: str, pair: Mapping[str, Any], score: Mapping[str, Any]) -> Iterator[str]:
    for where, numbers in ((name, pair), (f"{name}, macro", pair["macro"])):
        yield from _falls(where, numbers, "R")
        yield from _falls(where, numbers, "recall")
        yield from _bounds(where, numbers)
    yield from _counts(name, pair, score["embeddings"])
    if name in score["one_shot"]:
        accuracies = score["one_shot"][name]["accuracies"]
        mean = sum(accuracies) / max(len(accuracies), 1)
        if abs(mean - score["one_shot"][name]["mean"]) > _ROUNDING:
            yield f"{name}: the one-shot mean is {score['one_shot'][name]['mean']}, but its draws have {mean:.6f}"


def _falls(where: str, numbers: Mapping[str, Any], metric: str) -> Iterator[str]:
    values = [numbers[f"{metric}@{k}"] for k in KS if numbers.get(f"{metric}@{k}") is not None]
    for before, after in pairwise(values):
        if after < before - _ROUNDING:
            yield f"{where}: {metric}@k falls from {before} to {after} as k grows"


def _bounds(where: str, numbers: Mapping[str, Any]) -> Iterator[str]:
    """R@1 <= MRR, recall@k <= R@k, R@k <= R@k with ties counted for the model, and the interval holds the number."""
    known = [numbers["MRR"], numbers["mAP"], numbers["median_rank"]]
    known += [
        value for k in KS for value in (numbers[f"R@{k}"], numbers[f"recall@{k}"], numbers["optimistic"][f"R@{k}"])
    ]
    if None in known:
        if any(value is not None for value in known):
            yield f"{where}: some numbers are there and others are null"
        return
    if numbers["MRR"] < numbers["R@1"] - _ROUNDING:
        yield f"{where}: MRR {numbers['MRR']} is below R@1 {numbers['R@1']}"
    for k in KS:
        if numbers[f"recall@{k}"] > numbers[f"R@{k}"] + _ROUNDING:
            yield f"{where}: recall@{k} {numbers[f'recall@{k}']} is above R@{k} {numbers[f'R@{k}']}"
        if numbers["optimistic"][f"R@{k}"] < numbers[f"R@{k}"] - _ROUNDING:
            yield f"{where}: R@{k} is above what it would be with ties counted for the model"


def _counts(name: str, pair: Mapping[str, Any], embeddings: Mapping[str, Any]) -> Iterator[str]:
    of = pair_of(name)
    asked, gallery = embeddings[of.query]["n"], embeddings[of.gallery]["n"]
    if pair["n_queries"] + pair["n_no_positive"] != asked:
        yield f"{name}: {pair['n_queries']} queries and {pair['n_no_positive']} without a positive, of {asked} samples"
    if pair["n_gallery"] != gallery:
        yield f"{name}: a gallery of {pair['n_gallery']}, but there are {gallery} samples"
    hits = pair["R@1"] * pair["n_queries"] if pair["R@1"] is not None else 0.0
    if abs(hits - round(hits)) > 1e-6:
        yield f"{name}: R@1 {pair['R@1']} is no share of {pair['n_queries']} queries"
