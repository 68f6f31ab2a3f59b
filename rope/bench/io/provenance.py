"""What a score is of."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rope.bench.io.embeddings import DomainEmbeddings, align, embeddings_sha256
from rope.bench.io.readers import read_embeddings
from rope.bench.score import by_product
from rope.dataset.directory import SampleLabels
from rope.dataset.manifest import DatasetManifest
from rope.domain import DomainName, Split, with_published

__all__ = ["EmbeddingsNote", "Provenance", "describe", "load_provenance", "note_of", "warn_of_others"]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddingsNote:
    """What is said of the vectors of one domain: rows, dimension, stored dtype, dropped rows and hash."""

    n: int
    dim: int
    stored_dtype: str
    n_duplicates_dropped: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was scored, on what.

    Attributes:
        model: name of the embedder, or of the files.
        dataset: name of the dataset.
        fingerprint: of the dataset, from its manifest.
        split: the split that was scored.
        embeddings: a note for each domain.
        training_seed: of the training run that made the model; None where nobody said.
    """

    model: str
    dataset: str
    fingerprint: str
    split: Split
    embeddings: Mapping[DomainName, EmbeddingsNote]
    training_seed: int | None = None


def load_provenance(
    files: Sequence[Path],
    manifest: DatasetManifest,
    split: Split,
    labels: Mapping[DomainName, SampleLabels],
    model: str,
) -> tuple[dict[DomainName, DomainEmbeddings], dict[DomainName, SampleLabels], Provenance]:
    """Read embeddings and `describe` them.

    Args:
        files: files or folders, in any order; see `rope.bench.io.readers.read_embeddings`.
        manifest: of the dataset.
        split: the split to score.
        labels: of that split.
        model: what to call the embeddings in the result.

    Raises:
        UsageError: a file does not exist, or is of no known format.
        EmbeddingError: the embeddings do not fit the dataset, or hold values that have no direction.
    """
    return describe(read_embeddings(files, with_published(labels)), manifest, split, labels, model)


def describe(
    embeddings: dict[DomainName, DomainEmbeddings],
    manifest: DatasetManifest,
    split: Split,
    labels: Mapping[DomainName, SampleLabels],
    model: str,
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

    Returns:
        The embeddings and the labels in the order that scoring works in, and what a score of them is a score of.

    Raises:
        EmbeddingError: the embeddings do not fit the dataset, or hold values that have no direction.
    """
    ordered = {domain: by_product(rows) for domain, rows in labels.items()}
    warn_of_others(embeddings, manifest, split)
    aligned = align(embeddings, ordered)
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
    """What is said of the vectors of one domain."""
    return EmbeddingsNote(
        n=len(embeddings.sample_ids),
        dim=embeddings.vectors.shape[1],
        stored_dtype=embeddings.stored_dtype,
        n_duplicates_dropped=embeddings.n_duplicates_dropped,
        sha256=embeddings_sha256(embeddings),
    )
