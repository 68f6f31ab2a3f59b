"""Which rows of each domain belong to which product."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrays import IntArray
from rope.dataset.directory import open_shard, shard_paths
from rope.domain import DomainName, Split, config_of
from rope.errors import DatasetError
from rope.files import AnyPath

__all__ = ["ProductRows", "group_rows", "read_product_rows"]


@dataclass(frozen=True, slots=True)
class ProductRows:
    """The products that have samples in every requested domain, and the rows of these samples.

    Attributes:
        product_ids: of the n products, in canonical order.
        offsets: domain -> int64 [n + 1]; product i has the places `offsets[i]` to `offsets[i + 1]` of `rows`.
        rows: domain -> int64; row numbers in the table of the domain, in canonical order inside a product.
        left_out: ids of the products that lack a domain.
    """

    product_ids: list[str]
    offsets: dict[DomainName, IntArray]
    rows: dict[DomainName, IntArray]
    left_out: list[str]

    def of(self, product: int, domain: DomainName) -> IntArray:
        """The rows of one product, at least one: int64 [n_samples]."""
        start, stop = self.offsets[domain][product : product + 2]
        return self.rows[domain][start:stop]


def read_product_rows(directory: AnyPath, split: Split, domains: Sequence[DomainName]) -> ProductRows:
    """Read the ids and product labels of a split; no text and no image.

    Raises:
        DatasetError: the directory is not a dataset, has no such split, a shard cannot be read, or no product has
            samples in all these domains.
    """
    product_ids = _read_column(directory, "products", split)
    owners = {
        domain: pc.index_in(_read_column(directory, config_of(domain), split), value_set=product_ids)
        for domain in domains
    }
    numbers = {domain: pc.fill_null(owner, -1).to_numpy().astype(np.int64) for domain, owner in owners.items()}
    grouped = group_rows(product_ids.to_pylist(), numbers)
    if not grouped.product_ids:
        raise DatasetError(
            f"{directory}: none of the {len(grouped.left_out)} products of the split {split} has samples in all of the "
            f"domains {', '.join(domains)}; ask for fewer domains"
        )
    return grouped


def group_rows(product_ids: Sequence[str], owners: Mapping[DomainName, IntArray]) -> ProductRows:
    """Group rows by product.

    Args:
        product_ids: of n products.
        owners: domain -> int64 [n_rows], the number of each row's product, or -1 for a row without one.

    >>> grouped = group_rows(["a", "b"], {"page": np.array([1, 0, 1]), "video": np.array([-1, 1])})
    >>> grouped.product_ids, grouped.left_out, grouped.of(0, "page").tolist(), grouped.of(0, "video").tolist()
    (['b'], ['a'], [0, 2], [1])
    """
    n = len(product_ids)
    counts = {domain: np.bincount(owner[owner >= 0], minlength=n) for domain, owner in owners.items()}
    is_complete = np.logical_and.reduce([count > 0 for count in counts.values()])
    offsets, rows = {}, {}
    for domain, owner in owners.items():
        kept = np.flatnonzero((owner >= 0) & is_complete[owner])
        rows[domain] = kept[np.argsort(owner[kept], kind="stable")]
        offsets[domain] = np.concatenate([[0], np.cumsum(counts[domain][is_complete])])
    complete = [product_id for product_id, kept in zip(product_ids, is_complete, strict=True) if kept]
    left_out = [product_id for product_id, kept in zip(product_ids, is_complete, strict=True) if not kept]
    return ProductRows(complete, offsets, rows, left_out)


def _read_column(directory: AnyPath, config: str, split: Split) -> pa.Array:
    """The product ids of all shards of a configuration and split, as one array."""
    pieces: list[pa.Array] = []
    for path in shard_paths(directory, config, split):
        with open_shard(path) as shard:
            pieces += shard.read(columns=["product_id"])["product_id"].chunks
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.string())
