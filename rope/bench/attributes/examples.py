"""Samples with the labels of their products, and how products are divided into those learned from and those tested.

Products are numbered in code-point order of their ids and rows stand by domain, product and sample, so that nothing
that is computed depends on the order of rows in a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.attributes.columns import Column
from rope.bench.io.embeddings import DomainEmbeddings, align
from rope.bench.ranking.similarity import Vectors
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import UsageError

__all__ = ["Examples", "LabelledSamples", "deal_folds", "frequent_labels", "gather", "strata_of"]


_FOLDS: Final = 0xF01D
"""Keeps the random keys of folds apart from those of support sets, which have the same seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Samples that are learned from or tested.

    Attributes:
        units: float64 [n, dim], vectors of length 1.
        products: int64 [n], the number of each sample's product.
        targets: bool [n, labels], which labels the product has; exactly one for a column of classes.
    """

    units: FloatArray
    products: IntArray
    targets: BoolArray

    def __len__(self) -> int:
        return len(self.units)

    @property
    def classes(self) -> IntArray:
        """int64 [n], the class of each sample; of use for a column of classes only."""
        classes: IntArray = np.argmax(self.targets, axis=1)
        return classes

    def take(self, rows: IntArray | BoolArray) -> "Examples":
        """The samples at `rows`, in that order."""
        return Examples(self.units[rows], self.products[rows], self.targets[rows])


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSamples:
    """The labelled samples of one split, all domains together.

    Attributes:
        examples: by domain, product and sample.
        domains: the domains there are.
        domain_of: int64 [n], the index in `domains` of each sample.
        targets: bool [products, labels], of each product.
    """

    examples: Examples
    domains: tuple[DomainName, ...]
    domain_of: IntArray
    targets: BoolArray


def frequent_labels(column: Column, products: Sequence[str], at_least: int) -> list[str]:
    """The labels that enough of the products have, in code-point order.

    >>> column = Column("colour", True, {"1": ("red", "blue"), "2": ("red",), "3": ()})
    >>> frequent_labels(column, ["1", "2", "3", "4"], at_least=2)
    ['red']

    Raises:
        UsageError: there are fewer than two classes, or no tag.
    """
    counts: dict[str, int] = {}
    for product in products:
        for label in column.values.get(product, ()):
            counts[label] = counts.get(label, 0) + 1
    kept = sorted(label for label, n in counts.items() if n >= at_least)
    needed, noun = (1, "tags") if column.is_tags else (2, "classes")
    if len(kept) < needed:
        raise UsageError(
            f"the column {column.name!r}: {noun} that at least {at_least} of the products to learn from have: "
            f"{len(kept)} of {len(counts)}, expected at least {needed}; choose another column, or label more products"
        )
    return kept


def gather(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    column: Column,
    known: Sequence[str],
) -> LabelledSamples:
    """Put the labelled samples of a split in order.

    Args:
        embeddings: of each domain, in any order.
        labels: of the split.
        column: what is predicted.
        known: the labels that can be predicted. Products without one are left out, except for those that a column of
            tags knows to have none.

    Raises:
        EmbeddingError: the embeddings are not of these samples, see `rope.bench.io.embeddings.align`.
    """
    aligned = align(dict(embeddings), labels)
    ids = sorted({product for rows in labels.values() for product in rows.product_ids if product in column.values})
    index = {label: i for i, label in enumerate(known)}
    targets = np.zeros((len(ids), len(known)), np.bool_)
    for row, product in enumerate(ids):
        targets[row, [index[label] for label in column.values[product] if label in index]] = True
    kept = np.ones(len(ids), np.bool_)
    if not column.is_tags:
        kept = np.asarray(targets.any(axis=1))
    number = {product: i for i, product in enumerate(ids[row] for row in np.flatnonzero(kept))}
    targets = targets[kept]
    parts = [_examples(aligned[domain], labels[domain], number, targets) for domain in labels]
    return LabelledSamples(
        examples=Examples(
            np.concatenate([part.units for part in parts]),
            np.concatenate([part.products for part in parts]),
            np.concatenate([part.targets for part in parts]),
        ),
        domains=tuple(labels),
        domain_of=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        targets=targets,
    )


def _examples(
    embeddings: DomainEmbeddings, labels: SampleLabels, number: Mapping[str, int], targets: BoolArray
) -> Examples:
    ids = embeddings.sample_ids
    rows = [row for row, product in enumerate(labels.product_ids) if product in number]
    order = sorted(rows, key=lambda row: (number[labels.product_ids[row]], len(ids[row]), ids[row]))
    products = np.array([number[labels.product_ids[row]] for row in order], np.int64)
    vectors = Vectors.of(embeddings.vectors[order])
    return Examples(vectors.raw * vectors.inverse_norms[:, None], products, targets[products])


def strata_of(targets: BoolArray) -> IntArray:
    """What products are dealt by: the rarest label of each, or one past the last label where it has none.

    Args:
        targets: bool [products, labels].

    >>> strata_of(np.array([[1, 1], [1, 0], [0, 0]], bool))
    array([1, 0, 2])
    """
    n_labels = targets.shape[1]
    counts = np.where(targets, targets.sum(axis=0), len(targets) + 1)
    return np.where(targets.any(axis=1), np.argmin(counts, axis=1) if n_labels else 0, n_labels)


def deal_folds(strata: IntArray, n_folds: int, seed: int) -> IntArray:
    """The fold of each product, 0 to `n_folds` - 1.

    The products of a stratum, in random order, go to the folds in turn, and the next stratum goes on where that one
    ended: folds differ in size by at most one product, and a stratum with two products or more is in two folds or more.

    Args:
        strata: int64 [products].
        n_folds: at least 2.
        seed: of the order.

    Returns:
        int64 [products].

    >>> deal_folds(np.array([0, 0, 1, 1, 1]), 2, seed=0)
    array([1, 0, 1, 0, 0])
    """
    keys = np.random.PCG64(np.random.SeedSequence([seed, _FOLDS])).random_raw(len(strata))
    folds = np.empty(len(strata), np.int64)
    folds[np.lexsort((keys, strata))] = np.arange(len(strata)) % n_folds
    return folds
