"""What may be done to vectors before they are scored: centred, whitened or locally scaled, fitted on training alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from rope.arrays import Float32Array, FloatArray
from rope.bench.io.embeddings import DomainEmbeddings, align, cut, embeddings_sha256
from rope.bench.io.given import Given, embeddings_of
from rope.bench.io.provenance import warn_of_others
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, in_order, with_published
from rope.errors import EmbeddingError, UsageError
from rope.files import AnyPath

__all__ = ["WORDS", "TransformKind", "VectorTransform", "cut_all", "fitted_on_itself", "transformed"]

TransformKind = Literal["centre", "whiten", "csls"]

WORDS: Final[Mapping[TransformKind, str]] = {"centre": "centred", "whiten": "whitened", "csls": "CSLS"}
"""What vectors are called to which it was done."""

_NO_DIRECTION: Final = 1e-6
"""A unit vector that is this near to the mean of its domain is hardly more than rounding once that is subtracted."""

_FLAT: Final = 1e-6
"""Directions with less than this share of the largest variance are left out of whitening: they hold rounding."""

_NEIGHBOURS: Final = 10
"""Training queries whose similarity to a sample is its local density: the k of Conneau et al."""

_HEIGHT: Final = 1024
_WIDTH: Final = 2048
"""A block of 1024 x 2048 float64 is 16 MiB; its size is fixed, so that no sum follows the number of threads."""

Rows = Mapping[DomainName, DomainEmbeddings]


@dataclass(frozen=True, slots=True)
class VectorTransform:
    """What is done to unit vectors before they are scored.

    Attributes:
        kind: `centre` subtracts from each domain, and each role, the mean of its training vectors; `whiten` does so
            too, and then divides the principal directions of all of them together by their spread, the widest first;
            `csls` takes from each similarity how near the sample of the gallery is to training queries (cross-domain
            similarity local scaling of Conneau et al., 2018, with queries of training as Bogolin et al., 2022).
        train: vectors of the training split, of the same model.
    """

    kind: TransformKind
    train: Given

    @property
    def word(self) -> str:
        """For the name of a model."""
        return WORDS[self.kind]


def transformed(
    embeddings: Rows, transform: VectorTransform, directory: AnyPath, dims: int | None = None
) -> tuple[dict[DomainName, DomainEmbeddings], dict[str, Any]]:
    """Transform vectors of any split by what their model gives for the training split.

    Args:
        embeddings: rows that cannot be compared, of zeros or not finite, stay so.
        transform: what to do.
        directory: the dataset, whose training split tells that nothing else was fitted on.
        dims: keep the first so many numbers: of the vectors that are centred or whitened, but of those that are
            locally scaled before, as what is added to them is none of the model's. None for all.

    Returns:
        The vectors as they are scored, and what the result says of how they came about.

    Raises:
        EmbeddingError: the training vectors are not of the training split, or a vector has no direction left.
        UsageError: the dimensions differ, samples have any number of vectors where one is needed, or `dims` is no less
            than there are.
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
    record = {"kind": transform.kind, "fitted_on": {domain: embeddings_sha256(rows) for domain, rows in train.items()}}
    return _apply(transform.kind, embeddings, train, dims), record


def fitted_on_itself(
    embeddings: Rows, kind: TransformKind, dims: int | None = None
) -> dict[DomainName, DomainEmbeddings]:
    """The same fitted on the scored vectors themselves, as the doctor does: what a score may be promised, but never is.

    Args:
        embeddings: that can be scored.
        kind: what to do.
        dims: as for `transformed`.

    Raises:
        EmbeddingError: a vector has no direction left.
    """
    return _apply(kind, embeddings, embeddings, dims)


def _apply(
    kind: TransformKind, embeddings: Rows, fitted_on: Rows, dims: int | None
) -> dict[DomainName, DomainEmbeddings]:
    if kind != "csls":
        return cut_all(_moved_all(embeddings, fitted_on, whiten=kind == "whiten"), dims)
    for rows in (embeddings, fitted_on):
        _check_one_each(rows)
    return _scaled_locally(cut_all(embeddings, dims), cut_all(fitted_on, dims))


def cut_all(rows: Rows, dims: int | None) -> dict[DomainName, DomainEmbeddings]:
    """The first `dims` numbers of the vectors of every domain, see `rope.bench.io.embeddings.cut`; None for all."""
    return {domain: of_domain if dims is None else cut(of_domain, dims, domain) for domain, of_domain in rows.items()}


