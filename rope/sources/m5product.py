"""M5Product: products with an image, a title and often a video.

`*train*_id_label.json` and `*test*_id_label.json` are objects: item id -> `{"title": ..., "label": ...}`, as the
scripts of the authors read them. `images/ID.jpg` is the image of an item, `videos/ID.mp4` its video where it has one.
An item is a product; its page is the image with the title, and its label becomes the category.
"""

import fnmatch
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb

from rope.domain import SPLITS, DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.faults import ReleaseFault
from rope.sources.reading import Reading, is_inside, listing_hash
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging
from rope.sources.text import text_files

__all__ = ["find_release", "looks_like"]

_PATTERN_OF: Final[dict[Split, str]] = {"train": "*train*_id_label.json", "validation": "*test*_id_label.json"}


def looks_like(folder: Path) -> bool:
    """Whether a folder has a JSON file of item ids and labels."""
    return any(_annotations(folder).values())


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Look which splits and videos a folder has.

    Args:
        folder: where its annotations are.
        encoding: of annotations without a byte order mark; None for UTF-8.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it has no annotations under a known name, or several of one split, or no folder `images`.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected the folder of an M5Product release")
    found = _annotations(folder)
    if not any(found.values()) or any(len(names) > 1 for names in found.values()):
        got = ", ".join(name for names in found.values() for name in names) or "none"
        raise ReleaseError(
            f"{folder}: found {got}; expected one file {' and one '.join(_PATTERN_OF.values())}, each an object of "
            'item id -> {"title", "label"}; give the annotations that you have one of these names'
        )
    if not (folder / "images").is_dir():
        raise ReleaseError(f"{folder}: no folder images; expected images/ITEM.jpg, and videos/ITEM.mp4 for some items")
    file_of = {split: names[0] for split, names in found.items() if names}
    videos = sorted(path.stem for path in (folder / "videos").glob("*.mp4"))
    return ReleaseSource(
        kind="m5product",
        folder=folder,
        files=tuple(file_of.values()),
        splits=tuple(file_of),
        domains=("page", "video") if videos else ("page",),
        image_root=folder,
        stage=partial(_stage, folder=folder, file_of=file_of, videos=frozenset(videos), encoding=encoding),
        file_of=partial(_file_of, files=file_of),
        encoding=encoding,
        listings={"videos": listing_hash(videos)},
    )


def _annotations(folder: Path) -> dict[Split, list[str]]:
    """The annotations of each split."""
    found = text_files(folder)
    return {split: [found[name] for name in fnmatch.filter(found, _PATTERN_OF[split])] for split in SPLITS}


def _file_of(split: Split, domain: DomainName, *, files: dict[Split, str]) -> str:
    return files[split]


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    file_of: dict[Split, str],
    videos: frozenset[str],
    encoding: str | None,
) -> dict[str, str]:
    staging, reading = Staging(connection), Reading(advance, encoding)
    for split, file in file_of.items():
        for item_id, entry in reading.object(folder / file).items():
            _add_item(staging, file, split, item_id, entry, videos)
    staging.finish(tuple(file_of), n_rows=reading.n_rows)
    return reading.digests


def _add_item(
    staging: Staging,
    file: str,
    split: Split,
    item_id: str,
    entry: Any,  # noqa: ANN401 -- JSON
    videos: frozenset[str],
) -> None:
    if not (isinstance(entry, dict) and isinstance(entry.get("title"), str) and isinstance(entry.get("label"), str)):
        staging.add(ReleaseFault(file, 0, "bad_row", item_id))
    elif not is_inside(item_id) or "/" in item_id:
        staging.add(ReleaseFault(file, 0, "bad_image_name", item_id))
    else:
        title, label = entry["title"].strip() or None, entry["label"].strip() or None
        staging.add(SampleRow(file, 0, split, "page", item_id, item_id, title, label))
        staging.add(FrameRow(file, 0, split, "page", item_id, 0, f"images/{item_id}.jpg"))
        if item_id in videos:
            video = f"videos/{item_id}.mp4"
            staging.add(SampleRow(file, 0, split, "video", item_id, item_id, category=label, video=video))
