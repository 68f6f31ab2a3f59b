"""MovingFashion: videos from social media, and the shop image of the garment that is worn in them.

`train.json` and `test.json` are objects: product id -> `{"img_path": ..., "video_paths": [...], "source": ...}`, with
paths relative to the folder. The stem of a path is the id of its sample. A video in which several products are worn is
a sample of each, with the id `STEM/PRODUCT`, as the authors count a query for each product. `source` 1 is what they
report as *regular*, any other number as *hard*; it becomes the category. There are no texts.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import duckdb

from rope.domain import SPLITS, DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.faults import ReleaseFault
from rope.sources.reading import Reading, is_inside
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging
from rope.sources.text import text_files

__all__ = ["find_release", "looks_like"]

_FILE_OF: Final[dict[Split, str]] = {"train": "train.json", "validation": "test.json"}
_REGULAR: Final = 1


def looks_like(folder: Path) -> bool:
    """Whether a folder has the JSON files and the folders of MovingFashion."""
    return bool(_files(folder)) and (folder / "imgs").is_dir() and (folder / "videos").is_dir()


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Look which splits a folder has.

    Args:
        folder: where its JSON files are.
        encoding: of JSON files without a byte order mark; None for UTF-8.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it has neither `train.json` nor `test.json`.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected the folder of the MovingFashion release")
    files = _files(folder)
    if not files:
        raise ReleaseError(f"{folder}: no train.json and no test.json; MovingFashion has these beside imgs and videos")
    return ReleaseSource(
        kind="movingfashion",
        folder=folder,
        files=tuple(files.values()),
        splits=tuple(files),
        domains=("page", "video"),
        image_root=folder,
        stage=partial(_stage, folder=folder, files=files, encoding=encoding),
        file_of=partial(_file_of, files=files),
        encoding=encoding,
    )


def _files(folder: Path) -> dict[Split, str]:
    """The JSON file of each split that is there."""
    found = text_files(folder)
    return {split: found[_FILE_OF[split]] for split in SPLITS if _FILE_OF[split] in found}


def _file_of(split: Split, domain: DomainName, *, files: dict[Split, str]) -> str:
    return files[split]


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    files: dict[Split, str],
    encoding: str | None,
) -> dict[str, str]:
    staging, reading = Staging(connection), Reading(advance, encoding)
    entries = {split: reading.object(folder / file) for split, file in files.items()}
    tested = set(_products_of_videos(entries.get("validation", {})))
    for split, products in entries.items():
        n_products = {path: len(ids) for path, ids in _products_of_videos(products).items()}
        for product_id, entry in products.items():
            _add_product(staging, files[split], split, product_id, entry, n_products, tested)
    staging.finish(tuple(files), n_rows=reading.n_rows)
    return reading.digests


def _products_of_videos(entries: dict[str, Any]) -> dict[str, set[str]]:
    """Path of each video -> the products that are worn in it."""
    found: dict[str, set[str]] = {}
    for product_id, entry in entries.items():
        for path in entry["video_paths"] if product_id and _is_entry(entry) else ():
            found.setdefault(path, set()).add(product_id)
    return found


def _add_product(
    staging: Staging,
    file: str,
    split: Split,
    product_id: str,
    entry: Any,  # noqa: ANN401 -- JSON
    n_products: dict[str, int],
    tested: set[str],
) -> None:
    """Stage the page and the videos of one product.

    Args:
        staging: takes the rows.
        file: where the entry stands.
        split: its split.
        product_id: its name.
        entry: its value.
        n_products: how many products of the split are worn in each video.
        tested: the videos of validation.
    """
    if not product_id or not _is_entry(entry):
        staging.add(ReleaseFault(file, 0, "bad_row", product_id))
        return
    paths = [entry["img_path"], *entry["video_paths"]]
    bad = [path for path in paths if not is_inside(path)]
    for path in bad:
        staging.add(ReleaseFault(file, 0, "bad_image_name", path))
    category = "regular" if entry["source"] == _REGULAR else "hard"
    if entry["img_path"] not in bad:
        page_id = PurePosixPath(entry["img_path"]).stem
        staging.add(SampleRow(file, 0, split, "page", page_id, product_id, category=category))
        staging.add(FrameRow(file, 0, split, "page", page_id, 0, entry["img_path"]))
    for path in entry["video_paths"]:
        video_id = PurePosixPath(path).stem
        if path not in bad and split == "train" and path in tested:  # ids of shared videos hide it from `Staging`
            staging.add(ReleaseFault(file, 0, "sample_in_both_splits", video_id))
        elif path not in bad:
            own_id = f"{video_id}/{product_id}" if n_products[path] > 1 else video_id
            staging.add(SampleRow(file, 0, split, "video", own_id, product_id, category=category, video=path))


def _is_entry(entry: Any) -> bool:  # noqa: ANN401 -- JSON
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("img_path"), str)
        and isinstance(entry.get("source"), int)
        and isinstance(entry.get("video_paths"), list)
        and all(isinstance(path, str) for path in entry["video_paths"])
    )
