"""Fault injection: a run that is struck on purpose must end with the bytes of an undisturbed run.

Whether a task is struck follows from the seed, the task and the number of the attempt, so a run can be repeated. No
task is struck in its third attempt or later, so that a struck one is never taken for one that cannot be done.
"""

import errno
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from rope.files import AnyPath

__all__ = [
    "CALM_ATTEMPT",
    "FAULTS",
    "Fault",
    "FaultInjection",
    "InjectedError",
    "strike_after",
    "strike_before",
    "strike_writing",
]

Fault = Literal["raise", "segfault", "hang", "kill", "full_disk", "torn", "flipped"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
"""In a task before it begins: an exception, SIGSEGV, a hang, SIGKILL; while it writes: ENOSPC; and after it has
written: a file that ends too early or has a wrong byte, as after a power cut."""

CALM_ATTEMPT: Final = 2
"""The first attempt that is never struck."""

_BEFORE: Final = frozenset({"raise", "segfault", "hang", "kill"})


class InjectedError(Exception):
    """The exception that fault injection raises."""


@dataclass(frozen=True, slots=True)
class FaultInjection:
    """Which faults are injected, how often, and by which seed.

    Attributes:
        seed: of the strikes.
        rate: chance that an attempt at a task is struck.
        faults: what may strike, each with the same chance.
    """

    seed: int
    rate: float = 0.3
    faults: tuple[Fault, ...] = FAULTS

    def draw(self, task: str, attempt: int) -> Fault | None:
        """What strikes an attempt at a task.

        >>> FaultInjection(seed=1, rate=1.0, faults=("kill",)).draw("decode/00000", 0)
        'kill'
        >>> FaultInjection(seed=1, rate=1.0).draw("decode/00000", CALM_ATTEMPT) is None
        True
        """
        if attempt >= CALM_ATTEMPT:
            return None
        digest = hashlib.blake2b(f"{self.seed}|{task}|{attempt}".encode(), digest_size=16).digest()
        if int.from_bytes(digest[:8], "big") >= self.rate * 2**64:
            return None
        return self.faults[int.from_bytes(digest[8:], "big") % len(self.faults)]


def strike_before(fault: Fault | None) -> None:
    """Carry out a fault of the time before a task begins; nothing for the others.

    Raises:
        InjectedError: the fault is `raise`.
    """
    if fault not in _BEFORE:
        return
    if fault == "raise":
        raise InjectedError("raised by fault injection")
    if fault == "hang":
        time.sleep(3600)
    os.kill(os.getpid(), signal.SIGSEGV if fault == "segfault" else signal.SIGKILL)


def strike_writing(fault: Fault | None, path: Path) -> None:
    """Let the disk be full while `path` is written.

    Raises:
        OSError: the fault is `full_disk`.
    """
    if fault == "full_disk":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def strike_after(fault: Fault | None, path: AnyPath) -> None:
    """Damage a file that was written: cut it in half, or flip one bit in its middle."""
    if fault not in ("torn", "flipped"):
        return
    whole = path.read_bytes()
    middle = len(whole) // 2
    if fault == "torn":
        path.write_bytes(whole[:middle])
    elif fault == "flipped":
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
