"""Vectors with their ids: put in the order of a dataset's labels, checked, and named by a hash."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import EmbeddingError

__all__ = ["DomainEmbeddings", "MadeOn", "align", "embeddings_sha256", "scaled"]

_SHOWN: Final = 5
"""Offenders named of each kind of problem."""

_ROWS_A_BLOCK: Final = 4096
"""Rows looked at in one go, so that no temporary array grows with the number of samples."""


@dataclass(frozen=True, slots=True)
class MadeOn:
    """The split that a model embedded, as `rope-bench run` notes it in its file.

    Attributes:
        dataset: fingerprint of the dataset.
        files: `Manifest.files_digest` of the split, which tells images apart; None in a file of an older version.
    """

    dataset: str
    files: str | None


@dataclass(frozen=True, slots=True, eq=False)
class DomainEmbeddings:
    """The vectors of one domain.

    Attributes:
        sample_ids: the id of each row.
        vectors: float32 [n, dim], C-contiguous.
        stored_dtype: the type that the numbers had in the file, such as `float16`.
        n_duplicates_dropped: rows left out because they repeated another row exactly.
        made_on: what the rows were embedded from, as far as their files say.

    Raises:
        ValueError: `vectors` is of another type, layout or length.
    """

    sample_ids: list[str]
    vectors: npt.NDArray[np.float32]
    stored_dtype: str
    n_duplicates_dropped: int = 0
    made_on: frozenset[MadeOn] = frozenset()

    def __post_init__(self) -> None:
        array = self.vectors
        if array.dtype != np.float32 or array.ndim != 2 or not array.flags.c_contiguous:
            raise ValueError(f"vectors must be C-contiguous float32 [n, dim], got {array.dtype} {array.shape}")
        if len(array) != len(self.sample_ids):
            raise ValueError(f"got {len(self.sample_ids)} ids for {len(array)} vectors")


def align(
    embeddings: dict[DomainName, DomainEmbeddings], labels: Mapping[DomainName, SampleLabels]
) -> dict[DomainName, DomainEmbeddings]:
    """Put the vectors of every domain in the order of its labels.

    Every function that takes vectors and labels in memory calls this one, so that ids meet before numbers do.

    `embeddings` is emptied domain by domain, so that at most one domain is in memory twice; it is left as it was
    when an error is raised. Vectors that are in order already are not copied.

    Args:
        embeddings: rows in any order.
        labels: the sample ids wanted of each domain, and their order.

    Raises:
        EmbeddingError: lists everything that is wrong, each kind with its count and first offenders: a domain is
            missing or has dimension 0, dimensions differ between domains, ids are missing, unknown or repeated,
            rows hold NaN or infinity, or are zero and so have no direction.
    """
    problems = _dimension_problems({domain: embeddings[domain] for domain in labels if domain in embeddings})
    for domain, wanted in labels.items():
        if domain in embeddings:
            problems += [f"{domain}: {text}" for text in _problems(embeddings[domain], wanted.sample_ids)]
        else:
            problems.append(f"{domain}: no embeddings for any of its {len(wanted.sample_ids)} samples")
    if problems:
        raise EmbeddingError("the embeddings do not fit the dataset:\n" + "\n".join(f"  {p}" for p in problems))
    return {domain: _reorder(embeddings.pop(domain), wanted.sample_ids) for domain, wanted in labels.items()}


def embeddings_sha256(embeddings: DomainEmbeddings) -> str:
    """SHA-256, in hex, of the ids and vectors of one domain.

    The order of rows, the file format and a wider or narrower type that holds the same values do not change it.
    The hashed bytes, all integers unsigned and little-endian:

    1. the number of rows and the dimension, 8 bytes each;
    2. for each row, in code-point order of the ids: the length of the id's UTF-8 in 4 bytes, then the UTF-8;
    3. for each row, in the same order: its numbers as little-endian IEEE 754 float32.

    >>> forward = DomainEmbeddings(["a", "b"], np.array([[1, 0], [0, 1]], np.float32), "float32")
    >>> backward = DomainEmbeddings(["b", "a"], np.array([[0, 1], [1, 0]], np.float32), "float16")
    >>> embeddings_sha256(forward) == embeddings_sha256(backward)
    True
    """
    ids, vectors = embeddings.sample_ids, embeddings.vectors
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.intp)
    digest = hashlib.sha256(np.array(vectors.shape, "<u8").tobytes())
    for i in order:
        encoded = ids[i].encode()
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    for start in range(0, len(order), _ROWS_A_BLOCK):
        digest.update(vectors[order[start : start + _ROWS_A_BLOCK]].astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def scaled(numbers: npt.NDArray[Any], scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors that are stored as int8, as float32 [n, dim]: the same bits on every machine.

    Args:
        numbers: int8 [n, dim], exact in float32.
        scales: float32 [n]; each number is multiplied by the scale of its row, and the product rounded once.

    >>> scaled(np.array([[127, -1]], np.int8), np.array([0.5], np.float32))
    array([[63.5, -0.5]], dtype=float32)
    """
    with np.errstate(over="ignore"):  # infinity is refused by `align`
        vectors: npt.NDArray[np.float32] = np.multiply(numbers, scales[:, None], dtype=np.float32)
    return vectors


