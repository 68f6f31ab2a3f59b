"""The shares of a run as processes of this machine, one a GPU or as many as asked for, with one bar for all."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Final

from rope.errors import MissingExtraError, RopeError, UsageError

__all__ = ["read_gpus", "run_shares", "this_program"]

_POLL_S: Final = 0.2
_TAIL: Final = 5
"""Last lines of a process that failed which are shown."""


def read_gpus(text: str) -> list[str]:
    """The GPUs that `--gpus` names, as CUDA_VISIBLE_DEVICES does; `all` are those that torch sees.

    >>> read_gpus("0,2")
    ['0', '2']

    Raises:
        UsageError: none is named or there, or one is named twice.
        MissingExtraError: `all`, and torch is not installed.
    """
    if text != "all":
        names = [name.strip() for name in text.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise UsageError(f"--gpus {text!r}: expected all, or numbers separated by commas, each once, as in 0,1")
        return names
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "--gpus all needs torch, which is not installed: pip install 'rope-bench[torch]'"
        ) from error
    n_gpus = torch.cuda.device_count()
    if n_gpus == 0:
        raise UsageError("--gpus all: torch sees no GPU here; --processes N divides the work among processors")
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [] if named is None else [name.strip() for name in named.split(",") if name.strip()]
    return visible[:n_gpus] or [str(i) for i in range(n_gpus)]


def run_shares(
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    n_done: Callable[[], int],
    advance: Callable[[int], None],
) -> None:
    """Run one process a share, and wait for all; when one fails, or this one is stopped, all end.

    Args:
        command: what each runs, without `--share`.
        environments: of each process, beside that of this one.
        n_done: how much all have done together.
        advance: told how much more, again and again.

    Raises:
        RopeError: a process failed; with its last lines.
    """
    n, told = len(environments), 0
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile("w+b")) for _ in environments]
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for rank, environment in enumerate(environments):
                words = [*command, "--share", f"{rank}/{n}"]
                own = {**os.environ, **environment}
                processes.append(subprocess.Popen(words, stdout=logs[rank], stderr=subprocess.STDOUT, env=own))  # noqa: S603
            while True:
                codes = [process.poll() for process in processes]
                done = n_done()
                advance(done - told)
                told = done
                failed = next((rank for rank, code in enumerate(codes) if code), None)
                if failed is not None:
                    raise RopeError(f"share {failed}/{n} failed: {_last_lines(logs[failed])}")
                if all(code == 0 for code in codes):
                    return
                time.sleep(_POLL_S)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
            for process in processes:
                process.wait()


def this_program() -> list[str]:
    """How to run `rope-bench` in this very environment."""
    return [sys.executable, "-c", "from rope.bench.cli import main; main()"]


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-_TAIL:]) or "it said nothing"
