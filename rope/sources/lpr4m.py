"""LPR4M: clips of live streams, and images of the shop whose products the stream presents.

| file | content |
|---|---|
| `training_videoinfo_full_*.txt` | a clip and its shop image a line, 11 fields separated by tabs |
| `test_videoid_to_gtimage_*.json` | clip id -> ids of the images that are right answers |
| `test_liveid_to_gallery_*.json` | live id -> ids of the images that its clips are searched among |
| `test_videoid_asr_*.txt`, `test_image_title_*.txt` | id and text, separated by a tab; optional |
| `test_frame_url_*.txt` | an address a line, that ends in `LIVE-START-END-FRAME.jpg` |

A clip id is `LIVE-START-END`, a frame id `LIVE-START-END-FRAME`. Images are looked for as `ID.jpg`, the last part of
their addresses. Clips are the domain live, shop images the domain page.

In training, a shop image is a product. In the test, images are of one product if some clip has both as right answers,
and a clip is searched among the shop of its live stream: the column `gallery` is the live id. As an image may be in the
shops of several streams, its sample id there is `LIVE/IMAGE`.
"""

import ast
import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb

from rope.domain import DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.faults import ReleaseFault
from rope.sources.reading import Reading, is_inside
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging
from rope.sources.text import text_files

__all__ = ["find_release", "looks_like", "products_of"]

_TRAINING: Final = "training_videoinfo_full_*.txt"
_ANSWERS: Final = "test_videoid_to_gtimage_*.json"
_GALLERIES: Final = "test_liveid_to_gallery_*.json"
_FRAMES: Final = "test_frame_url_*.txt"
_SPEECH: Final = "test_videoid_asr_*.txt"
_TITLES: Final = "test_image_title_*.txt"

_N_FIELDS: Final = 11
_SUFFIX: Final = ".jpg"


@dataclass(frozen=True, slots=True)
class _Files:
    """Names of the files of a release; `test` has those of a pattern, the optional ones where they are there."""

    training: tuple[str, ...]
    test: dict[str, str] = field(default_factory=dict)


def looks_like(folder: Path) -> bool:
    """Whether a folder holds annotations of LPR4M."""
    found = text_files(folder)
    return bool(_matches(found, _TRAINING) or _matches(found, _GALLERIES))


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Look which splits a folder has.

    Args:
        folder: where the annotations are.
        encoding: of annotations without a byte order mark; None for UTF-8.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it has no split, a file of the test is missing, or one occurs twice.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected the folder of the LPR4M annotations")
    files = _Files(tuple(_matches(text_files(folder), _TRAINING)), _test_files(folder))
    if not files.training and not files.test:
        raise ReleaseError(f"{folder}: neither {_TRAINING} nor {_GALLERIES}; expected the annotations of LPR4M")
    has: dict[Split, bool] = {"train": bool(files.training), "validation": bool(files.test)}
    images = folder / "images"
    return ReleaseSource(
        kind="lpr4m",
        folder=folder,
        files=(*files.training, *files.test.values()),
        splits=tuple(split for split, there in has.items() if there),
        domains=("page", "live"),
        image_root=images if images.is_dir() else folder,
        stage=partial(_stage, folder=folder, files=files, encoding=encoding),
        file_of=partial(_file_of, files=files),
        encoding=encoding,
    )


def products_of(answers: dict[str, list[str]]) -> dict[str, str]:
    """Image -> its product: the images that are right answers to one clip are of one product.

    The product is called by the first of its images, by length and then by code point.

    Args:
        answers: clip -> images.

    >>> products_of({"clip 1": ["b", "a"], "clip 2": ["b", "c"], "clip 3": ["d"]})
    {'b': 'a', 'a': 'a', 'c': 'a', 'd': 'd'}
    """
    parent: dict[str, str] = {}

    def root(image: str) -> str:
        parent.setdefault(image, image)
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image

    for images in answers.values():
        for image in images:
            first, second = sorted((root(images[0]), root(image)), key=lambda name: (len(name), name))
            parent[second] = first
    return {image: root(image) for image in parent}


