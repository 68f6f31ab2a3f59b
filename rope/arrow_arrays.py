"""Numbers and texts to and from Arrow, without pandas.

Arrow's own `pa.array` and `to_numpy` import pandas where that is installed, which takes longer than to score a small
dataset.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["from_numpy", "from_texts", "to_numpy"]


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """The numbers of an array without nulls, [n] in their own type; read-only, and not copied.

    What is neither an integer nor a float is left to Arrow.
    """
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return np.from_dlpack(array)
    found: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found


def from_numpy(values: npt.NDArray[Any]) -> pa.Array:
    """An array of integers or floats [n], copied only where they do not lie side by side.

    >>> from_numpy(np.arange(6)[::2]).to_pylist()
    [0, 2, 4]
    """
    numbers = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, pa.py_buffer(numbers)])


def from_texts(texts: Sequence[str]) -> pa.StringArray:
    """An array of strings, of less than 2 GiB in all.

    >>> from_texts(["", "杯子", "a"]).to_pylist()
    ['', '杯子', 'a']
    """
    joined = "".join(texts)
    stored = joined.encode("utf-8")
    # Of ASCII alone, texts are as long as their bytes; encoding each would take several times as long.
    lengths = map(len, texts) if len(stored) == len(joined) else (len(text.encode("utf-8")) for text in texts)
    ends = np.fromiter(accumulate(lengths, initial=0), np.int32, len(texts) + 1)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(stored))
