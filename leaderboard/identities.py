"""Identities that hold in every score, whatever the vectors, and in every score of one dataset, whatever the model."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from leaderboard.known import Queries
from rope.bench.doctor.charts import in_words
from rope.bench.metrics import KS, mean
from rope.bench.one_shot import mean_interval, std_bound
from rope.bench.stats.query_ranks import QueryRanks
from rope.domain import DomainName, all_pairs, cross_domain_pairs, in_order, pair_of

__all__ = ["rank_problems", "reported_problems", "score_problems", "task_of", "task_problems"]

_ROUNDING: Final = 1e-9


def score_problems(score: Mapping[str, Any]) -> list[str]:
    """Every identity that a score breaks, a sentence each: none for what `rope-bench score` writes.

    Args:
        score: an object that fits the schema of scores.
    """
    domains = in_order(score["embeddings"])
    known = {pair.name for pair in all_pairs(domains)}
    if strange := [name for name in score["pairs"] if name not in known]:
        return [f"{name} is not a pair of the domains {', '.join(domains)}" for name in strange]
    problems = [text for name, pair in score["pairs"].items() for text in _pair_problems(name, pair, score)]
    cross = [pair.name for pair in cross_domain_pairs(domains)]
    of_one_shot = [] if "rerank" in score else cross  # candidates of a query are not a support set
    if sorted(score["one_shot"]) != sorted(of_one_shot):
        told, expected = (", ".join(names) or "no pair" for names in (score["one_shot"], of_one_shot))
        problems.append(f"one-shot accuracy is of {told}, expected {expected}")
    lacking = [name for name in cross if score["pairs"].get(name, {"R@1": None})["R@1"] is None]
    if problems or lacking:
        return problems + [f"{name} is missing, and every pair is part of the protocol" for name in lacking]
    mean = sum(score["pairs"][name]["R@1"] for name in cross) / max(len(cross), 1)
    if score["headline"]["value"] is None or abs(score["headline"]["value"] - mean) > _ROUNDING:
        told = score["headline"]["value"]
        problems.append(f"the headline is {told}, but the mean R@1 of the {in_words(len(cross))} pairs is {mean:.6f}")
    return problems


def reported_problems(reported: Mapping[str, Mapping[str, float]], domains: Sequence[DomainName]) -> list[str]:
    """Pairs of a reported row that its dataset does not have, or whose R@k falls with k.

    >>> reported_problems({"P2V": {"R@1": 0.5, "R@10": 0.4}}, ["page", "video"])
    ['P2V: R@k falls from 0.5 to 0.4 as k grows']
    """
    known = {pair.name for pair in all_pairs(domains)}
    strange = [f"{name} is not a pair of the domains {', '.join(domains)}" for name in reported if name not in known]
    return strange or [text for name, pair in reported.items() for text in _falls(name, pair, "R")]


def rank_problems(ranks: QueryRanks, samples: Mapping[DomainName, int]) -> list[str]:
    """Pairs with a rank that no gallery of these sizes gives, whatever is in it.

    Args:
        ranks: of a model.
        samples: domain -> samples.
    """
    problems = []
    for name, pair in ranks.pairs.items():
        of = pair_of(name)
        negatives = samples[of.gallery] - int(of.query == of.gallery) - pair.n_positives
        bad = (negatives < 0) | (pair.rank > negatives + 1) | (pair.hits > np.array(KS)).any(axis=1)
        if bad.any():
            query = pair.query_ids[int(np.flatnonzero(bad)[0])]
            problems.append(f"{name}: query {query!r} has a rank or hits beyond the gallery")
    return problems


def task_problems(ranks: QueryRanks, wanted: Mapping[str, Queries]) -> list[str]:
    """Pairs whose queries, products or numbers of positives are not those of the dataset.

    Args:
        ranks: of a model.
        wanted: pair -> what `leaderboard.known.queries_of` finds in the labels.
    """
    if list(ranks.pairs) != list(wanted):
        return [f"has ranks of the pairs {', '.join(ranks.pairs)}, but the dataset has queries in {', '.join(wanted)}"]
    problems = []
    for name, pair in ranks.pairs.items():
        products = [ranks.product_ids[i] for i in pair.products]
        for what, told, found in (
            ("queries", pair.query_ids, wanted[name].query_ids),
            ("products", products, wanted[name].product_ids),
            ("numbers of positives", pair.n_positives.tolist(), wanted[name].n_positives.tolist()),
        ):
            if told != found:
                problems.append(f"{name}: the {what} are not those of the dataset")
    return problems


def task_of(ranks: QueryRanks) -> str:
    """A hash of the queries of all pairs, their products and their numbers of positives."""
    digest = hashlib.sha256()
    for name, pair in ranks.pairs.items():
        products = [ranks.product_ids[i] for i in pair.products]
        text = json.dumps([name, pair.query_ids, products, pair.n_positives.tolist()])
        digest.update(text.encode())
    return digest.hexdigest()


def _pair_problems(name: str, pair: Mapping[str, Any], score: Mapping[str, Any]) -> Iterator[str]:
    for where, numbers in ((name, pair), (f"{name}, macro", pair["macro"])):
        yield from _falls(where, numbers, "R")
        yield from _falls(where, numbers, "recall")
        yield from _bounds(where, numbers)
    yield from _counts(name, pair, score["embeddings"])
    if name in score["one_shot"]:
        yield from _one_shot_problems(name, score["one_shot"][name], score)


def _one_shot_problems(name: str, one_shot: Mapping[str, Any], score: Mapping[str, Any]) -> Iterator[str]:
    """A2B classifies the samples of B by those of A, so its queries are those of B2A; the rest is of the draws."""
    of, accuracies, trials = pair_of(name), list(map(float, one_shot["accuracies"])), score["protocol"]["trials"]
    n_queries, support = one_shot["n_queries"], score["embeddings"][of.query]["n"]
    if n_queries + one_shot["n_no_support"] != score["embeddings"][of.gallery]["n"]:
        yield f"{name}: {n_queries} samples classified and {one_shot['n_no_support']} not; together they are all"
    elif (asked := score["pairs"].get(of.reverse.name, one_shot)["n_queries"]) != n_queries:
        yield f"{name}: {n_queries} samples classified, but {asked} have a product in both domains"
    if not 1 <= one_shot["n_products"] <= support:
        yield f"{name}: {one_shot['n_products']} products in the support set, of {support} samples"
    if len(accuracies) != trials:
        yield f"{name}: {len(accuracies)} one-shot draws, expected {trials}"
        return
    if any(abs(value * n_queries - round(value * n_queries)) > 1e-6 for value in accuracies):
        yield f"{name}: a one-shot accuracy is not a share of {n_queries} queries"
    for what, told, found in _of_draws(one_shot, accuracies):
        is_known = told is not None and found is not None
        if told is not found if not is_known else np.abs(np.subtract(told, found)).max() > _ROUNDING:
            yield f"{name}: {what} of the one-shot draws is {told}, but they have {found}"
    expected, interval = one_shot["expected"], one_shot["expected_ci95"]
    if (
        expected is not None
        and interval is not None
        and (not interval[0] - _ROUNDING <= expected <= interval[1] + _ROUNDING)
    ):
        yield f"{name}: the expected one-shot accuracy {expected} is not in its interval {interval}"


def _of_draws(one_shot: Mapping[str, Any], accuracies: list[float]) -> Iterator[tuple[str, Any, Any]]:
    """What follows from the accuracies of all draws: what it is called, what the score says, and what they give."""
    is_spread = len(accuracies) > 1
    yield "the mean", one_shot["mean"], mean(accuracies)
    yield "the standard deviation", one_shot["std"], float(np.std(accuracies, ddof=1)) if is_spread else None
    yield "the bound on it", one_shot["std_bound"], std_bound(accuracies) if is_spread else None
    yield "the interval", one_shot["ci95_draws"], mean_interval(accuracies) if is_spread else None


def _falls(where: str, numbers: Mapping[str, Any], metric: str) -> Iterator[str]:
    values = [numbers[f"{metric}@{k}"] for k in KS if numbers.get(f"{metric}@{k}") is not None]
    for before, after in pairwise(values):
        if after < before - _ROUNDING:
            yield f"{where}: {metric}@k falls from {before} to {after} as k grows"


def _bounds(where: str, numbers: Mapping[str, Any]) -> Iterator[str]:
    """R@1 <= MRR, recall@k <= R@k, and R@k <= R@k with ties counted for the model."""
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
        yield f"{name}: R@1 {pair['R@1']} is not a share of {pair['n_queries']} queries"
