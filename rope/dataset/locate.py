"""Which dataset directory to use: what the caller names, else `ROPE_DATA`, else `rope use`, else the one built last."""

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rope.addresses import as_directory, cache_folder
from rope.dataset.manifest import read_manifest
from rope.errors import DatasetError, UsageError
from rope.files import Address, AnyPath, atomic_path

__all__ = [
    "CHOICE_NAME",
    "Located",
    "as_directory",
    "cache_folder",
    "choose",
    "find",
    "locate",
    "locate_here",
    "remember",
]

CHOICE_NAME: Final = ".rope-data"
"""The file that `rope use` writes; it holds the address of a dataset directory, for the folder it is in and below."""

_STATE_NAME: Final = "last-built.json"

_HOW_TO_GET_DATA: Final = (
    "For the ROPE data, ask its authors for a licence (https://github.com/adxcreative/COPE tells how) and run: "
    "rope build RELEASE OUT. Without one, make the synthetic set: "
    "rope synthesize RELEASE --products 200 --seed 0 && rope build RELEASE OUT"
)

_BUILT_LAST: Final = "the dataset that was built last on this machine"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Located:
    """A dataset directory, and why it is the one.

    Attributes:
        directory: known to hold a manifest; absolute where it is on this machine.
        reason: what chose it, such as `ROPE_DATA`; None where the caller named it.
    """

    directory: AnyPath
    reason: str | None


def locate(data_dir: "Address | None") -> AnyPath:
    """The dataset directory to use; see `find`. One that nobody has named is logged as a warning."""
    found = find(data_dir)
    if found.reason == _BUILT_LAST:
        _log.warning("reading %s, %s; fix the choice with 'rope use DIR' or ROPE_DATA", found.directory, _BUILT_LAST)
    return found.directory


def locate_here(data_dir: "Address | None") -> Path:
    """As `locate`, for what works on a folder of this machine alone.

    Raises:
        UsageError: the dataset is elsewhere.
    """
    directory = locate(data_dir)
    if not isinstance(directory, Path):
        raise UsageError(f"{directory}: this needs a dataset directory on this machine; copy it here first")
    return directory


def find(data_dir: "Address | None") -> Located:
    """The dataset directory to use, known to hold a manifest, and what chose it.

    Args:
        data_dir: a dataset directory, or an address of fsspec such as `s3://bucket/OUT`; None for that of the
            environment variable `ROPE_DATA`, or else the choice that `rope use` wrote in the working folder or
            above it, or else the one that was built last on this machine, which another terminal may change.

    Raises:
        UsageError: the directory that was named does not exist.
        DatasetError: it is not a finished dataset, or none was named and none is known.
    """
    if data_dir is not None:
        return Located(_checked(data_dir, str(data_dir)), None)
    if named := os.environ.get("ROPE_DATA"):
        return Located(_checked(named, f"ROPE_DATA={named}"), "ROPE_DATA")
    if (choice := _local_choice()) is not None:
        address = _chosen_in(choice)
        whole = address if "://" in address else choice.parent / address
        return Located(_checked(whole, f"{choice} says {address}"), f"rope use, in {choice}")
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
    return Located(_checked(last, str(last)), _BUILT_LAST)


def _chosen_in(choice: Path) -> str:
    """The address in a file that `rope use` wrote: one line."""
    _refuse_folder(choice)
    try:
        address = choice.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{choice}: not readable ({error}); write it again with: rope use DIR") from error
    if not address or "\0" in address or "\n" in address:
        raise UsageError(f"{choice}: expected one line, a dataset directory; write it again with: rope use DIR")
    return address


def choose(address: str, folder: Path) -> Path:
    """Make a dataset directory the one that `find(None)` finds in `folder` and below; returns the file written.

    Raises:
        UsageError: the directory does not exist.
        DatasetError: it is not a finished dataset.
    """
    directory = _checked(address, address)
    _refuse_folder(folder / CHOICE_NAME)
    with atomic_path(folder / CHOICE_NAME) as path:
        path.write_text(f"{directory}\n", "utf-8")
    return folder / CHOICE_NAME


def _refuse_folder(choice: Path) -> None:
    if choice.is_dir():
        raise UsageError(f"{choice}: is a folder; expected the file that rope use writes, so rename or remove it")


def remember(directory: Path) -> None:
    """Note `directory` as the dataset that was built last.

    A cache folder that cannot be written costs only this convenience, so it is not an error.
    """
    state = json.dumps({"directory": str(directory.absolute())}, ensure_ascii=False) + "\n"
    with contextlib.suppress(OSError), atomic_path(cache_folder() / _STATE_NAME) as path:
        path.write_text(state, "utf-8")


def _local_choice() -> Path | None:
    """The file of `rope use` in the working folder, or else the nearest one above."""
    here = Path.cwd()
    names = (folder / CHOICE_NAME for folder in (here, *here.parents))
    return next((name for name in names if os.path.lexists(name)), None)


def _last_built() -> Path | None:
    try:
        return Path(json.loads((cache_folder() / _STATE_NAME).read_text("utf-8"))["directory"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checked(address: Address, named: str) -> AnyPath:
    directory = as_directory(address)
    if isinstance(directory, Path):
        directory = directory.expanduser().absolute()
        if not directory.is_dir():
            raise UsageError(f"{named}: no such directory; expected one that rope build has written")
    read_manifest(directory)
    return directory
