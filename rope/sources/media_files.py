"""Which files of a folder are the media of which samples."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from unicodedata import normalize

__all__ = ["IMAGES", "SOUNDS", "VIDEOS", "MediaEntry", "find_entries", "match_entries", "suffix_of"]

IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
SOUNDS: Final = frozenset({".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus"})
VIDEOS: Final = frozenset({".mp4", ".mov", ".webm", ".mkv", ".avi"})


@dataclass(frozen=True, slots=True)
class MediaEntry:
    """What lies under one name: a file, or a folder with its files; names are relative to the release."""

    names: tuple[str, ...]
    is_folder: bool

    @property
    def is_sound(self) -> bool:
        """Whether it is a sound file."""
        return not self.is_folder and suffix_of(self.names[0]) in SOUNDS


def find_entries(root: Path, folder: str) -> dict[str, list[MediaEntry]]:
    """Name of each file without its suffix, and of each folder -> its entries; hidden files are ignored.

    Args:
        root: the release.
        folder: where to look in it.
    """
    found: dict[str, list[MediaEntry]] = {}
    for path in sorted((root / folder).iterdir()):
        if not path.name.startswith("."):
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            names = tuple(file.relative_to(root).as_posix() for file in files if not file.name.startswith("."))
            found.setdefault(path.name if path.is_dir() else path.stem, []).append(MediaEntry(names, path.is_dir()))
    return found


def match_entries(ids: Iterable[str], found: Mapping[str, list[MediaEntry]]) -> dict[str, list[MediaEntry] | None]:
    r"""Id of a sample -> its entries; None for one whose entries another id means as well.

    An id means the entries that are called so. Where there are none, it means those that are called so in Unicode's
    composed form (macOS decomposes the names of files: é is e and an accent), or the file that is called so with its
    suffix, and the sound next to it.

    Args:
        ids: of the samples; each once.
        found: see `find_entries`.

    >>> cafe = MediaEntry(("pages/cafe\u0301.jpg",), False)
    >>> match_entries(["caf\u00e9"], {"cafe\u0301": [cafe]}) == {"caf\u00e9": [cafe]}
    True
    >>> match_entries(["p1.jpg"], {"p1": [MediaEntry(("pages/p1.jpg",), False)]})
    {'p1.jpg': [MediaEntry(names=('pages/p1.jpg',), is_folder=False)]}
    """
    wanted = set(ids)
    matched: dict[str, list[MediaEntry] | None] = {name: found[name] for name in wanted if name in found}
    loose: dict[str, list[MediaEntry]] = {}
    for name, entries in found.items():
        if name not in matched:
            loose.setdefault(normalize("NFC", name), []).extend(entries)
    meant = {name: _meant(normalize("NFC", name), loose) for name in wanted if name not in matched}
    n_claims = Counter(entry.names for entries in meant.values() for entry in entries)
    for name, entries in meant.items():
        if entries:
            matched[name] = entries if all(n_claims[entry.names] == 1 for entry in entries) else None
    return matched


def _meant(name: str, loose: Mapping[str, list[MediaEntry]]) -> list[MediaEntry]:
    if name in loose:
        return loose[name]
    if suffix_of(name) not in IMAGES | VIDEOS:
        return []
    beside = [entry for entry in loose.get(PurePosixPath(name).stem, ()) if not entry.is_folder]
    is_there = any(_file_name(entry) == name for entry in beside)
    return [entry for entry in beside if is_there and (entry.is_sound or _file_name(entry) == name)]


def _file_name(entry: MediaEntry) -> str:
    return normalize("NFC", PurePosixPath(entry.names[0]).name)


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case.

    >>> suffix_of("pages/a.JPG")
    '.jpg'
    """
    return Path(name).suffix.lower()
