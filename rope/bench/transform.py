"""What may be done to vectors before they are scored: centred or whitened, fitted on the training split alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from rope.arrays import Float32Array, FloatArray
from rope.bench.io.embeddings import DomainEmbeddings, align, embeddings_sha256
from rope.bench.io.given import Given, embeddings_of
from rope.bench.io.provenance import warn_of_others
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, with_published
from rope.errors import EmbeddingError, UsageError
from rope.files import AnyPath

__all__ = ["VectorTransform", "transformed"]

_NO_DIRECTION: Final = 1e-6
"""A unit vector that is this near to the mean of its domain is hardly more than rounding once that is subtracted."""

_FLAT: Final = 1e-6
"""Directions with less than this share of the largest variance are left out of whitening: they hold rounding."""


@dataclass(frozen=True, slots=True)
class VectorTransform:
    """What is done to unit vectors before they are scored.

    Attributes:
        kind: `centre` subtracts from each domain, and each role, the mean of its training vectors; `whiten` does so
            too, and then divides the principal directions of all of them together by their spread, the widest first.
        train: vectors of the training split, of the same model.
    """

    kind: Literal["centre", "whiten"]
    train: Given

    @property
    def word(self) -> str:
        """For the name of a model."""
        return {"centre": "centred", "whiten": "whitened"}[self.kind]


def transformed(
    embeddings: Mapping[DomainName, DomainEmbeddings], transform: VectorTransform, directory: AnyPath
) -> tuple[dict[DomainName, DomainEmbeddings], dict[str, Any]]:
    """The vectors as they are scored, and what the result says of how they came about.

    Args:
        embeddings: of any split. Rows that cannot be compared, of zeros or not finite, stay so.
        transform: what to do.
        directory: the dataset, whose training split tells that nothing else was fitted on.

    Raises:
        EmbeddingError: the training vectors are not of the training split, or a vector has no direction left.
        UsageError: the dimensions differ.
    """
    labels = read_labels(directory, "train")
    given = embeddings_of(transform.train, with_published(labels), any_number=True)
    warn_of_others(given, read_manifest(directory), "train")
    try:
        train = align(given, labels)
    except EmbeddingError as error:
        what = "the vectors to fit on must be of the training split, and all of it"
        raise EmbeddingError(f"{what}: {error}") from error
    _check_dims(embeddings, train)
    roles = {(domain, False): rows for domain, rows in train.items()}
    roles |= {(domain, True): rows.queries for domain, rows in train.items() if rows.queries is not None}
    fitted = {role: _units(rows.vectors) for role, rows in roles.items()}
    means = {role: units.mean(axis=0) for role, units in fitted.items()}
    turn = _whitening([fitted[role] - means[role] for role in fitted]) if transform.kind == "whiten" else None
    found = {
        domain: _moved(rows, domain, (means[domain, False], means.get((domain, True))), turn)
        for domain, rows in embeddings.items()
    }
    hashes = {domain: embeddings_sha256(rows) for domain, rows in train.items()}
    return found, {"kind": transform.kind, "fitted_on": hashes}


def _check_dims(found: Mapping[DomainName, DomainEmbeddings], train: Mapping[DomainName, DomainEmbeddings]) -> None:
    for domain, rows in found.items():
        if domain not in train:
            raise UsageError(f"{domain}: the training vectors have none of this domain")
        if rows.vectors.shape[1] != train[domain].vectors.shape[1]:
            raise UsageError(
                f"{domain}: the vectors have {rows.vectors.shape[1]} dimensions, and those of the training split "
                f"{train[domain].vectors.shape[1]}; give training vectors of the same model"
            )
        if (rows.queries is None) != (train[domain].queries is None):
            raise UsageError(
                f"{domain}: the vectors have roles and those of the training split have none, or the other way round; "
                "give training vectors of the same model"
            )


def _units(vectors: Float32Array) -> FloatArray:
    """float64 [n, dim], of length 1; a row of zeros stays one."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths > 0, lengths, 1.0)


def _whitening(centred: list[FloatArray]) -> FloatArray:
    """float64 [dim, rank]: to the principal directions of all rows, each divided by its spread."""
    rows = np.concatenate(centred)
    variances, directions = np.linalg.eigh(rows.T @ rows / len(rows))
    order = np.argsort(-variances)
    kept = order[variances[order] > _FLAT * variances[order[0]]]
    turned: FloatArray = directions[:, kept] / np.sqrt(variances[kept])
    return turned


def _moved(
    rows: DomainEmbeddings, domain: DomainName, means: tuple[FloatArray, FloatArray | None], turn: FloatArray | None
) -> DomainEmbeddings:
    """The vectors of a domain less the first mean, and those that it has as queries less the second."""
    units = _units(rows.vectors)
    rest = units - means[0]
    rest[~units.any(axis=1)] = 0
    lost = np.flatnonzero((np.linalg.norm(rest, axis=1) < _NO_DIRECTION) & units.any(axis=1))
    if len(lost):
        raise EmbeddingError(
            f"{domain}: {len(lost)} vectors are the mean of their domain, and have no direction once it is subtracted; "
            "score them as they are"
        )
    moved = np.ascontiguousarray((rest if turn is None else rest @ turn).astype(np.float32))
    queries = None
    if rows.queries is not None and means[1] is not None:
        queries = _moved(rows.queries, domain, (means[1], None), turn)
    return replace(rows, vectors=moved, queries=queries)
