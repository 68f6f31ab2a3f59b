"""A score of search queries as tables and as strict JSON: a result file of its own, beside that of the six pairs."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from rope.bench.io.provenance import EmbeddingsNote
from rope.bench.metrics import KS
from rope.bench.queries.tasks import TASKS_VERSION
from rope.bench.ranking.similarity import TIE
from rope.domain import DomainName, Split
from rope.table import Table

__all__ = ["QUERIES_SCHEMA_VERSION", "QueriesProvenance", "csv_rows_of", "queries_json", "tables_of"]

QUERIES_SCHEMA_VERSION: Final = 1
"""Version of the JSON layout."""


@dataclass(frozen=True, slots=True)
class QueriesProvenance:
    """What a score of search queries belongs to.

    Attributes:
        model: name of the embedder, or of the files.
        dataset: name of the dataset.
        fingerprint: of the dataset, from its manifest.
        split: whose samples are the gallery.
        file: the table of queries, relative to the dataset directory.
        queries_fingerprint: of the queries, see `rope.dataset.queries.queries_fingerprint`.
        n_queries: in the table.
        embeddings: a note for each domain, and one for the queries.
    """

    model: str
    dataset: str
    fingerprint: str
    split: Split
    file: str
    queries_fingerprint: str
    n_queries: int
    embeddings: Mapping[DomainName, EmbeddingsNote]


def queries_json(tasks: Mapping[str, Mapping[str, Any]], provenance: QueriesProvenance) -> dict[str, Any]:
    """The result as a JSON object.

    All but `harness` follows from the vectors, the dataset, the queries and the version of the tasks.

    Args:
        tasks: name -> numbers, see `rope.bench.queries.numbers.task_json`.
        provenance: what they are of.
    """
    return {
        "schema_version": QUERIES_SCHEMA_VERSION,
        "task": "queries",
        "model": provenance.model,
        "protocol": {"tasks": TASKS_VERSION, "tie": TIE},
        "dataset": {"name": provenance.dataset, "fingerprint": provenance.fingerprint, "split": provenance.split},
        "queries": {"file": provenance.file, "n": provenance.n_queries, "fingerprint": provenance.queries_fingerprint},
        "embeddings": {domain: note.to_json() for domain, note in provenance.embeddings.items()},
        "tasks": {name: dict(numbers) for name, numbers in tasks.items()},
        "harness": {
            "name": "rope-bench",
            "version": version("rope-bench"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "platform": platform.platform(),
        },
    }


def tables_of(tasks: Mapping[str, Mapping[str, Any]], provenance: QueriesProvenance) -> list[str | Table]:
    """What a terminal shows: the title, the tasks, and what some of them have besides."""
    title = (
        f"{provenance.model} on {provenance.dataset}, {provenance.split} split ({provenance.fingerprint[:12]}), "
        f"{provenance.n_queries:,} queries ({provenance.queries_fingerprint[:12]})"
    )
    shown: list[str | Table] = [title, _task_table(tasks)]
    shown += [_negatives_table(some)] if (some := _having(tasks, "hard_negatives")) else []
    shown += [_paraphrase_table(some)] if (some := _having(tasks, "paraphrases")) else []
    shown += [_answers_table(some)] if (some := _having(tasks, "answers_from")) else []
    return shown


def csv_rows_of(tasks: Mapping[str, Mapping[str, Any]], provenance: QueriesProvenance) -> list[dict[str, Any]]:
    """A row for each task, for CSV and data frames: what it is of, then its plain numbers."""
    named = {
        "model": provenance.model,
        "dataset": provenance.dataset,
        "fingerprint": provenance.fingerprint,
        "split": provenance.split,
        "queries": provenance.queries_fingerprint,
    }
    return [
        named | {"task": name} | {key: value for key, value in task.items() if not isinstance(value, dict)}
        for name, task in tasks.items()
    ]


def _having(tasks: Mapping[str, Mapping[str, Any]], part: str) -> dict[str, Mapping[str, Any]]:
    return {name: task[part] for name, task in tasks.items() if task[part] is not None}


def _task_table(tasks: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("Search queries, in % (R@k: queries with a positive in the top k)")
    table.add_column("task")
    table.add_columns("R@1", "95 %", "R@1 by chance", *(f"R@{k}" for k in KS[1:3]), "MRR", "mAP", "NDCG@10")
    table.add_columns("NDCG@10 by chance", "ties", "queries", "gallery")
    for name, task in tasks.items():
        rates = [task["R@1"], task["by_chance"]["R@1"], *(task[f"R@{k}"] for k in KS[1:3])]
        first, chance, *further = map(_percent, rates)
        means = [_percent(task[metric]) for metric in ("MRR", "mAP", "NDCG@10")]
        counts = [f"{task['n_queries']:,}", f"{task['n_gallery']:,}"]
        ties = f"+{_percent(task['optimistic']['R@1'] - task['R@1'])}"
        gain = _percent(task["by_chance"]["NDCG@10"])
        table.add_row(name, first, _range(task["ci95"]["R@1"]), chance, *further, *means, gain, ties, *counts)
    table.caption = "by chance: of an order drawn at random, which no model should be below; 95 %: over products"
    return table


def _negatives_table(tasks: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("Hard negatives, in %: queries where one comes before every positive")
    table.add_column("task")
    table.add_columns("outranked", "95 %", "by chance", "queries", "hard negatives")
    for name, one in tasks.items():
        shares = [_percent(one["outranked"]), _range(one["ci95"]), _percent(one["by_chance"])]
        table.add_row(name, *shares, f"{one['n_queries']:,}", f"{one['n_negatives']:,}")
    return table


def _paraphrase_table(tasks: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("Paraphrases, in %: the worst and the best of a group, and how far they are apart", n_keys=2)
    for heading in ("task", "metric"):
        table.add_column(heading)
    table.add_columns("mean", "worst", "best", "spread", "95 %", "groups")
    for name, one in tasks.items():
        for metric, told in one.items():
            if isinstance(told, dict):
                numbers = [_percent(told[key]) for key in ("mean", "worst", "best", "spread")]
                table.add_row(name, metric, *numbers, _range(told["spread_ci95"]), f"{one['n_groups']:,}")
    return table


def _answers_table(tasks: Mapping[str, Mapping[str, Any]]) -> Table:
    domains = list(next(iter(tasks.values()))["gallery"])
    table = Table("Mixed gallery, in %: the domains that answers are from", n_keys=2)
    for heading in ("task", "share of"):
        table.add_column(heading)
    table.add_columns(*domains)
    labels = {"gallery": "the gallery", "positives": "the positives"}
    for name, one in tasks.items():
        for key, shares in one.items():
            if key != "ci95":
                label = labels.get(key, key.replace("first_", "the first "))
                table.add_row(name, label, *(_percent(shares[domain]) for domain in domains))
    return table


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _range(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else " - ".join(_percent(end) for end in ends)
