"""What a score is of."""

from collections.abc import Mapping
from dataclasses import dataclass

from rope.domain import Domain, Split

__all__ = ["EmbeddingsNote", "Subject"]


@dataclass(frozen=True, slots=True)
class EmbeddingsNote:
    """What is said of the vectors of one domain: rows, dimension, stored dtype, dropped rows and hash."""

    n: int
    dim: int
    stored_dtype: str
    n_duplicates_dropped: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What was scored, on what.

    Attributes:
        model: name of the embedder, or of the files.
        dataset: name of the dataset.
        fingerprint: of the dataset, from its manifest.
        split: the split that was scored.
        embeddings: a note for each domain.
    """

    model: str
    dataset: str
    fingerprint: str
    split: Split
    embeddings: Mapping[Domain, EmbeddingsNote]
