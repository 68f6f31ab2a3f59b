"""Several models in one run, and one model in several processes."""

import re
from collections.abc import Sequence
from pathlib import Path

from rope.bench.json_option import is_file
from rope.bench.running.run import samples_done
from rope.bench.running.spawn import read_gpus, run_shares, this_program
from rope.console import progress_bar
from rope.dataset.manifest import read_manifest
from rope.domain import Split
from rope.errors import UsageError
from rope.files import AnyPath

__all__ = ["check_several", "embed_in_shares", "named"]


def check_several(
    models: Sequence[str],
    out: Path,
    json: Path | None,
    *,
    share: str | None,
    gpus: str | None,
    processes: int | None,
) -> None:
    """Refuse options that contradict each other, before anything is loaded.

    Raises:
        UsageError: names them, and says what to do.
    """
    divided = [name for name, value in (("--share", share), ("--gpus", gpus), ("--processes", processes)) if value]
    if len(divided) > 1:
        raise UsageError(f"{' and '.join(divided)}: each divides the work; give one of them")
    if len(models) == 1:
        return
    if out.suffix == ".parquet" or out.is_file():
        raise UsageError(f"--out {out}: several models need a folder, in which each gets a file of its name")
    if json is not None and not is_file(json):
        raise UsageError("--json -: stdout holds one result, and several models give several; give a file")


def named(folder: Path, name: str, used: set[str]) -> Path:
    """The file of one of several models, by its name.

    >>> named(Path("runs"), "openai/clip B-32", set())
    PosixPath('runs/openai-clip-B-32.parquet')

    Raises:
        UsageError: another model has the name already.
    """
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"
    if stem in used:
        raise UsageError(f"two models are called {name!r}, and each needs a file of its own; run one of them apart")
    used.add(stem)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stem}.parquet"


def embed_in_shares(
    model: str,
    out: Path,
    data: AnyPath,
    split: Split,
    batch_size: int,
    words: Sequence[str],
    *,
    gpus: str | None,
    processes: int | None,
) -> None:
    """Embed with one process a GPU, or with so many; their parts lie ready for a run that joins them.

    Args:
        model: as on the command line.
        out: the file of the run.
        data: the dataset directory.
        split: to embed.
        batch_size: samples per call.
        words: the other options of each process.
        gpus: `all` or numbers; None for processes.
        processes: how many; None for GPUs.

    Raises:
        UsageError: a GPU is not there.
        RopeError: a process failed; what all had finished is kept.
    """
    if out.exists():
        return
    named_gpus = read_gpus(gpus) if gpus is not None else None
    environments = (
        [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in named_gpus] if named_gpus is not None else [{}] * (processes or 1)
    )
    command = [*this_program(), "run", "--model", model, "--out", str(out), *words]
    total = sum(read_manifest(data).counts.get(split, {}).values())
    with progress_bar(f"embedding in {len(environments)} processes", total) as advance:
        run_shares(command, environments, samples_done(data, out, split, batch_size), advance)
