"""Vectors with their ids: put in the order of a dataset's labels, checked, and named by a hash."""

import hashlib
import heapq
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rope.arrays import IntArray
from rope.bench.ragged import rows_of_items, taken
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import EmbeddingError, UsageError

__all__ = ["DomainEmbeddings", "MadeOn", "Missing", "align", "cut", "embeddings_sha256", "one_vector_each", "scaled"]

Missing = Literal["refuse", "given", "last"]
"""What to do with samples that have no vector: refuse the embeddings; let those pass that are listed without one; or
let all pass, listed or not. They are ranked last, see docs/protocol.md."""


_log: Final = logging.getLogger(__name__)

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
        sample_ids: the ids of n samples.
        vectors: float32 [n, dim], C-contiguous; with `offsets` [m, dim].
        stored_dtype: the type that the numbers had in the file, such as `float16`.
        n_duplicates_dropped: rows left out because they repeated another row exactly.
        made_on: what the rows were embedded from, as far as their files say.
        offsets: int64 [n + 1] where samples have any number of vectors: those of sample i are the rows
            `offsets[i]:offsets[i + 1]`, none where the model has no vector for it. None where each sample has one.
        queries: the same samples, in the same order, as queries; None where a sample has the same vectors as a query
            and as a part of a gallery.

    Raises:
        ValueError: `vectors` is of another type, layout or length, or the queries are of other samples.
    """

    sample_ids: list[str]
    vectors: npt.NDArray[np.float32]
    stored_dtype: str
    n_duplicates_dropped: int = 0
    made_on: frozenset[MadeOn] = frozenset()
    offsets: IntArray | None = None
    queries: "DomainEmbeddings | None" = None

    def __post_init__(self) -> None:
        array, offsets = self.vectors, self.offsets
        if array.dtype != np.float32 or array.ndim != 2 or not array.flags.c_contiguous:
            raise ValueError(f"vectors must be C-contiguous float32 [n, dim], got {array.dtype} {array.shape}")
        n = len(array) if offsets is None else len(offsets) - 1
        if n != len(self.sample_ids):
            raise ValueError(f"got {len(self.sample_ids)} ids for {n} vectors")
        if offsets is not None and (offsets[0] != 0 or offsets[-1] != len(array) or np.any(np.diff(offsets) < 0)):
            raise ValueError(f"offsets must ascend from 0 to {len(array)}, the number of vectors")
        if self.queries is not None and self.queries.sample_ids != self.sample_ids:
            raise ValueError("the queries are not of the same samples")

    @property
    def n_without_vector(self) -> int:
        """Samples that have no vector in one of their roles."""
        return int(np.count_nonzero(self._is_without()))

    def _is_without(self) -> npt.NDArray[np.bool_]:
        """Bool [n]."""
        own = np.zeros(len(self.sample_ids), np.bool_) if self.offsets is None else np.diff(self.offsets) == 0
        return own if self.queries is None else own | self.queries._is_without()

    def take(self, rows: IntArray, sample_ids: list[str] | None = None) -> "DomainEmbeddings":
        """The samples at `rows`, in that order.

        Args:
            rows: int64; -1 stands for a sample that is not there, which gets no vector.
            sample_ids: of these rows; needed where one is -1.
        """
        ids = [self.sample_ids[row] for row in rows] if sample_ids is None else list(sample_ids)
        queries = None if self.queries is None else self.queries.take(rows, ids)
        if self.offsets is None and not np.any(rows < 0):
            return replace(self, sample_ids=ids, vectors=self.vectors[rows], queries=queries)
        offsets = np.arange(len(self.vectors) + 1) if self.offsets is None else self.offsets
        vectors, kept = taken(self.vectors, np.append(offsets, offsets[-1]), rows)  # the last is that of row -1
        return replace(self, sample_ids=ids, vectors=vectors, offsets=kept, queries=queries)

    def simplified(self) -> "DomainEmbeddings":
        """The same, without offsets where each sample has one vector."""
        if self.offsets is None and self.queries is None:
            return self
        queries = None if self.queries is None else self.queries.simplified()
        has_one_each = self.offsets is None or bool(np.all(np.diff(self.offsets) == 1))
        return replace(self, offsets=None if has_one_each else self.offsets, queries=queries)


def align(
    embeddings: dict[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    missing: Missing = "refuse",
) -> dict[DomainName, DomainEmbeddings]:
    """Put the vectors of every domain in the order of its labels.

    Every function that takes vectors and labels in memory calls this one, so that ids meet before numbers do.

    `embeddings` is emptied domain by domain, so that at most one domain is in memory twice; it is left as it was
    when an error is raised. Vectors that are in order already are not copied.

    Args:
        embeddings: rows in any order.
        labels: the sample ids wanted of each domain, and their order.
        missing: whether samples may be without a vector; they come with an empty run of `offsets`.

    Raises:
        EmbeddingError: lists everything that is wrong, each kind with its count and first offenders: a domain is
            missing or has dimension 0, dimensions differ between domains or roles, ids are missing, unknown or
            repeated, rows hold NaN or infinity, or are zero and so have no direction; or no sample of a domain has a
            vector.
    """
    there = {domain: embeddings[domain] for domain in labels if domain in embeddings}
    problems = _dimension_problems(there)
    if there and missing != "refuse" and not any(len(rows.vectors) for rows in there.values()):
        problems.append("no sample of any domain has a vector")
    if len({given.queries is None for given in there.values()}) > 1:
        problems.append("only some domains have their own vectors for queries")
    for domain, wanted in labels.items():
        if domain in embeddings:
            problems += [f"{domain}: {text}" for text in _problems(embeddings[domain], wanted.sample_ids, missing)]
        else:
            problems.append(f"{domain}: no embeddings for any of its {len(wanted.sample_ids)} samples")
    if problems:
        raise EmbeddingError("the embeddings do not fit the dataset:\n" + "\n".join(f"  {p}" for p in problems))
    dim = max(rows.vectors.shape[1] for rows in there.values())
    return {domain: _reorder(embeddings.pop(domain), wanted.sample_ids, dim) for domain, wanted in labels.items()}


def one_vector_each(
    embeddings: dict[DomainName, DomainEmbeddings], what: str = "this command"
) -> dict[DomainName, DomainEmbeddings]:
    """The same where each sample has one vector, for what can work with nothing else.

    Of vectors with roles those of the gallery are taken, and a warning is logged.

    Raises:
        EmbeddingError: samples have many vectors or none; they are never averaged.
    """
    for domain, rows in embeddings.items():
        if rows.offsets is not None:
            lengths = np.diff(rows.offsets)
            odd = int(np.flatnonzero(lengths != 1)[0]) if (lengths != 1).any() else 0
            raise EmbeddingError(
                f"{domain} {rows.sample_ids[odd]!r} has {lengths[odd]} vectors, and {what} takes one of each sample; "
                "only score, run and evaluate take another number"
            )
    if any(rows.queries is not None for rows in embeddings.values()):
        _log.warning("%s takes the vectors that samples have in a gallery, and leaves those of queries alone", what)
    return {domain: replace(rows, queries=None) for domain, rows in embeddings.items()}


def cut(embeddings: DomainEmbeddings, dims: int, domain: DomainName) -> DomainEmbeddings:
    """The first `dims` numbers of each vector, as Matryoshka models are trained for; their length is left as it is.

    Raises:
        UsageError: the vectors have no more than `dims` numbers.
        EmbeddingError: only zeros are left of a vector.
    """
    if not 1 <= dims < embeddings.vectors.shape[1]:
        raise UsageError(f"--dims {dims}: the vectors have {embeddings.vectors.shape[1]} dimensions, expected fewer")
    kept = np.ascontiguousarray(embeddings.vectors[:, :dims])
    empty = np.flatnonzero(~kept.any(axis=1))
    if len(empty):
        offsets = np.arange(len(kept) + 1) if embeddings.offsets is None else embeddings.offsets
        first = embeddings.sample_ids[int(np.searchsorted(offsets, empty[0], side="right")) - 1]
        raise EmbeddingError(
            f"--dims {dims}: {len(empty)} {domain}s have only zeros there, {first!r} the first; keep more dimensions"
        )
    queries = None if embeddings.queries is None else cut(embeddings.queries, dims, domain)
    return replace(embeddings, vectors=kept, queries=queries)


def embeddings_sha256(embeddings: DomainEmbeddings) -> str:
    """SHA-256, in hex, of the ids and vectors of one domain.

    The order of rows, the file format and a wider or narrower type that holds the same values do not change it.
    The hashed bytes, all integers unsigned and little-endian:

    1. the number of rows and the dimension, 8 bytes each;
    2. for each row, in code-point order of the ids: the length of the id's UTF-8 in 4 bytes, then the UTF-8;
    3. for each row, in the same order: its numbers as little-endian IEEE 754 float32.

    Where samples have any number of vectors, the number of vectors stands after the two numbers, and that of each
    sample in 8 bytes after its id. Where they have others as queries, the hash is that of two hashes in hex, of the
    gallery's vectors and of the queries', side by side.

    >>> forward = DomainEmbeddings(["a", "b"], np.array([[1, 0], [0, 1]], np.float32), "float32")
    >>> backward = DomainEmbeddings(["b", "a"], np.array([[0, 1], [1, 0]], np.float32), "float16")
    >>> embeddings_sha256(forward) == embeddings_sha256(backward)
    True
    """
    if embeddings.queries is not None:
        both = embeddings_sha256(replace(embeddings, queries=None)) + embeddings_sha256(embeddings.queries)
        return hashlib.sha256(both.encode()).hexdigest()
    ids, vectors, offsets = embeddings.sample_ids, embeddings.vectors, embeddings.offsets
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.intp)
    sizes = vectors.shape if offsets is None else (len(ids), vectors.shape[1], len(vectors))
    digest = hashlib.sha256(np.array(sizes, "<u8").tobytes())
    encoded = [ids[i].encode() for i in order.tolist()]
    # In one call, as 100,000 short ones take longer than the vectors.
    n_vectors = [b""] * len(ids) if offsets is None else [n.tobytes() for n in np.diff(offsets)[order].astype("<u8")]
    digest.update(
        b"".join(len(text).to_bytes(4, "little") + text + n for text, n in zip(encoded, n_vectors, strict=True))
    )
    rows = order if offsets is None else rows_of_items(offsets, order)
    for start in range(0, len(rows), _ROWS_A_BLOCK):
        digest.update(vectors[rows[start : start + _ROWS_A_BLOCK]].astype("<f4", copy=False).tobytes())
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


def _reorder(embeddings: DomainEmbeddings, wanted: list[str], dim: int) -> DomainEmbeddings:
    """In the order of `wanted`; what is not there gets no vector, and no vectors at all get the dimension of others."""
    if not len(embeddings.vectors) and embeddings.vectors.shape[1] != dim:
        embeddings = replace(embeddings, vectors=np.zeros((0, dim), np.float32))
    if embeddings.sample_ids != wanted:
        row_of = {sample_id: row for row, sample_id in enumerate(embeddings.sample_ids)}
        embeddings = embeddings.take(np.array([row_of.get(sample_id, -1) for sample_id in wanted], np.int64), wanted)
    return embeddings.simplified()


def _dimension_problems(embeddings: Mapping[DomainName, DomainEmbeddings]) -> list[str]:
    roles = {
        f"{domain}{role}": rows.vectors.shape[1]
        for domain, given in embeddings.items()
        for role, rows in (("", given), (" as a query", given.queries))
        if rows is not None and (rows.offsets is None or len(rows.vectors))
    }
    problems = [f"{name}: the vectors have dimension 0" for name, dim in roles.items() if dim == 0]
    if len(set(roles.values())) > 1:
        listed = ", ".join(f"{name} {dim}" for name, dim in roles.items())
        problems.append(f"the dimension differs between domains: {listed}")
    return problems


def _problems(embeddings: DomainEmbeddings, wanted: list[str], missing: Missing) -> list[str]:
    """Everything wrong with one domain but its dimension, a line each."""
    ids = embeddings.sample_ids
    given, expected = set(ids), set(wanted)
    repeated = [sample_id for sample_id, n in Counter(ids).items() if n > 1] if len(given) < len(ids) else []
    found: dict[str, Collection[str]] = {
        "without an embedding": expected - given if missing != "last" else (),
        "with an embedding that the dataset does not have": given - expected,
        "with more than one embedding": repeated,
    }
    problems = [_listing(what, offenders) for what, offenders in found.items() if offenders]
    for role, rows in (("", embeddings), (" as a query", embeddings.queries)):
        if rows is not None:
            problems += _value_problems(rows, role, missing)
    return problems


def _value_problems(rows: DomainEmbeddings, role: str, missing: Missing) -> list[str]:
    """What is wrong with the numbers of one role."""
    ids, offsets = rows.sample_ids, rows.offsets
    owner = None if offsets is None else np.repeat(np.arange(len(ids)), np.diff(offsets))
    not_finite, zero = ({ids[row if owner is None else owner[row]] for row in bad} for bad in _bad_rows(rows.vectors))
    none = [] if offsets is None or missing != "refuse" else [ids[i] for i in np.flatnonzero(np.diff(offsets) == 0)]
    found: dict[str, Collection[str]] = {
        f"without a vector{role}; --missing last ranks them last": none,
        f"with NaN or infinity in the embedding{role}": not_finite,
        f"with an embedding{role} of zeros, which has no direction": zero,
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
    """Say how many samples have a fault, and which: the same ones regardless of the order of the rows.

    >>> _listing("without an embedding", ["10", "9", "8"])
    "3 samples without an embedding: '8', '9', '10'"
    """
    first = heapq.nsmallest(_SHOWN, offenders, key=lambda sample_id: (len(sample_id), sample_id))
    more = ", …" if len(offenders) > _SHOWN else ""
    noun = "sample" if len(offenders) == 1 else "samples"
    return f"{len(offenders)} {noun} {what}: {', '.join(map(repr, first))}{more}"
