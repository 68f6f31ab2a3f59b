"""What is checked of an embedder: every batch that it returns, and that it is a function of the sample alone.

A vector that changes with the other samples of its batch, or from one call to the next, gives a score that is nobody's:
another batch size or another run gives another one. So a few samples of each domain are embedded again in another
batch, and compared.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.bench.running.embedder import Embedder
from rope.domain import Sample
from rope.errors import EmbeddingError, UsageError

__all__ = ["TOLERANCE", "check_function", "check_kept", "embed_checked", "rows_to_repeat"]

TOLERANCE: Final = 1e-4
"""1 - cosine of two vectors of one sample that passes as rounding; see docs/models.md for what was measured."""

_ROWS: Final = 4
"""Samples of a domain that are embedded again."""

FloatArray = npt.NDArray[np.float32]


def embed_checked(embedder: Embedder, samples: Sequence[Sample], dim: int | None) -> FloatArray:
    """One call of the embedder, checked: float32 [n, dim].

    Args:
        embedder: the model.
        samples: n of one domain.
        dim: that of the batches before; None for the first.

    Raises:
        EmbeddingError: names the embedder, the domain and the sample.
    """
    where = f"{embedder.name}: {samples[0].domain}s from {samples[0].sample_id!r} on"
    result: object = embedder.embed(samples)
    if not isinstance(result, np.ndarray) or not np.issubdtype(result.dtype, np.floating):
        kind = result.dtype if isinstance(result, np.ndarray) else type(result).__name__
        raise EmbeddingError(f"{where}: embed returned {kind}, expected a NumPy array of floats")
    if result.ndim != 2 or len(result) != len(samples) or result.shape[1] == 0:
        raise EmbeddingError(f"{where}: embed returned shape {result.shape}, expected ({len(samples)}, dim)")
    if dim is not None and result.shape[1] != dim:
        raise EmbeddingError(f"{where}: embed returned dimension {result.shape[1]}, expected {dim} as before")
    with np.errstate(over="ignore"):
        vectors = np.array(result, np.float32, order="C")  # a copy: an embedder may use its array again
    for is_bad, what in ((~np.isfinite(vectors).all(axis=1), "NaN or infinity"), (~vectors.any(axis=1), "only zeros")):
        if is_bad.any():
            sample = samples[int(np.argmax(is_bad))]
            raise EmbeddingError(f"{embedder.name}: {sample.domain} {sample.sample_id!r}: the embedding holds {what}")
    return vectors


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


def check_function(embedder: Embedder, samples: Sequence[Sample], vectors: FloatArray) -> float:
    """Embed a few samples of a batch again, among other neighbours, in another order and number, twice.

    Args:
        embedder: the model.
        samples: n of one domain.
        vectors: float32 [n, dim], what it made of them.

    Returns:
        The largest difference, 1 - cosine.

    Raises:
        EmbeddingError: it is above `TOLERANCE`.
    """
    first, noise, asked = _again(embedder, samples, vectors.shape[1])
    if noise > TOLERANCE:
        raise EmbeddingError(_noisy(embedder, asked, noise))
    change = _difference(first, vectors[rows_to_repeat(samples)])
    if change > TOLERANCE:
        raise EmbeddingError(
            f"{embedder.name}: the vector of a {samples[0].domain} depends on the batch it is in: 1 - cosine is up to "
            f"{change:.2g} where {_some(asked)} embedded again in another batch, and {TOLERANCE:g} passes as "
            "rounding; likely causes: batch normalisation in training mode (call eval()), padding that enters the "
            "result (pass the attention mask), or a mean over the batch that is taken off; mend it, or go on all the "
            "same with --no-check"
        )
    return max(noise, change)


def check_kept(embedder: Embedder, samples: Sequence[Sample], vectors: FloatArray) -> float:
    """Embed a few samples of a batch again of which vectors are kept from an earlier run.

    Args:
        embedder: the model.
        samples: n of one domain.
        vectors: float32 [n, dim], the vectors kept.

    Returns:
        The largest difference, 1 - cosine.

    Raises:
        UsageError: it is above `TOLERANCE`: the vectors are of another model.
        EmbeddingError: two calls with the same samples differ by as much.
    """
    first, noise, asked = _again(embedder, samples, None)
    if noise > TOLERANCE:
        raise EmbeddingError(_noisy(embedder, asked, noise))
    kept = vectors[rows_to_repeat(samples)]
    change = _difference(first, kept) if first.shape == kept.shape else np.inf
    if change > TOLERANCE:
        what = "of another dimension" if change == np.inf else f"others: 1 - cosine is up to {change:.2g}"
        raise UsageError(
            f"{embedder.name}: the vectors kept from an earlier run are not this model's: {_some(asked)} embedded "
            f"again, and the new vectors are {what}; weights or other files that the model reads have changed, or its "
            "vectors depend on the batch; start anew with --overwrite"
        )
    return max(noise, change)


def _again(
    embedder: Embedder, samples: Sequence[Sample], dim: int | None
) -> tuple[FloatArray, float, Sequence[Sample]]:
    """Vectors of a few samples, by how much a second call with the same ones differs, and the samples."""
    asked = [samples[row] for row in rows_to_repeat(samples)]
    first = embed_checked(embedder, asked, dim)
    return first, _difference(first, embed_checked(embedder, asked, first.shape[1])), asked


def _difference(a: FloatArray, b: FloatArray) -> float:
    """The largest 1 - cosine of two rows in the same place, of [n, dim] and [n, dim].

    From half the square of the distance of the unit vectors, which loses no digits where they are close.

    >>> _difference(np.float32([[1, 0], [0, 2]]), np.float32([[3, 0], [2, 0]]))
    1.0
    """
    wide = [rows.astype(np.float64) for rows in (a, b)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in wide]
    return float(np.square(unit[0] - unit[1]).sum(axis=1).max() / 2)


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
