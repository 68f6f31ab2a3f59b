"""A dataset directory sent to an address of fsspec, such as `s3://bucket/spring`.

Object stores have no rename, so one thing alone makes the dataset: `rope.json`, which is sent when every other file is
there in its size. Readers refuse a folder without it. Before anything else a note is sent that names the files with
their hashes; a later attempt to send the same files goes on from there, and one to send others is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rope.console import progress_bar
from rope.curation.attributes import ATTRIBUTES_NAME
from rope.curation.pipeline.places import asking_store, map_places
from rope.dataset.manifest import MANIFEST_NAME
from rope.errors import DatasetError, UsageError
from rope.files import sha256_of

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["refuse_occupied", "send_dataset"]

_NOTE: Final = ".sending.json"
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class _There:
    """What is at an address: the size of each file by its name, and the note of what is being sent, if any."""

    sizes: Mapping[str, int]
    note: str | None


def refuse_occupied(target: "UPath") -> None:
    """Refuse an address that holds something else than a dataset, or one that is being sent.

    Raises:
        UsageError: it does.
        DatasetError: the store does not answer, or refuses.
    """
    with asking_store(target):
        there = _look(target)
    others = sorted(there.sizes.keys() - {_NOTE})
    if others and there.note is None and MANIFEST_NAME not in there.sizes:
        shown = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
        raise UsageError(f"{target}: holds {shown}, and not a dataset; choose a folder that is empty or does not exist")


def send_dataset(source: Path, target: "UPath", *, overwrite: bool = False, progress: bool = True) -> bool:
    """Send a finished dataset directory; repeat it to resume.

    Args:
        source: the dataset directory, on this machine.
        target: where it goes; empty, or with some or all of the same files.
        overwrite: remove what was sent of another dataset that was not finished.
        progress: whether to draw a bar on stderr.

    Returns:
        Whether the dataset was not there before.

    Raises:
        UsageError: another dataset is there, or an unfinished one, or something else.
        DatasetError: the store does not answer, or refuses; or a file does not have its size there.
    """
    refuse_occupied(target)
    with asking_store(target):
        return _send_files(source, target, overwrite, progress)


def _send_files(source: Path, target: "UPath", overwrite: bool, progress: bool) -> bool:
    names = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*")) if path.is_file()}
    note = json.dumps({name: [path.stat().st_size, sha256_of(path)] for name, path in names.items()}, indent=1)
    there = _look(target)
    is_new = MANIFEST_NAME not in there.sizes
    same = _sent_before(target, there, names, note, overwrite) if is_new else _unchanged(target, there, names)
    (target / _NOTE).write_text(note, "utf-8")
    _send(target, {name: path for name, path in names.items() if name not in same | {MANIFEST_NAME}}, progress)
    _refuse_short(target, names)
    if is_new:
        target.fs.put_file(str(names[MANIFEST_NAME]), (target / MANIFEST_NAME).path)
    for name in ({_NOTE, ATTRIBUTES_NAME} - names.keys()) & _look(target).sizes.keys():
        target.fs.rm_file((target / name).path)
    return is_new


def _unchanged(target: "UPath", there: _There, names: Mapping[str, Path]) -> set[str]:
    """The files that are the same in a dataset that is there: its manifest vouches for shards, and others are small."""
    manifest = names[MANIFEST_NAME].read_bytes()
    if (target / MANIFEST_NAME).read_bytes() != manifest:
        raise UsageError(
            f"{target}: a dataset is there already, from another run or with other options; choose another folder, or "
            "delete it"
        )
    shards = json.loads(manifest)["shards"]
    return {
        name
        for name, path in names.items()
        if there.sizes.get(name) == path.stat().st_size
        and (name in shards or (target / name).read_bytes() == path.read_bytes())
    }


def _sent_before(target: "UPath", there: _There, names: Mapping[str, Path], note: str, overwrite: bool) -> set[str]:
    """The files of an unfinished dataset that were sent whole; those of another one are removed, or refused."""
    if there.note is None or there.note == note:
        return {name for name, path in names.items() if there.sizes.get(name) == path.stat().st_size}
    if not overwrite:
        raise UsageError(
            f"{target}: holds an unfinished dataset of something else; repeat the command as it was started, start "
            "over with --overwrite, or choose another folder"
        )
    for name in json.loads(there.note).keys() & there.sizes.keys():
        target.fs.rm_file((target / name).path)
    return set()


def _send(target: "UPath", files: Mapping[str, Path], progress: bool) -> None:
    n_bytes = sum(path.stat().st_size for path in files.values())
    with progress_bar(f"sending to {target}", n_bytes, shown=progress) as advance:

        def put(name: str) -> None:
            target.fs.put_file(str(files[name]), (target / name).path)
            advance(files[name].stat().st_size)

        map_places(put, sorted(files), target)


def _look(target: "UPath") -> _There:
    try:
        found = target.fs.find(target.path, detail=True)
    except FileNotFoundError:
        found = {}
    start = len(target.path.strip("/")) + 1
    sizes = {name.strip("/")[start:]: int(info["size"]) for name, info in found.items()}
    return _There(sizes, (target / _NOTE).read_text("utf-8") if _NOTE in sizes else None)


def _refuse_short(target: "UPath", names: Mapping[str, Path]) -> None:
    sizes = _look(target).sizes
    wrong = [name for name in names if name != MANIFEST_NAME and sizes.get(name) != names[name].stat().st_size]
    if wrong:
        raise DatasetError(
            f"{target / wrong[0]}: has {sizes.get(wrong[0], 0):,} of {names[wrong[0]].stat().st_size:,} bytes after it "
            "was sent; repeat the command"
        )