def _matches(names: dict[str, str], pattern: str) -> list[str]:
    """The files whose names fit a pattern, except for `.gz` and `.zst`."""
    return [names[name] for name in fnmatch.filter(names, pattern)]


def _test_files(folder: Path) -> dict[str, str]:
    names = text_files(folder)
    found = {pattern: _matches(names, pattern) for pattern in (_ANSWERS, _GALLERIES, _FRAMES, _SPEECH, _TITLES)}
    if not any(found.values()):
        return {}
    missing = [pattern for pattern in (_ANSWERS, _GALLERIES, _FRAMES) if not found[pattern]]
    several = [name for names in found.values() for name in names[1:]]
    if missing or several:
        problem = f"{', '.join(missing)} missing" if missing else f"{', '.join(several)} beside another of its kind"
        raise ReleaseError(f"{folder}: {problem}; the test of LPR4M has one file of each kind")
    return {pattern: names[0] for pattern, names in found.items() if names}


def _file_of(split: Split, domain: DomainName, *, files: _Files) -> str:
    if split == "train":
        return files.training[0]
    return files.test[_ANSWERS if domain == "live" else _GALLERIES]


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    files: _Files,
    encoding: str | None,
) -> dict[str, str]:
    staging, reading = Staging(connection), Reading(advance, encoding)
    shop: dict[str, tuple[str, str]] = {}
    for name in files.training:
        for line, text in reading.lines(folder / name):
            _add_training(staging, folder / name, line, text, shop)
    if files.test:
        _add_test(staging, folder, files.test, reading)
    splits: tuple[Split, ...] = (*(("train",) if files.training else ()), *(("validation",) if files.test else ()))
    staging.finish(splits, n_rows=reading.n_rows)
    return reading.digests


def _add_training(staging: Staging, path: Path, line: int, text: str | None, shop: dict[str, tuple[str, str]]) -> None:
    """Stage one clip, and its image where `shop` (image -> title and category) lacks it, or has it otherwise."""
    file = path.name
    fields = [field.strip() for field in text.split("\t")] if text is not None else []
    if text is not None and line == 1 and len(fields) != _N_FIELDS:
        raise ReleaseError(
            f"{path}:1: {len(fields)} fields separated by tabs; expected the {_N_FIELDS} of the full training "
            "set (the subset LPR750K has others, and is not read)"
        )
    frames = _frame_ids(fields[1]) if len(fields) == _N_FIELDS else None
    if text is None or frames is None or not fields[0] or not _is_id(fields[3]):
        staging.add(ReleaseFault(file, line, "bad_encoding" if text is None else "bad_row", (text or "")[:100]))
        return
    clip, image, title, category, speech = (fields[i] for i in (0, 3, 4, 6, 7))
    staging.add(SampleRow(file, line, "train", "live", clip, image, speech or None, category or None))
    for frame in frames:
        if frame.rpartition("-")[0] == clip:
            _add_frame(staging, file, line, "train", frame)
        else:
            staging.add(ReleaseFault(file, line, "bad_row", frame))
    if shop.get(image) != (title, category):
        staging.add(SampleRow(file, line, "train", "page", image, image, title or None, category or None))
    if image not in shop:
        shop[image] = title, category
        staging.add(FrameRow(file, line, "train", "page", image, 0, image + _SUFFIX))


def _frame_ids(written: str) -> list[str] | None:
    """The ids of a list as Python writes it, or None where it is something else."""
    try:
        found = ast.literal_eval(written)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # what `literal_eval` says it may raise
        return None
    return found if isinstance(found, list) and all(isinstance(frame, str) for frame in found) else None


def _add_frame(staging: Staging, file: str, line: int, split: Split, frame: str) -> None:
    """Stage the frame `LIVE-START-END-FRAME`."""
    clip, _, index = frame.rpartition("-")
    if not clip or not _is_id(frame):
        staging.add(ReleaseFault(file, line, "bad_image_name", frame))
    elif re.fullmatch(r"[0-9]{1,18}", index) is None:
        staging.add(ReleaseFault(file, line, "bad_number", frame))
    else:
        staging.add(FrameRow(file, line, split, "live", clip, int(index), frame + _SUFFIX))


