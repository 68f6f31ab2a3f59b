"""Every random decision of a feed, as a pure function of a seed, an epoch and an id.

Nothing here has a state, so the decision about one product or sample depends on no other, and can be made again by any
process at any time.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["hash64", "shuffled"]


def hash64(purpose: str, seed: int, epoch: int, item: str) -> int:
    """A number from 0 to 2**64 - 1 that looks drawn at random: BLAKE2b of the arguments.

    Args:
        purpose: one word that names the decision, so that different decisions about an item are independent.
        seed: of the run.
        epoch: from 0.
        item: an id; any text.

    >>> hash64("order", 0, 0, "a"), hash64("order", 0, 1, "a")
    (9004471239598193981, 1095706741837282283)
    """
    message = f"{purpose} {seed} {epoch}\n{item}".encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "little")


def shuffled(purpose: str, seed: int, epoch: int, items: Sequence[str]) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits distinct items: their indices, int64 [n], sorted by `hash64`.

    Of two items the same one comes first whatever other items there are.

    >>> order = shuffled("order", 0, 3, ["a", "b", "c", "d"])
    >>> sorted(order.tolist())
    [0, 1, 2, 3]
    """
    hashes = np.fromiter((hash64(purpose, seed, epoch, item) for item in items), np.uint64, len(items))
    return np.argsort(hashes, kind="stable")
