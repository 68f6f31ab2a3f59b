"""The options of commands that say how to spend the machine.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from rope.errors import UsageError
from rope.extras import needed_by

if TYPE_CHECKING:
    from rope.bench.ranking.engine import ComputeSettings

__all__ = ["Device", "Memory", "Threads", "read_compute"]

Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory for similarity blocks besides the vectors, and as much again for positives: bytes, or 256M.",
        show_default="256M, 8G on an accelerator",
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, or an accelerator as torch names it, e.g. cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Worker threads.", show_default="one a processor")]


def read_compute(memory: str | None, threads: int | None, device: str) -> "ComputeSettings":
    """The compute settings that the options of a command describe.

    Raises:
        UsageError: `memory` is not a size, or torch is not there or cannot use the device.
    """
    from rope.bench.ranking.engine import ComputeSettings
    from rope.console import parse_bytes

    if device != "cpu":
        with needed_by(f"--device {device}", "torch"):
            from rope.bench.ranking.torch_backend import OnDevice

        try:
            OnDevice(device)
        except (RuntimeError, AssertionError) as error:  # torch's ways of saying that it has no such device
            raise UsageError(f"--device {device}: torch cannot use it here: {str(error).splitlines()[0]}") from error
    return ComputeSettings(None if memory is None else parse_bytes(memory, "--memory"), threads, device=device)
