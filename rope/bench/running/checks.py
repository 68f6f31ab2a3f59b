"""What is checked of an embedder: every batch that it returns, and that it is a function of the sample alone.

A vector that changes with the other samples of its batch, or from one call to the next, gives a score that is nobody's:
another batch size or another run gives another one. So a few samples of each domain are embedded again in another
batch, and compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.ragged import offsets_of
from rope.bench.running.embedder import Embedder, has_roles
from rope.domain import Sample
from rope.errors import EmbeddingError, UsageError

__all__ = ["TOLERANCE", "Batch", "check_function", "check_kept", "embed_checked", "rows_to_repeat"]

TOLERANCE: Final = 1e-4
"""1 - cosine of two vectors of one sample that passes as rounding; see docs/models.md for what was measured."""

_ROWS: Final = 4
"""Samples of a domain that are embedded again."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What an embedder made of some samples.

    Attributes:
        rows: the vectors.
        is_many: whether it returned a list, so that samples may have any number of vectors.
    """

    rows: DomainEmbeddings
    is_many: bool


def embed_checked(embedder: Embedder, samples: Sequence[Sample], dim: int | None) -> Batch:
    """The vectors of some samples in each role that the embedder knows, checked.

    Args:
        embedder: the model.
        samples: n of one domain.
        dim: that of the batches before; None for the first.

    Raises:
        EmbeddingError: names the embedder, the domain and the sample.
    """
    if not has_roles(embedder):
        return _checked(embedder, embedder.embed(samples), samples, dim, "embed")
    as_gallery, as_queries = (
        _checked(embedder, embedder.embed(samples, role=role), samples, dim, f"embed(role={role!r})")  # type: ignore[call-arg]
        for role in ("gallery", "query")
    )
    dims = [batch.rows.vectors.shape[1] for batch in (as_gallery, as_queries) if len(batch.rows.vectors)]
    if len(set(dims)) > 1:
        raise EmbeddingError(
            f"{embedder.name}: {samples[0].domain}s have dimension {dims[0]} in a gallery and {dims[1]} as queries, "
            "expected one"
        )
    if as_gallery.is_many != as_queries.is_many:
        raise EmbeddingError(f"{embedder.name}: embed returned an array in one role and a list in the other")
    return replace(as_gallery, rows=replace(as_gallery.rows, queries=as_queries.rows))


def _checked(embedder: Embedder, result: object, samples: Sequence[Sample], dim: int | None, call: str) -> Batch:
    """What one call returned."""
    where = f"{embedder.name}: {samples[0].domain}s from {samples[0].sample_id!r} on"
    lengths: list[int] | None = None
    is_many = isinstance(result, list | tuple)
    if isinstance(result, list | tuple):
        result, lengths = _of_list(result, samples, where, call)
    if not isinstance(result, np.ndarray) or not np.issubdtype(result.dtype, np.floating):
        kind = result.dtype if isinstance(result, np.ndarray) else type(result).__name__
        raise EmbeddingError(f"{where}: {call} returned {kind}, expected a NumPy array of floats")
    expected = len(samples) if lengths is None else sum(lengths)
    if result.ndim != 2 or len(result) != expected or (result.shape[1] == 0 and expected):
        raise EmbeddingError(f"{where}: {call} returned shape {result.shape}, expected ({expected}, dim)")
    with np.errstate(over="ignore"):
        vectors = np.array(result, np.float32, order="C")  # a copy: an embedder may use its array again
    if lengths is None and getattr(embedder, "abstains", False):
        is_there = ~np.isnan(vectors).all(axis=1)
        if not is_there.all():
            vectors, lengths = vectors[is_there], is_there.astype(int).tolist()
    if not len(vectors):  # of samples without a vector nothing tells the dimension
        vectors = np.zeros((0, dim or 0), np.float32)
    if dim is not None and vectors.shape[1] != dim:
        raise EmbeddingError(f"{where}: {call} returned dimension {vectors.shape[1]}, expected {dim} as before")
    owners = samples if lengths is None else [s for s, n in zip(samples, lengths, strict=True) for _ in range(n)]
    for is_bad, what in ((~np.isfinite(vectors).all(axis=1), "NaN or infinity"), (~vectors.any(axis=1), "only zeros")):
        if is_bad.any():
            sample = owners[int(np.argmax(is_bad))]
            raise EmbeddingError(f"{embedder.name}: {sample.domain} {sample.sample_id!r}: the embedding holds {what}")
    offsets = None if lengths is None else offsets_of(np.array(lengths, np.int64))
    ids = [sample.sample_id for sample in samples]
    return Batch(DomainEmbeddings(ids, vectors, str(result.dtype), offsets=offsets), is_many)


def _of_list(
    result: Sequence[object], samples: Sequence[Sample], where: str, call: str
) -> tuple[npt.NDArray[Any], list[int]]:
    """The vectors of samples that have any number of them, and how many each has."""
    if len(result) != len(samples):
        raise EmbeddingError(f"{where}: {call} returned {len(result)} arrays, expected {len(samples)}")
    arrays = [one for one in result if isinstance(one, np.ndarray) and one.ndim == 2]
    if len(arrays) < len(result):
        raise EmbeddingError(
            f"{where}: {call} returned {type(result).__name__}, expected a NumPy array of floats [n, dim], or a list "
            "with an array [m, dim] for each sample"
        )
    filled = [one for one in arrays if len(one)]
    if len({one.shape[1] for one in filled}) > 1:
        raise EmbeddingError(f"{where}: {call} returned vectors of several dimensions")
    empty = np.zeros((0, arrays[0].shape[1] if arrays else 0), np.float32)
    return np.concatenate(filled or [empty]), [len(one) for one in arrays]


def rows_to_repeat(samples: Sequence[Sample]) -> list[int]:
    """The rows of a batch that are embedded again: at most four, those with the shortest texts and the fewest frames.

    Without the longest ones a batch is padded less, so padding that enters a vector changes it. Equal ones come the
    last first, and so in another order than they had.
    """
    sizes = [(len(sample.text or ""), len(sample.frames)) for sample in samples]
    rows = range(len(samples) - 1, -1, -1)
    by_text = sorted(rows, key=lambda row: sizes[row])
    by_frames = sorted(rows, key=lambda row: sizes[row][::-1])
    mixed = dict.fromkeys(row for pair in zip(by_text, by_frames, strict=True) for row in pair)
    return list(mixed)[: min(_ROWS, len(samples) - 1) if len(samples) > 2 else 2]


def check_function(embedder: Embedder, samples: Sequence[Sample], vectors: DomainEmbeddings) -> float:
    """Embed a few samples of a batch again, among other neighbours, in another order and number, twice.

    Args:
        embedder: the model.
        samples: n of one domain.
        vectors: what it made of them.

    Returns:
        The largest difference, 1 - cosine.

    Raises:
        EmbeddingError: it is above `TOLERANCE`.
    """
    first, noise, asked = _again(embedder, samples, vectors.vectors.shape[1] if len(vectors.vectors) else None)
    if noise > TOLERANCE:
        raise EmbeddingError(_noisy(embedder, asked, noise))
    change = _difference(first, vectors.take(np.array(rows_to_repeat(samples))))
    if change > TOLERANCE:
        raise EmbeddingError(
            f"{embedder.name}: the vector of a {samples[0].domain} depends on the batch it is in: 1 - cosine is up to "
            f"{change:.2g} where {_some(asked)} embedded again in another batch, and {TOLERANCE:g} passes as "
            "rounding; likely causes: batch normalisation in training mode (call eval()), padding that enters the "
            "result (pass the attention mask), or a mean over the batch that is taken off; mend it, or go on all the "
            "same with --no-check"
        )
    return max(noise, change)


def check_kept(embedder: Embedder, samples: Sequence[Sample], vectors: DomainEmbeddings) -> float:
    """Embed a few samples of a batch again of which vectors are kept from an earlier run.

    Args:
        embedder: the model.
        samples: n of one domain.
        vectors: the vectors kept.

    Returns:
        The largest difference, 1 - cosine.

    Raises:
        UsageError: it is above `TOLERANCE`: the vectors are of another model.
        EmbeddingError: two calls with the same samples differ by as much.
    """
    first, noise, asked = _again(embedder, samples, None)
    if noise > TOLERANCE:
        raise EmbeddingError(_noisy(embedder, asked, noise))
    change = _difference(first, vectors.take(np.array(rows_to_repeat(samples))))
    if change > TOLERANCE:
        what = "of another dimension or number" if change == np.inf else f"others: 1 - cosine is up to {change:.2g}"
        raise UsageError(
            f"{embedder.name}: the vectors kept from an earlier run are not this model's: {_some(asked)} embedded "
            f"again, and the new vectors are {what}; weights or other files that the model reads have changed, or its "
            "vectors depend on the batch; start over with --overwrite"
        )
    return max(noise, change)


def _again(
    embedder: Embedder, samples: Sequence[Sample], dim: int | None
) -> tuple[DomainEmbeddings, float, Sequence[Sample]]:
    """Vectors of a few samples, by how much a second call with the same ones differs, and the samples."""
    asked = [samples[row] for row in rows_to_repeat(samples)]
    first = embed_checked(embedder, asked, dim).rows
    again = embed_checked(embedder, asked, first.vectors.shape[1] if len(first.vectors) else dim).rows
    return first, _difference(first, again), asked


def _difference(a: DomainEmbeddings, b: DomainEmbeddings) -> float:
    """The largest 1 - cosine of two vectors in the same place; infinite where their numbers differ.

    From half the square of the distance of the unit vectors, which loses no digits where they are close.

    >>> given = [DomainEmbeddings(["1", "2"], np.float32(rows), "") for rows in ([[1, 0], [0, 2]], [[3, 0], [2, 0]])]
    >>> _difference(*given)
    1.0
    """
    if (a.queries is None) != (b.queries is None):
        return float(np.inf)
    lengths = [
        None if rows.offsets is None else np.diff(rows.offsets).tolist() for rows in (a.simplified(), b.simplified())
    ]
    if lengths[0] != lengths[1] or (len(a.vectors) and a.vectors.shape != b.vectors.shape):
        return float(np.inf)
    wide = [rows.vectors.astype(np.float64) for rows in (a, b)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in wide]
    own = float(np.square(unit[0] - unit[1]).sum(axis=1).max(initial=0.0) / 2) if len(a.vectors) else 0.0
    return own if a.queries is None or b.queries is None else max(own, _difference(a.queries, b.queries))


def _noisy(embedder: Embedder, asked: Sequence[Sample], noise: float) -> str:
    return (
        f"{embedder.name}: two calls of embed with the same {asked[0].domain}s give different vectors: 1 - cosine is "
        f"up to {noise:.2g} ({_some(asked)} embedded twice), and {TOLERANCE:g} passes as rounding; likely causes: "
        "dropout, as the model is in training mode (call eval()), or crops, frames or noise drawn at random; mend it, "
        "or go on all the same with --no-check"
    )


def _some(asked: Sequence[Sample]) -> str:
    first = f"{asked[0].domain} {asked[0].sample_id!r}"
    return f"{first} was" if len(asked) == 1 else f"{first} and {len(asked) - 1} more were"