def _add_test(staging: Staging, folder: Path, files: dict[str, str], reading: Reading) -> None:
    titles = dict(_texts(staging, folder, files.get(_TITLES), reading))
    speech = dict(_texts(staging, folder, files.get(_SPEECH), reading))
    galleries = _id_lists(staging, folder / files[_GALLERIES], reading)
    answers = _id_lists(staging, folder / files[_ANSWERS], reading)
    known = _known_answers(staging, files[_ANSWERS], answers, galleries)
    product_of = products_of(known)
    for live, images in galleries.items():
        for image in dict.fromkeys(images):
            page = f"{live}/{image}"
            product = product_of.get(page, page)
            row = SampleRow(files[_GALLERIES], 0, "validation", "page", page, product, titles.get(image), gallery=live)
            staging.add(row)
            staging.add(FrameRow(files[_GALLERIES], 0, "validation", "page", page, 0, image + _SUFFIX))
    for clip, pages in known.items():
        row = SampleRow(
            files[_ANSWERS], 0, "validation", "live", clip, product_of[pages[0]], speech.get(clip), gallery=_live(clip)
        )
        staging.add(row)
    for line, text in reading.lines(folder / files[_FRAMES]):
        name = text.rsplit("/", 1)[-1] if text is not None else ""
        if text is None or not name.endswith(_SUFFIX):
            staging.add(
                ReleaseFault(files[_FRAMES], line, "bad_encoding" if text is None else "bad_row", (text or "")[:100])
            )
        else:
            _add_frame(staging, files[_FRAMES], line, "validation", name.removesuffix(_SUFFIX))


def _texts(staging: Staging, folder: Path, name: str | None, reading: Reading) -> Iterator[tuple[str, str]]:
    """The ids and texts of a file, without those that are empty; empty if the file does not exist."""
    for line, text in reading.lines(folder / name) if name is not None else ():
        key, tab, body = (text or "").partition("\t")
        if text is None or not tab or not key.strip():
            staging.add(
                ReleaseFault(str(name), line, "bad_encoding" if text is None else "bad_row", (text or "")[:100])
            )
        elif body.strip():
            yield key.strip(), body.strip()


def _id_lists(staging: Staging, path: Path, reading: Reading) -> dict[str, list[str]]:
    """The object of a JSON file as id -> ids; `.jpg` after an id is taken off."""
    found: dict[str, list[str]] = {}
    for key, value in reading.object(path).items():
        if isinstance(value, list) and all(_is_id(one) for one in (key, *value)):
            found[key] = [one.removesuffix(_SUFFIX) for one in value]
        else:
            staging.add(ReleaseFault(path.name, 0, "bad_row", key))
    return found


def _is_id(value: Any) -> bool:  # noqa: ANN401 -- JSON
    """Whether it can be the name of a file, except for the suffix."""
    return isinstance(value, str) and is_inside(value) and "/" not in value


def _live(clip: str) -> str:
    """The live stream of `LIVE-START-END`."""
    return clip.rsplit("-", 2)[0]


def _known_answers(
    staging: Staging, file: str, answers: dict[str, list[str]], galleries: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Clip -> the pages of its gallery that are right answers; clips without any are left out, and reported."""
    shops = {live: set(images) for live, images in galleries.items()}
    known: dict[str, list[str]] = {}
    for clip, images in answers.items():
        live = _live(clip)
        for image in images:
            if image not in shops.get(live, ()):
                staging.add(ReleaseFault(file, 0, "not_in_gallery", f"{clip}, {image}"))
        pages = [f"{live}/{image}" for image in dict.fromkeys(images) if image in shops.get(live, ())]
        if pages:
            known[clip] = pages
        else:
            staging.add(ReleaseFault(file, 0, "no_answer", clip))
    _report_partial(staging, file, known)
    return known


def _report_partial(staging: Staging, file: str, known: dict[str, list[str]]) -> None:
    product_of = products_of(known)
    sizes = Counter(product_of.values())
    for clip, pages in known.items():
        if len(pages) < sizes[product_of[pages[0]]]:
            staging.add(ReleaseFault(file, 0, "partial_answer", clip))
