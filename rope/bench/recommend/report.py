"""A recommendation score as a table and as strict JSON."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from rope.bench.io.provenance import EmbeddingsNote
from rope.bench.ranking.similarity import TIE
from rope.bench.recommend.interactions import Stage
from rope.bench.recommend.score import METRICS, RecommendMetrics, RecommendScore, figures_json
from rope.bench.rows import flat
from rope.bench.stats.intervals import Interval
from rope.domain import DomainName
from rope.table import Table

__all__ = [
    "PROTOCOL_VERSION",
    "SCHEMA_VERSION",
    "RecommendOptions",
    "RecommendProvenance",
    "as_json",
    "metric_table",
    "recommend_rows",
    "slice_table",
]

SCHEMA_VERSION: Final = 1
"""Version of the JSON layout."""

PROTOCOL_VERSION: Final = "1.1"
"""Changes where a figure can. 1.0, which no result names, put what a user took at one time in the order of the ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendOptions:
    """Settings of a recommendation score.

    Attributes:
        model: what to call the vectors in the result.
        domain: whose samples the items are; None for the only one that has embeddings.
        stage: which item to ask for.
        exclude_history: leave what a user took before out of the user's gallery.
        max_history: latest items used for the mean of the history; None for all.
        neighbours: neighbours of an item that item-kNN keeps.
    """

    model: str
    domain: str | None = None
    stage: Stage = "test"
    exclude_history: bool = True
    max_history: int | None = None
    neighbours: int = 50


@dataclass(frozen=True, slots=True)
class RecommendProvenance:
    """What a recommendation score belongs to: model, vectors, interactions and settings.

    Attributes:
        options: what was asked, and how.
        user_vectors: where the users' vectors are from: `mean of history`, or the name of a file.
        interactions: name of the file.
        interactions_sha256: of its content, see `gallery.interactions_sha256`.
        n_users: users of the file.
        n_interactions: rows of the file, without repeated ones.
        n_repeated: rows that repeated another and were left out.
        columns: what held user, item and time; None where the layout has no columns.
        n_tied_targets: users asked for an item that they took at the same time as another.
        domain: whose samples the items are.
        embeddings: of the items, which are the gallery.
    """

    options: RecommendOptions
    user_vectors: str
    interactions: str
    interactions_sha256: str
    n_users: int
    n_interactions: int
    n_repeated: int
    columns: tuple[str, str, str] | None
    n_tied_targets: int
    domain: DomainName
    embeddings: EmbeddingsNote


def as_json(score: RecommendScore, task: RecommendProvenance) -> dict[str, Any]:
    """The result as a JSON object: fractions in full precision, null without an interval.

    All but `harness` follows from the vectors, the interactions and the options.
    """
    options = task.options
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "recommendation",
        "model": options.model,
        "protocol": {
            "version": PROTOCOL_VERSION,
            "stage": options.stage,
            "split": "leave-one-out by time",
            "equal_times": "keyed hash of user and item",
            "gallery": "all items",
            "history": "excluded" if options.exclude_history else "kept",
            "user_vectors": task.user_vectors,
            "max_history": options.max_history,
            "neighbours": options.neighbours,
            "tie": TIE,
        },
        "interactions": {
            "name": task.interactions,
            "sha256": task.interactions_sha256,
            "n_users": task.n_users,
            "n_interactions": task.n_interactions,
            "n_repeated": task.n_repeated,
            "columns": None if task.columns is None else list(task.columns),
            "n_tied_targets": task.n_tied_targets,
        },
        "gallery": {"domain": task.domain, "embeddings": task.embeddings.to_json()},
        "methods": {
            method: {name: figures_json(figures) for name, figures in slices.items()}
            for method, slices in score.methods.items()
        },
        "harness": {
            "name": "rope-bench",
            "version": version("rope-bench"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "platform": platform.platform(),
        },
    }


def recommend_rows(plain: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `as_json` says as rows, one for each method and slice of the users."""
    interactions = plain["interactions"]
    of = {"model": plain["model"], "interactions": interactions["name"], "sha256": interactions["sha256"]}
    of |= {"stage": plain["protocol"]["stage"], "history": plain["protocol"]["history"]}
    return [
        of | {"method": method, "slice": name} | flat(figures)
        for method, slices in plain["methods"].items()
        for name, figures in slices.items()
    ]


def metric_table(score: RecommendScore) -> Table:
    """Every metric of every method over all users, in percent with its interval, for a terminal."""
    table = Table("Recommendation, in % (95 % interval over users)")
    table.add_column("method")
    table.add_columns(*METRICS)
    for method, slices in score.methods.items():
        table.add_row(method, *(_with_interval(slices["all"].metrics[metric]) for metric in METRICS))
    return table


def slice_table(score: RecommendScore, metric: str) -> Table:
    """One metric of every method for each slice, in percent with its interval, for a terminal."""
    table = Table(f"{metric} by slice, in %")
    table.add_column("slice")
    table.add_columns("users", *score.methods)
    by_slice: dict[str, Mapping[str, RecommendMetrics]] = {
        name: {method: slices[name] for method, slices in score.methods.items()}
        for name in next(iter(score.methods.values()))
    }
    for name, figures in by_slice.items():
        n_users = next(iter(figures.values())).n_users
        cells = [_with_interval(one.metrics[metric]) for one in figures.values()]
        table.add_row(name, f"{n_users:,}", *cells)
    return table


def _with_interval(interval: Interval) -> str:
    value = f"{100 * interval.value:.2f}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} ({100 * interval.low:.2f} - {100 * interval.high:.2f})"
