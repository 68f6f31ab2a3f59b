"""A score as a table, as strict JSON, and as a file of per-query ranks."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rope.arrow_arrays import from_numpy, from_texts
from rope.bench.io.provenance import Provenance
from rope.bench.metrics import KS, QueryScores, Summary, mean, summarise
from rope.bench.one_shot import OneShot
from rope.bench.quick import QuickScore
from rope.bench.ranking.similarity import TIE
from rope.bench.score import PROTOCOL_VERSION, PairScore, Score
from rope.bench.shown import json_text
from rope.bench.stats.intervals import Intervals, bounds, expected_interval, intervals_json
from rope.bench.stats.query_ranks import PairRanks, QueryRanks
from rope.domain import CROSS_DOMAIN_PAIRS
from rope.files import atomic_path, sha256_of
from rope.table import Table

__all__ = [
    "SCHEMA_VERSION",
    "as_json",
    "one_shot_table",
    "quick_json",
    "quick_table",
    "retrieval_json",
    "retrieval_table",
    "summary_json",
    "write_json",
    "write_ranks",
]

SCHEMA_VERSION: Final = 2
"""Version of the JSON layout, which `result.schema.json` beside this file describes; version 1 had no
interval of the expected accuracy, called that of the draws `ci95`, and gave the one-shot value for several shots."""

_R_AT_K: Final = (f"R@{KS[0]}", f"R@{KS[0]} by chance", *(f"R@{k}" for k in KS[1:]))
"""Columns of tables of retrieval; by chance: of an order drawn at random, which no model should be below."""


def as_json(score: Score, provenance: Provenance, intervals: Intervals, ranks_file: Path | None) -> dict[str, Any]:
    """The result as a JSON object: fractions in full precision, null where a number is not defined.

    All but `harness` follows from the embeddings, the dataset, the protocol version and the seed.

    Args:
        score: the numbers.
        provenance: what they are of.
        intervals: of the numbers.
        ranks_file: what `write_ranks` has written; None where the ranks were not kept.
    """
    ci95 = intervals_json(intervals)
    return {
        "schema_version": SCHEMA_VERSION,
        "model": provenance.model,
        "training_seed": provenance.training_seed,
        "headline": {
            "metric": headline_name(score),
            "value": score.headline,
            "ci95": None if score.headline is None else ci95["headline"],
        },
        "protocol": {
            "version": PROTOCOL_VERSION,
            "seed": score.draws.seed,
            "trials": score.draws.trials,
            "shots": score.draws.shots,
            "tie": TIE,
        },
        "dataset": {"name": provenance.dataset, "fingerprint": provenance.fingerprint, "split": provenance.split},
        "embeddings": _embeddings_json(provenance),
        **({} if provenance.transform is None else {"transform": dict(provenance.transform)}),
        **({} if provenance.rerank is None else {"rerank": provenance.rerank.to_json()}),
        "pairs": {name: _pair_json(pair, ci95["pairs"].get(name)) for name, pair in score.pairs.items()},
        "one_shot": {name: _one_shot_json(one_shot) for name, one_shot in score.one_shot.items()},
        "by_chance": {name: _at_random_json(pair.at_random) for name, pair in score.pairs.items() if pair.n_queries},
        "ranks": None if ranks_file is None else {"file": ranks_file.name, "sha256": sha256_of(ranks_file)},
        "harness": {
            "name": "rope-bench",
            "version": version("rope-bench"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "platform": platform.platform(),
            "n_rechecked": {name: pair.n_rechecked for name, pair in score.pairs.items()},
        },
    }


def retrieval_json(ranks: QueryRanks, intervals: Intervals) -> dict[str, dict[str, Any]]:
    """Everything that `as_json` says of a pair and that follows from ranks: each pair that has queries -> its numbers.

    Args:
        ranks: of one model.
        intervals: of these ranks.
    """
    ci95 = intervals_json(intervals)["pairs"]
    return {
        name: {
            **summary_json(summarise(_scores_of(pair))),
            "macro": summary_json(summarise(_scores_of(pair), pair.products)),
            "ci95": ci95[name],
        }
        for name, pair in ranks.pairs.items()
    }


def _scores_of(pair: PairRanks) -> QueryScores:
    return QueryScores(
        np.arange(len(pair.rank)),
        pair.n_positives,
        pair.rank,
        pair.rank_optimistic,
        pair.average_precision,
        pair.hits,
    )


def headline_name(score: Score) -> str:
    """Names the pairs that the headline averages: *the* six pairs only where the domains are those of ROPE."""
    cross = [pair.pair for pair in score.pairs.values() if pair.pair.query != pair.pair.gallery]
    n_cross = len(cross)
    if set(cross) == set(CROSS_DOMAIN_PAIRS):
        return "mean R@1 of the six cross-domain pairs"
    if n_cross == 0:
        return "none: the dataset has one domain"
    return f"mean R@1 of the {n_cross} cross-domain pairs of the dataset"


def _pair_json(pair: PairScore, intervals: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "n_queries": pair.n_queries,
        "n_no_positive": pair.n_no_positive,
        "n_gallery": pair.n_gallery,
        **summary_json(pair.micro),
        "macro": summary_json(pair.macro),
        "ci95": intervals,
    }


def summary_json(summary: Summary | None) -> dict[str, Any]:
    """The means over some queries as results have them; nulls where there is none."""
    if summary is None:
        return {**dict.fromkeys(_metric_names()), "optimistic": {f"R@{k}": None for k in KS}}
    return {
        **{f"R@{k}": value for k, value in summary.hit_rate.items()},
        **{f"recall@{k}": value for k, value in summary.recall.items()},
        "MRR": summary.mrr,
        "mAP": summary.mean_average_precision,
        "median_rank": summary.median_rank,
        "optimistic": {f"R@{k}": value for k, value in summary.hit_rate_optimistic.items()},
    }


def _metric_names() -> list[str]:
    return [*(f"R@{k}" for k in KS), *(f"recall@{k}" for k in KS), "MRR", "mAP", "median_rank"]


def _one_shot_json(one_shot: OneShot) -> dict[str, Any]:
    return {
        "n_queries": one_shot.n_queries,
        "n_no_support": one_shot.n_no_support,
        "n_products": one_shot.n_products,
        "expected": one_shot.expected,
        "expected_ci95": bounds(expected_interval(one_shot)),
        "mean": one_shot.mean,
        "std": one_shot.std,
        "std_bound": one_shot.std_bound,
        "ci95_draws": one_shot.draws_interval,
        "accuracies": one_shot.accuracies,
    }


def quick_json(score: QuickScore, provenance: Provenance) -> dict[str, Any]:
    """A quick score as a JSON object; `quick` says what it is, and without ranks and intervals nothing compares it."""
    metric = f"mean R@1 of the {len(score.pairs)} cross-domain pairs"
    return {
        "quick": True,
        "model": provenance.model,
        "training_seed": provenance.training_seed,
        "headline": {"metric": metric, "value": score.headline},
        "protocol": {"version": PROTOCOL_VERSION, "tie": TIE},
        "dataset": {"name": provenance.dataset, "fingerprint": provenance.fingerprint, "split": provenance.split},
        "embeddings": _embeddings_json(provenance),
        **({} if provenance.transform is None else {"transform": dict(provenance.transform)}),
        "pairs": {
            name: {
                "n_queries": pair.n_queries,
                **{f"R@{k}": value for k, value in pair.hit_rate.items()},
                "MRR": pair.mrr,
                "median_rank": pair.median_rank,
            }
            for name, pair in score.pairs.items()
        },
        "by_chance": {name: _at_random_json(pair.at_random) for name, pair in score.pairs.items()},
    }


def _at_random_json(at_random: Mapping[int, float]) -> dict[str, float]:
    return {f"R@{k}": value for k, value in at_random.items()}


def _embeddings_json(provenance: Provenance) -> dict[str, dict[str, Any]]:
    return {domain: note.to_json() for domain, note in provenance.embeddings.items()}


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write the result whole; a number that JSON cannot hold is an error, never a NaN literal."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(result), "utf-8")


def write_ranks(path: Path, score: Score) -> None:
    """Write one row a query and pair: what intervals, comparisons and slices are computed from.

    Columns: pair, query_id, product_id, n_positives, rank, rank_optimistic, average_precision, and hits_at_k:
    how many of the positives are among the first k.
    """
    tables = []
    for name, pair in score.pairs.items():
        queries = pair.queries
        columns = {
            "pair": from_texts([name] * pair.n_queries),
            "query_id": from_texts(pair.query_ids),
            "product_id": from_texts(pair.query_products),
            "n_positives": from_numpy(queries.n_positives),
            "rank": from_numpy(queries.rank),
            "rank_optimistic": from_numpy(queries.rank_optimistic),
            "average_precision": from_numpy(queries.average_precision),
        }
        columns |= {f"hits_at_{k}": from_numpy(queries.hits[:, i]) for i, k in enumerate(KS)}
        tables.append(pa.table(columns))
    with atomic_path(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")


def retrieval_table(score: Score, intervals: Intervals) -> Table:
    """All pairs in percent, for a terminal."""
    table = Table("Retrieval, in % (R@k: queries with a positive in the top k)")
    table.add_column("pair")
    table.add_columns(*_R_AT_K, "MRR", "mAP", "median rank", "macro R@1", "ties", "queries")
    is_cross = True
    for name, pair in score.pairs.items():
        if is_cross and pair.pair.query == pair.pair.gallery:
            table.add_section()
            is_cross = False
        if pair.micro is None or pair.macro is None:
            table.add_row(name, *["-"] * (len(_R_AT_K) + 5), "0")
            continue
        micro = pair.micro
        table.add_row(
            name,
            *_rates(micro.hit_rate, pair.at_random),
            _percent(micro.mrr),
            _percent(micro.mean_average_precision),
            f"{micro.median_rank:g}",
            _percent(pair.macro.hit_rate[1]),
            f"+{_percent(micro.hit_rate_optimistic[1] - micro.hit_rate[1])}",
            f"{pair.n_queries:,}",
        )
    table.caption = _headline(score, intervals)
    return table


def _headline(score: Score, intervals: Intervals) -> str:
    if score.headline is None or intervals.headline is None:
        return "no cross-domain pair, so no headline: the dataset has one domain"
    low, high = intervals.headline.low, intervals.headline.high
    reach = "" if low is None or high is None else f" (95 % interval {_percent(low)} - {_percent(high)})"
    cross = [pair.at_random[1] for pair in score.pairs.values() if pair.pair.query != pair.pair.gallery]
    return f"{headline_name(score)}: {_percent(score.headline)}{reach}; by chance {_percent(mean(cross))}"


def _rates(hit_rate: Mapping[int, float], at_random: Mapping[int, float]) -> list[str]:
    """The cells of `_R_AT_K`."""
    first, *further = (_percent(hit_rate[k]) for k in KS)
    return [first, _percent(at_random[KS[0]]), *further]


def quick_table(score: QuickScore) -> Table:
    """The cross-domain pairs of a quick score in percent, for a terminal."""
    table = Table("Retrieval, in % (R@k: queries with a positive in the top k)")
    table.add_column("pair")
    table.add_columns(*_R_AT_K, "MRR", "median rank", "queries")
    for name, pair in score.pairs.items():
        rates = _rates(pair.hit_rate, pair.at_random)
        table.add_row(name, *rates, _percent(pair.mrr), f"{pair.median_rank:g}", f"{pair.n_queries:,}")
    by_chance = _percent(mean(pair.at_random[1] for pair in score.pairs.values()))
    headline = f"mean R@1 of the {len(score.pairs)} cross-domain pairs: {_percent(score.headline)}"
    table.caption = f"{headline}; by chance {by_chance}"
    return table


def one_shot_table(score: Score) -> Table:
    """Accuracy of one-shot classification in percent, for a terminal."""
    draws = "one draw" if score.draws.trials == 1 else f"{score.draws.trials} draws"
    title = f"{score.draws.shots}-shot classification, accuracy in %, {draws}"
    table = Table(title)
    is_exact = score.draws.shots == 1
    headings = ["expected", "95 %, products"] if is_exact else []
    table.add_column("pair")
    table.add_columns(*headings, "mean of draws", "std", "95 %, draws", "products", "queries")
    for name, one_shot in score.one_shot.items():
        table.add_row(
            name,
            *(["-" if one_shot.expected is None else _percent(one_shot.expected)] if is_exact else []),
            *([_range(bounds(expected_interval(one_shot)))] if is_exact else []),
            _percent(one_shot.mean),
            "alike" if one_shot.std == 0 else "-" if one_shot.std is None else _percent(one_shot.std),
            "-" if one_shot.std == 0 else _range(one_shot.draws_interval),
            f"{one_shot.n_products:,}",
            f"{one_shot.n_queries:,}",
        )
    table.caption = "95 %, draws: of the mean over draws, for these products; " + (
        "95 %, products: of the expected accuracy, for other products of the kind"
        if is_exact
        else "there is no closed form for several shots"
    )
    if any(one_shot.std == 0 for one_shot in score.one_shot.values()):
        table.caption += f"; alike: {draws} of the same accuracy, which does not tell how others would differ"
    return table


def _range(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else " - ".join(_percent(end) for end in ends)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"
