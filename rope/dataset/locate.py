"""Where the data is: what the caller names, else `ROPE_DATA`, else the dataset that was built last."""

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from rope.dataset.manifest import read_manifest
from rope.errors import DatasetError, UsageError
from rope.files import atomic_path

__all__ = ["cache_folder", "locate", "remember"]

_STATE_NAME: Final = "last-built.json"

_HOW_TO_GET_DATA: Final = (
    "For the ROPE data, ask its authors for a licence (https://github.com/adxcreative/COPE tells how) and run: "
    "rope build RELEASE OUT. Without one, make the synthetic set: "
    "rope synthesize RELEASE --products 200 --seed 0 && rope build RELEASE OUT"
)


def locate(data_dir: Path | str | None) -> Path:
    """The dataset directory to use, absolute and known to hold a manifest.

    Args:
        data_dir: a dataset directory; None for that of the environment variable `ROPE_DATA`, or else the
            one that was built last.

    Raises:
        UsageError: the directory that was named does not exist.
        DatasetError: it is not a finished dataset, or none was named and none is known.
    """
    if data_dir is not None:
        return _checked(Path(data_dir), str(data_dir))
    if named := os.environ.get("ROPE_DATA"):
        return _checked(Path(named), f"ROPE_DATA={named}")
    last = _last_built()
    if last is None:
        raise DatasetError(
            "no dataset is known: no directory was given, ROPE_DATA is not set, and none was built yet. "
            f"{_HOW_TO_GET_DATA}"
        )
    if not last.is_dir():
        raise DatasetError(
            f"the dataset that was built last, {last}, does not exist any more; say where it is with data_dir or "
            f"ROPE_DATA. {_HOW_TO_GET_DATA}"
        )
    return _checked(last, str(last))


def remember(directory: Path) -> None:
    """Make `directory` the one that `locate(None)` finds.

    A cache folder that cannot be written costs only this convenience, so it is no error.
    """
    state = json.dumps({"directory": str(directory.absolute())}, ensure_ascii=False) + "\n"
    with contextlib.suppress(OSError), atomic_path(cache_folder() / _STATE_NAME) as path:
        path.write_text(state, "utf-8")


def cache_folder() -> Path:
    """Where this package keeps its own state: `$ROPE_CACHE`, else `rope-bench` in the user's cache folder."""
    if own := os.environ.get("ROPE_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rope-bench"


def _last_built() -> Path | None:
    try:
        return Path(json.loads((cache_folder() / _STATE_NAME).read_text("utf-8"))["directory"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checked(directory: Path, named: str) -> Path:
    directory = directory.expanduser().absolute()
    if not directory.is_dir():
        raise UsageError(f"{named}: no such directory; expected one that rope build has written")
    read_manifest(directory)
    return directory
