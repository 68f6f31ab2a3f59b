"""MovingFashion: videos from social media, and the shop image of the garment that is worn in them.

`train.json` and `test.json` are objects: product id -> `{"img_path": ..., "video_paths": [...], "source": ...}`, with
paths relative to the folder. The stem of a path is the id of its sample. `source` 1 is what the authors report as
*regular*, any other number as *hard*; it becomes the category. There are no texts.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import duckdb

from rope.domain import SPLITS, DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.faults import Fault
from rope.sources.reading import is_inside, read_object
from rope.sources.source import Source
from rope.sources.staging import FrameRow, SampleRow, Staging

__all__ = ["find_release", "looks_like"]

_FILE_OF: Final[dict[Split, str]] = {"train": "train.json", "validation": "test.json"}
_REGULAR: Final = 1


def looks_like(folder: Path) -> bool:
    """Whether a folder has the JSON files and the folders of MovingFashion."""
    has_json = any((folder / name).is_file() for name in _FILE_OF.values())
    return has_json and (folder / "imgs").is_dir() and (folder / "videos").is_dir()


def find_release(folder: Path) -> Source:
    """Look which splits a folder has.

    Raises:
        UsageError: there is no such folder.
        ReleaseError: it has neither `train.json` nor `test.json`.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected the folder of the MovingFashion release")
    splits = tuple(split for split in SPLITS if (folder / _FILE_OF[split]).is_file())
    if not splits:
        raise ReleaseError(f"{folder}: no train.json and no test.json; MovingFashion has these beside imgs and videos")
    return Source(
        kind="movingfashion",
        folder=folder,
        files=tuple(_FILE_OF[split] for split in splits),
        splits=splits,
        domains=("page", "video"),
        image_root=folder,
        stage=partial(_stage, folder=folder, splits=splits),
        file_of=_file_of,
    )


def _file_of(split: Split, domain: DomainName) -> str:
    return _FILE_OF[split]


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    splits: tuple[Split, ...],
) -> dict[str, str]:
    staging, digests = Staging(connection), dict[str, str]()
    for split in splits:
        for product_id, entry in read_object(folder / _FILE_OF[split], digests, advance).items():
            _add_product(staging, split, product_id, entry)
    staging.finish(splits)
    return digests


def _add_product(staging: Staging, split: Split, product_id: str, entry: Any) -> None:  # noqa: ANN401 -- JSON
    file = _FILE_OF[split]
    if not product_id or not _is_entry(entry):
        staging.add(Fault(file, 0, "bad_row", product_id))
        return
    paths = [entry["img_path"], *entry["video_paths"]]
    bad = [path for path in paths if not is_inside(path)]
    for path in bad:
        staging.add(Fault(file, 0, "bad_image_name", path))
    category = "regular" if entry["source"] == _REGULAR else "hard"
    if entry["img_path"] not in bad:
        page_id = PurePosixPath(entry["img_path"]).stem
        staging.add(SampleRow(file, 0, split, "page", page_id, product_id, category=category))
        staging.add(FrameRow(file, 0, split, "page", page_id, 0, entry["img_path"]))
    for path in entry["video_paths"]:
        if path not in bad:
            video_id = PurePosixPath(path).stem
            staging.add(SampleRow(file, 0, split, "video", video_id, product_id, category=category, video=path))


def _is_entry(entry: Any) -> bool:  # noqa: ANN401 -- JSON
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("img_path"), str)
        and isinstance(entry.get("source"), int)
        and isinstance(entry.get("video_paths"), list)
        and all(isinstance(path, str) for path in entry["video_paths"])
    )
