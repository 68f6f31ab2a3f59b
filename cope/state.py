"""Where a training run stands, on disk: written as a whole, and read back to the exact next step."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch

from cope.ranks import ProcessRank
from rope.encoders.weights import read_content
from rope.errors import RopeError
from rope.files import atomic_path

__all__ = ["Progress", "find_progress", "load_state", "save_state"]

_MARKER: Final = "state.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training run had come when its state was saved.

    Attributes:
        step: steps that are done.
        ranks: how many processes saved it; as many have to go on.
        feed: state of the feed.
        recent: losses of the last steps.
    """

    step: int
    ranks: int
    feed: dict[str, Any]
    recent: list[float]


def save_state(folder: Path, progress: Progress, ranks: ProcessRank, parts: Mapping[str, Any], wait: Any) -> None:  # noqa: ANN401
    """Save a state; until it is whole, the one before stays valid, and then that is removed.

    Args:
        folder: of the run's states; every rank calls with the same.
        progress: the same on every rank.
        ranks: which of them this is.
        parts: what this rank saves: names to tensors, numbers and containers of them.
        wait: called between writing and declaring valid; returns when all ranks have called it.
    """
    with atomic_path(folder / _name(progress.step, ranks.rank)) as temporary:
        torch.save(dict(parts), temporary)
    wait()
    if ranks.rank == 0:
        with atomic_path(folder / _MARKER) as temporary:
            temporary.write_text(json.dumps(asdict(progress), indent=1), "utf-8")
        for path in folder.glob("*.pt"):
            if not path.name.startswith(f"{progress.step:08d}-"):
                path.unlink()
    wait()


def find_progress(folder: Path) -> Progress | None:
    """What the last valid state of a folder is of, or None where there is none.

    Raises:
        RopeError: the folder is damaged.
    """
    marker = folder / _MARKER
    if not marker.exists():
        return None
    try:
        return Progress(**json.loads(marker.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise RopeError(f"{marker}: is damaged ({error}); delete {folder} to start over") from error


def load_state(folder: Path, progress: Progress, ranks: ProcessRank) -> dict[str, Any]:
    """What `save_state` was given as `parts` on this rank.

    Raises:
        RopeError: another number of processes saved it, or its file is missing or damaged.
    """
    if progress.ranks != ranks.size:
        raise RopeError(
            f"{folder}: was saved by {progress.ranks} processes; go on with as many, not {ranks.size}, or start over "
            "in another folder"
        )
    path = folder / _name(progress.step, ranks.rank)
    return cast("dict[str, Any]", read_content(path, f"a saved state; delete {folder} to start over"))


def _name(step: int, rank: int) -> str:
    return f"{step:08d}-{rank}.pt"
