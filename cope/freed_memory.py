"""What becomes of memory that a step of training has freed."""

import ctypes
import sys
from typing import Final

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Options of glibc's `mallopt`, as in `malloc.h`."""

_KEPT: Final = 2**30
"""Bytes that stay with the process when they are freed."""

_LARGEST: Final = 2**25
"""Bytes of the largest block that is taken from them, the most that glibc allows."""


def keep_freed_memory() -> None:
    """Have this process keep up to 1 GiB of freed memory instead of giving it back to the system.

    By default, the activations of a small model go back to the system with every step, and the next step waits for
    the system to map and clear as many pages again. Larger blocks than 32 MiB, as large models have them, still go
    back. Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
