"""A person's own data: one table of samples, and a folder of images and videos for each domain.

`samples.csv` or `samples.parquet` has a row a sample with the columns `domain` (page, video, live, or another name of
lower-case letters, in the singular), `sample_id` and `product_id`; `text`, `category`, `split` (train or validation)
and `gallery` may be there too. Without the column `split`, all is `validation`. The media of a sample are found under
its id in the folder of its domain, which is called as the domain with an s: `pages/`, `videos/`, `lives/` and so on. A
sample of a domain that is none of these three may be a text alone.

* `ID.jpg`, `.jpeg`, `.png` or `.webp`: an image;
* `ID.mp4`, `.mov`, `.webm`, `.mkv` or `.avi`: a video file (not for a page);
* `ID.wav`, `.flac`, `.mp3`, `.m4a`, `.ogg` or `.opus`: its sound, beside one of the others but a video file;
* `ID/`: a folder of frames, each with its number at the end of the name, before the suffix: `12.jpg`, `shot_0012.png`.
"""

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rope.domain import SPLITS, DomainName, Split, config_of, domain_problem, with_published
from rope.errors import ReleaseError, UsageError
from rope.sources.faults import Fault
from rope.sources.reading import listing_hash
from rope.sources.source import Source
from rope.sources.staging import FrameRow, SampleRow, Staging

__all__ = ["find_release", "looks_like"]

_TABLES: Final = ("samples.csv", "samples.parquet")
_REQUIRED: Final = ("domain", "sample_id", "product_id")
_COLUMNS: Final = (*_REQUIRED, "text", "category", "split", "gallery")
_IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_SOUNDS: Final = frozenset({".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus"})
_VIDEOS: Final = frozenset({".mp4", ".mov", ".webm", ".mkv", ".avi"})

Row = tuple[int, dict[str, str]]
"""The line of a row (in Parquet, its number), and its values; missing and null ones are empty."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What lies under the id of a sample: a file, or a folder with its files; names are relative to the release."""

    names: tuple[str, ...]
    is_folder: bool


Media = Mapping[DomainName, Mapping[str, list[_Entry]]]
"""Domain -> sample id -> what was found; more than one entry is a fault of the sample."""


def looks_like(folder: Path) -> bool:
    """Whether a folder holds a table of samples."""
    return any((folder / name).is_file() for name in _TABLES)


def find_release(folder: Path) -> Source:
    """Read the table of a folder, and list its media.

    Raises:
        UsageError: there is no such folder.
        ReleaseError: it has no table or two, the table cannot be read, has no rows or lacks a column, or there is no
            folder of media.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a folder with samples.csv or samples.parquet")
    names = [name for name in _TABLES if (folder / name).is_file()]
    if len(names) != 1:
        raise ReleaseError(f"{folder}: {' and '.join(names) or 'no table'}; expected one of {' or '.join(_TABLES)}")
    table = folder / names[0]
    rows = list(_read_csv(table) if table.suffix == ".csv" else _read_parquet(table))
    domains = _domains(folder, rows)
    if not rows or not domains:
        what = "no rows" if not rows else f"beside it is none of the folders {', '.join(map(config_of, _named(rows)))}"
        raise ReleaseError(f"{table}: {what}; expected a row and an image or video for each sample")
    media: Media = {domain: _find_media(folder, domain) for domain in domains}
    return Source(
        kind="folder",
        folder=folder,
        files=(table.name,),
        splits=_splits(rows),
        domains=domains,
        image_root=folder,
        stage=partial(_stage, table=table, rows=rows, media=media),
        file_of=partial(_file_of, name=table.name),
        listings={config_of(domain): _hash_of(found) for domain, found in media.items()},
    )


def _file_of(split: Split, domain: DomainName, *, name: str) -> str:
    return name


def _hash_of(media: Mapping[str, list[_Entry]]) -> str:
    return listing_hash([name for entries in media.values() for entry in entries for name in entry.names])


def _splits(rows: list[Row]) -> tuple[Split, ...]:
    named = {values["split"] or SPLITS[1] for _, values in rows}
    return tuple(split for split in SPLITS if split in named)


def _named(rows: list[Row]) -> tuple[DomainName, ...]:
    """The domains that a table may have samples of: those of ROPE, and others that it names."""
    named = (values["domain"] for _, values in rows)
    return with_published(domain for domain in named if domain_problem(domain) is None)


def _domains(folder: Path, rows: list[Row]) -> tuple[DomainName, ...]:
    """Those of them that have a folder, be it empty: a domain without one is taken for a slip of the pen."""
    return tuple(domain for domain in _named(rows) if (folder / config_of(domain)).is_dir())


def _read_csv(path: Path) -> Iterator[Row]:
    """The rows of a CSV file with a header; the line of a row is that where it ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="", restval="")
            _check_columns(path, list(reader.fieldnames or ()))
            for values in reader:
                is_too_long = values.pop("", None) is not None
                bare = {name: (values.get(name) or "").strip() for name in _COLUMNS}
                yield reader.line_num, dict.fromkeys(_COLUMNS, "") if is_too_long else bare
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names)
            table = file.read(columns=[name for name in _COLUMNS if name in names])
    except (OSError, pa.ArrowException) as error:
        raise ReleaseError(f"{path}: cannot be read as Parquet ({error})") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        yield number, {name: "" if values.get(name) is None else str(values[name]).strip() for name in _COLUMNS}


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in _REQUIRED if name not in names]
    unknown = [name for name in names if name not in _COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        raise ReleaseError(
            f"{path}: columns are {', '.join(names) or 'none'}; expected {', '.join(_REQUIRED)} and any of "
            f"{', '.join(_COLUMNS[len(_REQUIRED) :])}, each once"
        )


def _find_media(folder: Path, domain: DomainName) -> dict[str, list[_Entry]]:
    """Sample id -> its entries; hidden files are passed over."""
    found: dict[str, list[_Entry]] = {}
    for path in sorted((folder / config_of(domain)).iterdir()):
        if not path.name.startswith("."):
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            names = tuple(file.relative_to(folder).as_posix() for file in files if not file.name.startswith("."))
            sample_id = path.name if path.is_dir() else path.stem
            found.setdefault(sample_id, []).append(_Entry(names, path.is_dir()))
    return found


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    table: Path,
    rows: list[Row],
    media: Media,
) -> dict[str, str]:
    staging, content = Staging(connection), table.read_bytes()
    advance(len(content))
    for line, values in rows:
        _add_sample(staging, table.name, line, values, media)
    staging.finish(_splits(rows), media)
    return {table.name: hashlib.sha256(content).hexdigest()}


