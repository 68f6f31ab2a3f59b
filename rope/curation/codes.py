"""Numbers for strings, so that millions of rows need no Python string each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.curation.pipeline.ids import as_strings
from rope.errors import UsageError

__all__ = ["coded", "coded_in_order", "joined_words"]


def coded(values: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Distinct strings in any order, and the place of each value among them.

    Args:
        values: strings, plain or dictionary-encoded, none null.
    """
    chunked = pa.chunked_array([values]) if isinstance(values, pa.Array) else values
    if not pa.types.is_dictionary(chunked.type):
        chunked = chunked.dictionary_encode()
    chunks = chunked.unify_dictionaries().chunks
    names = chunks[0].dictionary if chunks else pa.array([], pa.string())
    places = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in chunks]
    return names, np.concatenate([np.empty(0, np.int64), *places], dtype=np.int64)


def joined_words(rows: pa.Table, columns: Sequence[str], stage: str) -> pa.ChunkedArray:
    """One word for the values of some columns of each row, such as a stratum; null values are empty.

    >>> rows = pa.table({"category": ["cup", None], "premium": [True, None]})
    >>> joined_words(rows, ["category", "premium"], "sample").to_pylist()
    ['cup / True', ' / ']

    Raises:
        UsageError: the column does not exist.
    """
    if missing := [name for name in columns if name not in rows.column_names]:
        raise UsageError(f"{stage}: no column {missing[0]!r}; the rows have {', '.join(rows.column_names)}")
    words = [pc.fill_null(as_strings(rows[name]), "") for name in columns]
    if not words:
        return pa.chunked_array([pa.array([""] * len(rows), pa.string())])
    return pa.chunked_array([words[0] if len(words) == 1 else pc.binary_join_element_wise(*words, " / ")])


def coded_in_order(values: pa.Array | pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Distinct strings, ascending, and the place of each value among them.

    >>> names, places = coded_in_order(pa.array(["b", "a", "b"]))
    >>> names, places.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    names, places = coded(values)
    order = pc.sort_indices(names)
    rank = np.empty(len(names), np.int64)
    rank[order.to_numpy()] = np.arange(len(names))
    return names.take(order).to_pylist(), rank[places]
