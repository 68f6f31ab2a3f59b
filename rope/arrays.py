"""Types of arrays by their numbers; shapes are in the docstrings of what has them."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BitArray", "BoolArray", "Float32Array", "FloatArray", "IntArray", "StringArray"]

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
BitArray: TypeAlias = npt.NDArray[np.uint64]
StringArray: TypeAlias = npt.NDArray[np.str_]
