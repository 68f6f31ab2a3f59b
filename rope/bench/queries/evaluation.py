"""Vectors in, the score of a dataset's search queries out: the library under `rope-bench queries`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rope.bench.answer import Answer
from rope.bench.io.embeddings import DomainEmbeddings, Missing, align
from rope.bench.io.given import Given, embeddings_of, name_of
from rope.bench.io.provenance import note_of, warn_of_others
from rope.bench.queries.numbers import task_json
from rope.bench.queries.report import QueriesProvenance, csv_rows_of, queries_json, tables_of
from rope.bench.queries.score import TaskScore, score_tasks
from rope.bench.ranking.engine import ComputeSettings
from rope.console import progress_bar
from rope.dataset.directory import SampleLabels, read_labels
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.dataset.queries import QueryTable, read_queries
from rope.domain import DomainName, Split, with_published
from rope.errors import EmbeddingError
from rope.files import Address
from rope.query import QUERY_DOMAIN

__all__ = ["QueriesScored", "evaluate_queries"]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class QueriesScored(Answer[list[TaskScore]]):
    """What the queries of a dataset scored: what each query found, its numbers, and what they are of.

    Attributes:
        provenance: the model, the dataset, its queries and the vectors.
    """

    provenance: QueriesProvenance

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Name of each task -> its numbers, as in the JSON."""
        tasks: dict[str, dict[str, Any]] = self.plain["tasks"]
        return tasks

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows of `--csv`: one for each task, fractions in full precision."""
        return csv_rows_of(self.tasks, self.provenance)


def evaluate_queries(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    name: str | None = None,
    compute: ComputeSettings | None = None,
    missing: Missing = "refuse",
    progress: bool = False,
) -> QueriesScored:
    """Score the search queries of a dataset, as docs/queries.md defines it.

    Args:
        embeddings: of every sample of the split and of every query, in any order; those of the queries have the domain
            `query`. See `rope.bench.io.given.embeddings_of` for the forms.
        data: the dataset directory, or its address; None for the one that `rope.dataset.locate.find` finds.
        split: whose samples are the gallery.
        name: what to call the model; None for the stem of the first file, or `embeddings`.
        compute: how to spend the machine; it changes no number.
        missing: `last` ranks samples without a vector last, and gives queries without one the last rank; else they are
            an error.
        progress: draw a bar on stderr, if that is a terminal.

    Raises:
        UsageError: the embeddings have another form, or a file or the dataset directory does not exist.
        EmbeddingError: they do not fit the samples or the queries; lists everything that is wrong.
        DatasetError: the dataset or its queries cannot be read, or do not fit each other.
    """
    directory = locate(data)
    manifest, labels = read_manifest(directory), read_labels(directory, split)
    table = read_queries(directory, split, labels)
    given = _given(embeddings, labels)
    warn_of_others({domain: rows for domain, rows in given.items() if domain != QUERY_DOMAIN}, manifest, split)
    _warn_of_other_queries(given[QUERY_DOMAIN], table)
    ids = [query.query_id for query in table.queries]
    aligned = align(given, {**labels, QUERY_DOMAIN: SampleLabels(ids, ids)}, missing)
    if without := {domain: rows.n_without_vector for domain, rows in aligned.items() if rows.n_without_vector}:
        listed = ", ".join(f"{n:,} of {len(aligned[domain].sample_ids):,} of {domain}" for domain, n in without.items())
        _log.warning("without a vector, and so ranked last: %s", listed)
    n_samples = sum(len(rows.sample_ids) for rows in labels.values())
    compute = compute or ComputeSettings()
    with progress_bar("scoring queries", n_samples * len(ids), shown=progress) as advance:
        found = score_tasks(aligned, labels, table.queries, replace(compute, advance=advance) if progress else compute)
    provenance = QueriesProvenance(
        name or name_of(embeddings),
        manifest.name,
        manifest.fingerprint,
        split,
        table.name,
        table.fingerprint,
        len(ids),
        {domain: note_of(rows) for domain, rows in aligned.items()},
    )
    tasks = {score.task.name: task_json(score) for score in found}
    return QueriesScored(found, tables_of(tasks, provenance), queries_json(tasks, provenance), provenance)


def _given(embeddings: Given, labels: Mapping[DomainName, SampleLabels]) -> dict[DomainName, DomainEmbeddings]:
    """Samples with the vectors that they have in a gallery, queries with those that they have as queries."""
    domains = (*with_published(labels), QUERY_DOMAIN)
    given = {
        domain: rows.queries if domain == QUERY_DOMAIN and rows.queries is not None else replace(rows, queries=None)
        for domain, rows in embeddings_of(embeddings, domains, any_number=True).items()
    }
    if QUERY_DOMAIN not in given:
        raise EmbeddingError(
            "no embeddings of the queries; give them as the domain query, as rope-bench run --queries writes them"
        )
    return given


def _warn_of_other_queries(rows: DomainEmbeddings, table: QueryTable) -> None:
    for other in sorted(made.dataset for made in rows.made_on if made.dataset != table.fingerprint):
        _log.warning(
            "the vectors were embedded from the queries %s, and are scored on %s; if queries differ, embed again with "
            "rope-bench run --queries",
            other[:12],
            table.fingerprint[:12],
        )
