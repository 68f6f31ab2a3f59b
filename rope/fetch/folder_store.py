"""Images as files of a folder, each under its name."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rope.fetch.names import LEDGER_NAME, STATE_NAME
from rope.fetch.outcome import Fetched, LostImage

__all__ = ["FolderStore", "stored_files"]

_OF_THE_NAME: Final = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ, errno.ENOTEMPTY}
)
"""Errors of one name, as opposed to those of the disk."""


class FolderStore:
    """Writes images as files; each appears under its name when it is whole.

    Args:
        folder: what names are relative to; files are written in its folder `.fetch/incoming` and renamed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / STATE_NAME / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left_over in self._incoming.iterdir():
            left_over.unlink()

    def save(self, images: Sequence[Fetched]) -> list[LostImage]:
        """Write images; returns those whose names the file system does not take.

        Nothing is flushed to the disk for a single image, which would cost more than fetching it: a kill loses nothing,
        a power cut may lose the last seconds.

        Raises:
            OSError: the disk is full, or the folder is not ours to write.
        """
        lost = []
        for fetched in images:
            try:
                self._save(fetched)
            except OSError as error:
                if error.errno not in _OF_THE_NAME:
                    raise
                if not isinstance(fetched.content, bytes):
                    fetched.content.unlink(missing_ok=True)
                lost.append(LostImage(fetched.image, "", "bad_name", 200, 1, str(error.strerror)))
        return lost

    def _save(self, fetched: Fetched) -> None:
        temporary, final = self._incoming / "image", self._folder / fetched.image
        if isinstance(fetched.content, bytes):
            temporary.write_bytes(fetched.content)
        else:
            temporary = fetched.content
        try:
            temporary.rename(final)
        except FileNotFoundError:
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(final)

    def close(self) -> None:
        """Do nothing: every file is finished when stored."""


def stored_files(folder: Path) -> Iterator[str]:
    """Names of the files of a folder, relative to it, except for those of the fetch itself and empty ones.

    A power cut can leave empty files, which no image is.
    """
    pending = [""]
    while pending:
        base = pending.pop()
        with os.scandir(folder / base) as entries:
            for entry in entries:
                name = base + entry.name
                if name in (STATE_NAME, LEDGER_NAME):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{name}/")
                elif entry.is_file() and entry.stat().st_size > 0:
                    yield name
