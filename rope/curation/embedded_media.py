"""Media that are stored inside rows or elsewhere, as files, for those who take nothing else."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rope.addresses import is_address, read_file
from rope.files import atomic_path
from rope.media.containers import video_extension

__all__ = ["in_files"]

_STARTS: Final = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}


def in_files(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same row, whose frames and video are all files of this machine: others are written to a folder, by hash.

    A file that is there already is left alone, so that writing is repeated at no cost. The folder may be shared by rows
    and by runs.

    Args:
        row: with `frames` and `video`, structs of `bytes` and `path`, or None.
        folder: made when something has to be written.
    """
    frames = None if row["frames"] is None else [_in_file(frame, folder, _image_suffix) for frame in row["frames"]]
    video = None if row["video"] is None else _in_file(row["video"], folder, _video_suffix)
    return {**row, "frames": frames, "video": video}


def _in_file(stored: Mapping[str, Any], folder: Path, suffix_of: Callable[[bytes], str]) -> dict[str, Any]:
    content, address = stored["bytes"], stored["path"]
    if content is None:
        if address is None or not is_address(address):
            return {"bytes": None, "path": address}
        content = read_file(address)
    name = hashlib.sha256(content).hexdigest()
    path = (folder / name[:2] / f"{name}{suffix_of(content)}").absolute()
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return {"bytes": None, "path": str(path)}


def _image_suffix(content: bytes) -> str:
    r"""What browsers and servers of files go by; empty for other kinds than these.

    >>> _image_suffix(b"\xff\xd8\xff\xe0"), _image_suffix(b"?")
    ('.jpg', '')
    """
    return next((suffix for start, suffix in _STARTS.items() if content.startswith(start)), "")


def _video_suffix(content: bytes) -> str:
    extension = video_extension(content)
    return f".{extension}" if extension else ""
