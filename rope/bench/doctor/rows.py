"""Which rows of a domain can be looked at, and what is wrong with the others."""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray
from rope.bench.doctor.geometry import Norms, measure_norms
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.ranking.engine import Labelled
from rope.bench.ranking.similarity import Vectors
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName

__all__ = ["RowFault", "RowReport", "UsableRows", "number_products", "sort_out"]

SHOWN: Final = 5
"""Samples named of each kind of fault."""

_ROWS_A_BLOCK: Final = 4096
"""Rows looked at in one go, so that no temporary array grows with the number of samples."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """The samples that have one kind of fault: how many, and the first few.

    Attributes:
        count: how many.
        examples: up to five of their ids, shortest first, then in code-point order.
    """

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowReport:
    """The rows of one domain against its labels.

    Attributes:
        n_expected: samples of the domain in the split.
        n_given: rows of the embeddings.
        n_usable: samples with exactly one row, finite and not zero: those used for the diagnosis.
        dim: dimension of the vectors, 0 where there is none.
        missing: samples without a row.
        unknown: ids that the split does not have.
        repeated: samples with more than one row. Which is the right one cannot be known, so none is used.
        not_finite: samples whose row holds NaN or infinity.
        zero: samples whose row is zero, and so has no direction.
        copies: usable samples whose row equals that of another sample exactly.
        copies_across_products: those of them that equal the row of another product.
        norms: of the usable rows; None where there is none.
    """

    n_expected: int
    n_given: int
    n_usable: int
    dim: int
    missing: RowFault
    unknown: RowFault
    repeated: RowFault
    not_finite: RowFault
    zero: RowFault
    copies: RowFault
    copies_across_products: RowFault
    norms: Norms | None


@dataclass(frozen=True, slots=True, eq=False)
class UsableRows:
    """The usable rows of one domain, by product.

    Attributes:
        labelled: the vectors and product numbers.
        sample_ids: the id of each.
    """

    labelled: Labelled
    sample_ids: list[str]


def number_products(labels: Mapping[DomainName, SampleLabels]) -> dict[str, int]:
    """Number the products of all domains alike, in the order of their ids."""
    ids = {product for of_domain in labels.values() for product in of_domain.product_ids}
    return {product: i for i, product in enumerate(sorted(ids))}


def sort_out(
    embeddings: DomainEmbeddings | None, labels: SampleLabels, number: Mapping[str, int]
) -> tuple[RowReport, UsableRows | None]:
    """Match the rows of one domain with its labels, and set apart those that cannot be compared.

    Args:
        embeddings: rows in any order; None where the domain has none.
        labels: the samples of the domain in the split.
        number: of each product, from `number_products`.

    Returns:
        What was found, and the usable rows ordered by product and then by sample id, or None if there are none.
    """
    if embeddings is None:
        embeddings = DomainEmbeddings([], np.empty((0, 0), np.float32), "none")
    ids, vectors = embeddings.sample_ids, embeddings.vectors
    product_of = dict(zip(labels.sample_ids, labels.product_ids, strict=True))
    times = Counter(ids)
    finite, zero = _finite_rows(vectors), _zero_rows(vectors)
    once = np.array([sample_id in product_of and times[sample_id] == 1 for sample_id in ids], np.bool_)
    usable = sorted(np.flatnonzero(once & finite & ~zero), key=lambda row: (number[product_of[ids[row]]], ids[row]))
    kept, kept_ids = vectors[np.array(usable, np.intp)], [ids[row] for row in usable]
    copies, across = _copies(kept, kept_ids, product_of)
    report = RowReport(
        n_expected=len(product_of),
        n_given=len(ids),
        n_usable=len(kept),
        dim=vectors.shape[1],
        missing=_fault(product_of.keys() - times.keys()),
        unknown=_fault(times.keys() - product_of.keys()),
        repeated=_fault({sample_id for sample_id, n in times.items() if n > 1}),
        not_finite=_fault({ids[row] for row in np.flatnonzero(~finite)}),
        zero=_fault({ids[row] for row in np.flatnonzero(zero)}),
        copies=_fault(copies),
        copies_across_products=_fault(across),
        norms=measure_norms(kept) if kept_ids else None,
    )
    if not kept_ids:
        return report, None
    products = np.array([number[product_of[sample_id]] for sample_id in kept_ids], np.int64)
    return report, UsableRows(Labelled(Vectors.of(kept), products), kept_ids)


def _fault(ids: Collection[str]) -> RowFault:
    """Count the samples and name the first few: the same ones regardless of the order of the rows.

    >>> _fault({"10", "9", "8"})
    RowFault(count=3, examples=('8', '9', '10'))
    """
    return RowFault(len(ids), tuple(heapq.nsmallest(SHOWN, ids, key=lambda sample_id: (len(sample_id), sample_id))))


def _finite_rows(vectors: npt.NDArray[np.float32]) -> BoolArray:
    finite = np.ones(len(vectors), np.bool_)
    for start in range(0, len(vectors), _ROWS_A_BLOCK):
        rows = slice(start, start + _ROWS_A_BLOCK)
        finite[rows] = np.isfinite(vectors[rows]).all(axis=1)
    return finite


def _zero_rows(vectors: npt.NDArray[np.float32]) -> BoolArray:
    """Rows of zeros only; a row without columns is one."""
    return np.logical_not(vectors.any(axis=1))


def _copies(
    vectors: npt.NDArray[np.float32], ids: list[str], product_of: Mapping[str, str]
) -> tuple[set[str], set[str]]:
    """The samples whose rows equal another's, and those whose rows equal one of another product."""
    groups: dict[bytes, list[str]] = defaultdict(list)
    for sample_id, row in zip(ids, vectors, strict=True):
        plain = row + np.float32(0)  # -0 becomes 0
        groups[hashlib.blake2b(plain.tobytes(), digest_size=16).digest()].append(sample_id)
    shared = [group for group in groups.values() if len(group) > 1]
    copies = {sample_id for group in shared for sample_id in group}
    across = {sample_id for group in shared if len({product_of[i] for i in group}) > 1 for sample_id in group}
    return copies, across