def _add_sample(staging: Staging, file: str, line: int, values: dict[str, str], media: Media) -> None:
    domain = next((domain for domain in with_published(media) if domain == values["domain"]), None)
    split = next((split for split in SPLITS if split == (values["split"] or SPLITS[1])), None)
    sample_id, product_id = values["sample_id"], values["product_id"]
    if domain is None or split is None or not sample_id or not product_id:
        staging.add(Fault(file, line, "bad_row", ", ".join(values[name] for name in _REQUIRED)))
        return
    found = media.get(domain, {}).get(sample_id, [])
    sounds = [entry.names[0] for entry in found if _is_sound(entry)]
    entries = [entry for entry in found if not _is_sound(entry)]
    names = [name for entry in entries for name in entry.names]
    videos = [name for name in names if _suffix(name) in _VIDEOS]
    is_ambiguous = len(entries) > 1 or len(sounds) > 1 or (videos and (len(names) > 1 or sounds))
    if is_ambiguous or (domain == "page" and (videos or len(names) > 1)):
        staging.add(Fault(file, line, "ambiguous_media", sample_id))
        return
    text, category, gallery = (values[name] or None for name in ("text", "category", "gallery"))
    video = videos[0] if videos else None
    audio = sounds[0] if sounds else None
    staging.add(SampleRow(file, line, split, domain, sample_id, product_id, text, category, video, gallery, audio))
    if not videos:
        is_numbered = domain != "page" and any(entry.is_folder for entry in entries)
        _add_frames(staging, FrameRow(file, line, split, domain, sample_id, 0, ""), names, is_numbered)


def _add_frames(staging: Staging, like: FrameRow, names: list[str], is_numbered: bool) -> None:
    """Stage the images of a sample, each at the number at the end of its name where they are numbered."""
    for name in names:
        number = re.search(r"[0-9]{1,18}$", Path(name).stem)
        if _suffix(name) not in _IMAGES:
            staging.add(Fault(name, 0, "unreadable_image", like.sample_id))
        elif is_numbered and number is None:
            staging.add(Fault(name, 0, "bad_number", like.sample_id))
        else:
            time = int(number[0]) if is_numbered and number is not None else 0
            staging.add(replace(like, time=time, image=name))


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _is_sound(entry: _Entry) -> bool:
    return not entry.is_folder and _suffix(entry.names[0]) in _SOUNDS
