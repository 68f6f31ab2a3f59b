"""From files of embeddings and the labels of a dataset to a score and what it is a score of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rope.bench.embeddings import align, embeddings_sha256
from rope.bench.engine import Effort
from rope.bench.one_shot import Draws
from rope.bench.readers import read_embeddings
from rope.bench.score import Score, by_product, score
from rope.bench.subject import EmbeddingsNote, Subject
from rope.dataset.directory import Labels
from rope.dataset.manifest import Manifest
from rope.domain import DOMAINS, Domain, Split

__all__ = ["evaluate"]


def evaluate(
    files: Sequence[Path],
    manifest: Manifest,
    split: Split,
    labels: Mapping[Domain, Labels],
    model: str,
    draws: Draws,
    effort: Effort,
) -> tuple[Score, Subject]:
    """Read embeddings, check them against the labels of a split, and score them.

    Args:
        files: files or folders, in any order; see `rope.bench.readers.read_embeddings`.
        manifest: of the dataset.
        split: the split to score.
        labels: of that split.
        model: what to call the embeddings in the result.
        draws: of the support sets of one-shot classification.
        effort: how to spend the machine.

    Raises:
        UsageError: a file does not exist, or is of no known format.
        EmbeddingError: the embeddings do not fit the dataset, or hold values that have no direction.
        DatasetError: the dataset cannot be scored.
    """
    labels = {domain: by_product(rows) for domain, rows in labels.items()}
    embeddings = align(read_embeddings(files), labels)
    notes = {
        domain: EmbeddingsNote(
            n=len(embeddings[domain].sample_ids),
            dim=embeddings[domain].vectors.shape[1],
            stored_dtype=embeddings[domain].stored_dtype,
            n_duplicates_dropped=embeddings[domain].n_duplicates_dropped,
            sha256=embeddings_sha256(embeddings[domain]),
        )
        for domain in DOMAINS
    }
    subject = Subject(model, manifest.name, manifest.fingerprint, split, notes)
    return score(embeddings, labels, draws, effort), subject