def _reorder(embeddings: DomainEmbeddings, wanted: list[str]) -> DomainEmbeddings:
    if embeddings.sample_ids == wanted:
        return embeddings
    row_of = {sample_id: row for row, sample_id in enumerate(embeddings.sample_ids)}
    order = np.array([row_of[sample_id] for sample_id in wanted], np.intp)
    return replace(embeddings, sample_ids=list(wanted), vectors=embeddings.vectors[order])


def _dimension_problems(embeddings: Mapping[DomainName, DomainEmbeddings]) -> list[str]:
    dims = {domain: given.vectors.shape[1] for domain, given in embeddings.items()}
    problems = [f"{domain}: the vectors have dimension 0" for domain, dim in dims.items() if dim == 0]
    if len(set(dims.values())) > 1:
        listed = ", ".join(f"{domain} {dim}" for domain, dim in dims.items())
        problems.append(f"the dimension differs between domains: {listed}")
    return problems


def _problems(embeddings: DomainEmbeddings, wanted: list[str]) -> list[str]:
    """Everything wrong with one domain but its dimension, a line each."""
    ids = embeddings.sample_ids
    given, expected = set(ids), set(wanted)
    repeated = [sample_id for sample_id, n in Counter(ids).items() if n > 1] if len(given) < len(ids) else []
    not_finite, zero = _bad_rows(embeddings.vectors)
    found: dict[str, Collection[str]] = {
        "without an embedding": expected - given,
        "with an embedding that the dataset does not have": given - expected,
        "with more than one embedding": repeated,
        "with NaN or infinity in the embedding": {ids[row] for row in not_finite},
        "with an embedding of zeros, which has no direction": {ids[row] for row in zero},
    }
    return [_listing(what, offenders) for what, offenders in found.items() if offenders]


def _bad_rows(vectors: npt.NDArray[np.float32]) -> tuple[list[int], list[int]]:
    """Rows that are not finite, and rows of zeros only; a row without columns is neither."""
    not_finite: list[int] = []
    zero: list[int] = []
    if vectors.shape[1] == 0:
        return not_finite, zero
    for start in range(0, len(vectors), _ROWS_A_BLOCK):
        block = vectors[start : start + _ROWS_A_BLOCK]
        not_finite += (start + np.flatnonzero(~np.isfinite(block).all(axis=1))).tolist()
        zero += (start + np.flatnonzero(~block.any(axis=1))).tolist()
    return not_finite, zero


def _listing(what: str, offenders: Collection[str]) -> str:
    """Say how many samples have a fault, and which: the same ones whatever the order of the rows.

    >>> _listing("without an embedding", ["10", "9", "8"])
    "3 samples without an embedding: '8', '9', '10'"
    """
    first = heapq.nsmallest(_SHOWN, offenders, key=lambda sample_id: (len(sample_id), sample_id))
    more = ", …" if len(offenders) > _SHOWN else ""
    noun = "sample" if len(offenders) == 1 else "samples"
    return f"{len(offenders)} {noun} {what}: {', '.join(map(repr, first))}{more}"
