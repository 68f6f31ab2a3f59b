"""Provenance of a score: which model, embeddings, dataset and split it belongs to."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rope.bench.io.embeddings import DomainEmbeddings, Missing, align, embeddings_sha256
from rope.bench.io.readers import read_embeddings
from rope.bench.score import by_product
from rope.dataset.directory import SampleLabels
from rope.dataset.manifest import DatasetManifest
from rope.domain import DomainName, Split, with_published

__all__ = ["EmbeddingsNote", "Provenance", "RerankNote", "describe", "load_provenance", "note_of", "warn_of_others"]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddingsNote:
    """The note on the vectors of one domain: rows, dimension, stored dtype, dropped rows and hash.

    Attributes:
        n: samples.
        dim: numbers of a vector.
        stored_dtype: the type that they had.
        n_duplicates_dropped: rows left out because they repeated another row exactly.
        sha256: see `rope.bench.io.embeddings.embeddings_sha256`.
        n_vectors: vectors of all samples together where they have any number; None where each has one.
        n_without_vector: samples that have none and so are ranked last; None where each has one.
        n_query_vectors: vectors that the samples have as queries; None where these are the same.
        cut_from: numbers that the vectors had before they were cut to `dim`; None where they were not.
    """

    n: int
    dim: int
    stored_dtype: str
    n_duplicates_dropped: int
    sha256: str
    n_vectors: int | None = None
    n_without_vector: int | None = None
    n_query_vectors: int | None = None
    cut_from: int | None = None

    def to_json(self) -> dict[str, object]:
        """What results say: the last four only where they are known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class RerankNote:
    """The note on a second stage, see `rope.bench.rerank`.

    Attributes:
        first_stage: name of the model whose candidates were put in another order.
        first_headline: its mean R@1 of the same pairs, a fraction; None without a cross-domain pair.
        depth: candidates of a query.
        reranker: name of the re-ranker.
        reranker_fingerprint: as it tells; None where it has none.
        candidates: name of the file of candidates and their scores.
        sha256: of that file.
    """

    first_stage: str
    first_headline: float | None
    depth: int
    reranker: str
    reranker_fingerprint: str | None
    candidates: str
    sha256: str

    def to_json(self) -> dict[str, object]:
        """What results say."""
        return {
            "first_stage": {"model": self.first_stage, "headline": self.first_headline},
            "depth": self.depth,
            "reranker": {"name": self.reranker, "fingerprint": self.reranker_fingerprint},
            "candidates": {"file": self.candidates, "sha256": self.sha256},
        }


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a score belongs to: a model and its embeddings, on one split of one dataset.

    Attributes:
        model: name of the embedder, or of the files.
        dataset: name of the dataset.
        fingerprint: of the dataset, from its manifest.
        split: the split that was scored.
        embeddings: a note for each domain.
        training_seed: of the training run that made the model; None where nobody said.
        transform: what was done to the vectors before they were scored, see `rope.bench.transform.transformed`; None
            where nothing was.
        rerank: the second stage, if the numbers are of one; the embeddings are then those of the first.
    """

    model: str
    dataset: str
    fingerprint: str
    split: Split
    embeddings: Mapping[DomainName, EmbeddingsNote]
    training_seed: int | None = None
    transform: Mapping[str, Any] | None = None
    rerank: RerankNote | None = None


def load_provenance(
    files: Sequence[Path],
    manifest: DatasetManifest,
    split: Split,
    labels: Mapping[DomainName, SampleLabels],
    model: str,
    *,
    missing: Missing = "refuse",
) -> tuple[dict[DomainName, DomainEmbeddings], dict[DomainName, SampleLabels], Provenance]:
    """Read embeddings and `describe` them.

    Args:
        files: files or folders, in any order; see `rope.bench.io.readers.read_embeddings`.
        manifest: of the dataset.
        split: the split to score.
        labels: of that split.
        model: what to call the embeddings in the result.
        missing: whether samples may be without a vector.

    Raises:
        UsageError: a file does not exist, or is of no known format.
        EmbeddingError: the embeddings do not fit the dataset, or hold values that have no direction.
    """
    embeddings = read_embeddings(files, with_published(labels), any_number=True)
    return describe(embeddings, manifest, split, labels, model, missing=missing)


def describe(
    embeddings: dict[DomainName, DomainEmbeddings],
    manifest: DatasetManifest,
    split: Split,
    labels: Mapping[DomainName, SampleLabels],
    model: str,
    *,
    missing: Missing = "refuse",
) -> tuple[dict[DomainName, DomainEmbeddings], dict[DomainName, SampleLabels], Provenance]:
    """Check embeddings against the labels of a split, and say what a score of them is a score of.

    Ids can be those of the split where texts, images or labels are not. So where the file says what it was embedded
    from, and that is another dataset or other files, a warning is logged.

    Args:
        embeddings: rows in any order; emptied, see `rope.bench.io.embeddings.align`.
        manifest: of the dataset.
        split: the split to score.
        labels: of that split.
        model: what to call the embeddings in the result.
        missing: whether samples may be without a vector; how many are is logged.

    Returns:
        The embeddings and the labels in the order that scoring works in, and what a score of them is a score of.

    Raises:
        EmbeddingError: the embeddings do not fit the dataset, or hold values that have no direction.
    """
    ordered = {domain: by_product(rows) for domain, rows in labels.items()}
    warn_of_others(embeddings, manifest, split)
    aligned = align(embeddings, ordered, missing)
    if without := {domain: rows.n_without_vector for domain, rows in aligned.items() if rows.n_without_vector}:
        listed = ", ".join(f"{n:,} of {len(aligned[domain].sample_ids):,} {domain}s" for domain, n in without.items())
        _log.warning("%s have no vector and are ranked last, as queries and as answers", listed)
    notes = {domain: note_of(rows) for domain, rows in aligned.items()}
    return aligned, ordered, Provenance(model, manifest.name, manifest.fingerprint, split, notes)


def warn_of_others(embeddings: Mapping[DomainName, DomainEmbeddings], manifest: DatasetManifest, split: Split) -> None:
    """Say where vectors were embedded from another dataset than the one they are scored on, or from other files."""
    for made in sorted({made for rows in embeddings.values() for made in rows.made_on}, key=lambda made: made.dataset):
        if made.dataset != manifest.fingerprint:
            what = f"from the dataset {made.dataset[:12]}, and are scored on {manifest.fingerprint[:12]}"
        elif made.files not in (None, manifest.files_digest(split)):
            what = "from other files of this dataset: the ids and texts are the same, the images may not be"
        else:
            continue
        _log.warning("the vectors were embedded %s; if samples differ, embed again with rope-bench run", what)


def note_of(embeddings: DomainEmbeddings) -> EmbeddingsNote:
    """The note on the vectors of one domain that a result keeps."""
    queries = embeddings.queries
    has_any_number = embeddings.offsets is not None or (queries is not None and queries.offsets is not None)
    return EmbeddingsNote(
        n=len(embeddings.sample_ids),
        dim=embeddings.vectors.shape[1],
        stored_dtype=embeddings.stored_dtype,
        n_duplicates_dropped=embeddings.n_duplicates_dropped,
        sha256=embeddings_sha256(embeddings),
        n_vectors=None if embeddings.offsets is None else len(embeddings.vectors),
        n_without_vector=embeddings.n_without_vector if has_any_number else None,
        n_query_vectors=None if queries is None else len(queries.vectors),
    )