def _check_dims(found: Rows, train: Rows) -> None:
    for domain, rows in found.items():
        if domain not in train or not len(train[domain].vectors):
            raise UsageError(f"{domain}: the training split has none of this domain, so nothing can be fitted on it")
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


def _check_one_each(rows: Rows) -> None:
    for domain, of_domain in rows.items():
        if any(role.offsets is not None for role in (of_domain, of_domain.queries) if role is not None):
            raise UsageError(f"--csls: every {domain} needs one vector, and some have many or none; leave it out")


def _units(vectors: Float32Array) -> FloatArray:
    """float64 [n, dim], of length 1; a row of zeros stays one."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths > 0, lengths, 1.0)


def _usable(vectors: Float32Array) -> FloatArray:
    """The unit vectors of the rows that have a direction."""
    units = _units(vectors[np.isfinite(vectors).all(axis=1)])
    kept: FloatArray = units[units.any(axis=1)]
    return kept


def _moved_all(embeddings: Rows, train: Rows, *, whiten: bool) -> dict[DomainName, DomainEmbeddings]:
    """Less the means of the training vectors, and divided by their spread."""
    roles = {(domain, False): rows for domain, rows in train.items()}
    roles |= {(domain, True): rows.queries for domain, rows in train.items() if rows.queries is not None}
    fitted = {role: _usable(rows.vectors) for role, rows in roles.items()}
    means = {role: units.mean(axis=0) for role, units in fitted.items()}
    turn = _whitening([fitted[role] - means[role] for role in fitted]) if whiten else None
    return {
        domain: _moved(rows, domain, (means[domain, False], means.get((domain, True))), turn)
        for domain, rows in embeddings.items()
    }


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


def _scaled_locally(embeddings: Rows, train: Rows) -> dict[DomainName, DomainEmbeddings]:
    """Vectors whose cosine is the locally scaled similarity, so that whatever holds of cosines holds of it.

    With r(g, A) the density of a gallery sample g for queries of domain A, a query q of A ranks by 2 cos(q, g) - r(g,
    A), as what CSLS subtracts for the query is the same for all g. That is the order of the cosine of (q, 1 at A, 0 at
    other domains, 0) and (g, -r(g, A) / 2 for every A, a number that makes all of these equally long).
    """
    domains = in_order(train)
    asked = {domain: _usable((train[domain].queries or train[domain]).vectors) for domain in domains}
    units = {domain: _units(rows.vectors) for domain, rows in embeddings.items()}
    halves = {  # [n, domains] of each
        domain: np.stack([_density(rows, asked[of]) for of in domains], axis=1) / 2 for domain, rows in units.items()
    }
    squares = {domain: np.square(half).sum(axis=1) for domain, half in halves.items()}
    longest = max((float(square.max(initial=0)) for square in squares.values()), default=0.0)
    found = {}
    for domain, rows in embeddings.items():
        rest = np.sqrt(longest - squares[domain])[:, None]
        gallery = _extended(units[domain], np.hstack([-halves[domain], rest]))
        role = np.zeros(len(domains) + 1)
        role[domains.index(domain)] = 1
        queries = rows.queries or rows
        q = _units(queries.vectors)
        as_queries = replace(queries, vectors=_extended(q, np.tile(role, (len(q), 1))), queries=None)
        found[domain] = replace(rows, vectors=gallery, queries=as_queries)
    return found


def _extended(units: FloatArray, more: FloatArray) -> Float32Array:
    """float32 [n, dim + m]; a row without a direction stays one of zeros."""
    more = np.where(units.any(axis=1, keepdims=True), more, 0.0)
    return np.ascontiguousarray(np.hstack([units, more]).astype(np.float32))


def _density(units: FloatArray, queries: FloatArray) -> FloatArray:
    """float64 [n]: the mean cosine of each row and the queries that are nearest to it, at most ten."""
    k = min(_NEIGHBOURS, len(queries))
    found = np.empty(len(units))
    for top in range(0, len(units), _HEIGHT):
        rows = units[top : top + _HEIGHT]
        best = np.empty((len(rows), 0))
        for left in range(0, len(queries), _WIDTH):
            both = np.hstack([best, rows @ queries[left : left + _WIDTH].T])
            best = np.partition(both, max(both.shape[1] - k, 0), axis=1)[:, -k:]
        found[top : top + len(rows)] = np.sort(best, axis=1).mean(axis=1)
    return found
