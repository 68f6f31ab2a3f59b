"""A person's own data: one table of samples, and a folder of images and videos for each domain.

`samples.csv` or `samples.parquet` has a row a sample with the columns `domain` (page, video, live, or another name of
lower-case letters, in the singular), `sample_id` and `product_id`; `text`, `category`, `split` (train or validation)
and `gallery` may be there too. Without the column `split`, all is `validation`. The media of a sample are found under
its id in the folder of its domain, which is called as the domain with an s: `pages/`, `videos/`, `lives/` and so on. A
sample of a domain that is none of these three may be only a text. See `rope.sources.media_files` for ids that are not
exactly the names of files.

* `ID.jpg`, `.jpeg`, `.png` or `.webp`: an image;
* `ID.mp4`, `.mov`, `.webm`, `.mkv` or `.avi`: a video file (not for a page);
* `ID.wav`, `.flac`, `.mp3`, `.m4a`, `.ogg` or `.opus`: its sound, beside one of the others but a video file;
* `ID/`: a folder of frames, each with its number at the end of the name, before the suffix: `12.jpg`, `shot_0012.png`.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rope.domain import SPLITS, DomainName, Split, config_of, domain_problem, with_published
from rope.errors import ReleaseError, UsageError
from rope.sources.csv_rows import csv_rows
from rope.sources.faults import ReleaseFault, shortened
from rope.sources.looks import look_of
from rope.sources.media_files import IMAGES, VIDEOS, MediaEntry, find_entries, match_entries, suffix_of
from rope.sources.reading import listing_hash
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging
from rope.sources.text import DAMAGED, read_text, text_files

__all__ = ["find_release", "looks_like"]

_CSV: Final = "samples.csv"
_PARQUET: Final = "samples.parquet"
_REQUIRED: Final = ("domain", "sample_id", "product_id")
_COLUMNS: Final = (*_REQUIRED, "text", "category", "split", "gallery")

Row = tuple[int, dict[str, str]]
"""The line of a row (in Parquet, its number), and its values; missing and null ones are empty."""

Media = Mapping[DomainName, Mapping[str, list[MediaEntry] | None]]
"""Domain -> sample id -> what was found; more than one entry is a fault of the sample, and so is None."""


def looks_like(folder: Path) -> bool:
    """Whether a folder holds a table of samples."""
    return bool(_tables(folder))


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Read the table of a folder, and list its media.

    Args:
        folder: where the table is.
        encoding: of a CSV file without a byte order mark; None for UTF-8.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it has no table or two, the table cannot be read, has no rows or lacks a column, or there is no
            folder of media.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a folder with {_CSV} or {_PARQUET}")
    names = _tables(folder)
    if len(names) != 1:
        raise ReleaseError(f"{folder}: {' and '.join(names) or 'no table'}; expected one of {_CSV} or {_PARQUET}")
    table = folder / names[0]
    rows = list(_read_parquet(table) if table.name == _PARQUET else _read_csv(table, encoding))
    domains = _domains(folder, rows)
    if not rows or not domains:
        what = "no rows" if not rows else f"next to it is none of the folders {', '.join(map(config_of, _named(rows)))}"
        raise ReleaseError(f"{table}: {what}; expected a row and an image or video for each sample")
    found = {domain: find_entries(folder, config_of(domain)) for domain in domains}
    media: Media = {domain: match_entries(_ids(rows, domain), found[domain]) for domain in domains}
    return ReleaseSource(
        kind="folder",
        folder=folder,
        files=(table.name,),
        splits=_splits(rows),
        domains=domains,
        image_root=folder,
        stage=partial(_stage, table=table, rows=rows, media=media),
        file_of=partial(_file_of, name=table.name),
        listings={config_of(domain): _hash_of(entries) for domain, entries in found.items()},
        encoding=encoding,
    )


def _tables(folder: Path) -> list[str]:
    csv = text_files(folder).get(_CSV)
    return [name for name in (csv, _PARQUET) if name is not None and (folder / name).is_file()]


def _file_of(split: Split, domain: DomainName, *, name: str) -> str:
    return name


def _hash_of(media: Mapping[str, list[MediaEntry]]) -> str:
    return listing_hash([name for entries in media.values() for entry in entries for name in entry.names])


def _splits(rows: list[Row]) -> tuple[Split, ...]:
    named = {values["split"] or SPLITS[1] for _, values in rows}
    return tuple(split for split in SPLITS if split in named)


def _ids(rows: list[Row], domain: DomainName) -> set[str]:
    return {values["sample_id"] for _, values in rows if values["domain"] == domain}


def _named(rows: list[Row]) -> tuple[DomainName, ...]:
    """The domains that a table may have samples of: those of ROPE, and others that it names."""
    named = (values["domain"] for _, values in rows)
    return with_published(domain for domain in named if domain_problem(domain) is None)


def _domains(folder: Path, rows: list[Row]) -> tuple[DomainName, ...]:
    """Those of them that have a folder, even an empty one: a domain without one is taken for a slip of the pen."""
    return tuple(domain for domain in _named(rows) if (folder / config_of(domain)).is_dir())


def _read_csv(path: Path, encoding: str | None) -> Iterator[Row]:
    """The rows of a CSV file with a header; the line of a row is that where it ends."""
    text = read_text(path, encoding=encoding)
    try:
        rows = csv_rows(text)
        _, header = next(rows, (1, []))
        names = [name.strip().lower() for name in header]
        _check_columns(path, names, look_of(text[:100_000].encode("utf-8", "surrogateescape")))
        for line, fields in rows:
            values = dict(zip(names, fields, strict=False)) if len(fields) <= len(names) else {}
            yield line, {name: values.get(name, "").strip() for name in _COLUMNS}
    except ValueError as error:
        raise ReleaseError(f"{path}: cannot be read as CSV ({error})") from error


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names, "")
            table = file.read(columns=[name for name in _COLUMNS if name in names])
    except (OSError, pa.ArrowException) as error:
        raise ReleaseError(f"{path}: cannot be read as Parquet ({error})") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        yield number, {name: "" if values.get(name) is None else str(values[name]).strip() for name in _COLUMNS}


def _check_columns(path: Path, names: list[str], look: str) -> None:
    missing = [name for name in _REQUIRED if name not in names]
    unknown = [name for name in names if name not in _COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        raise ReleaseError(
            f"{path}: columns are {shortened(', '.join(names)) or 'none'}; expected {', '.join(_REQUIRED)} and any of "
            f"{', '.join(_COLUMNS[len(_REQUIRED) :])}, each once{f'; it looks like {look}' if look else ''}"
        )


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
    staging.finish(_splits(rows), media, {table.name: len(rows)})
    return {table.name: hashlib.sha256(content).hexdigest()}


def _add_sample(staging: Staging, file: str, line: int, values: dict[str, str], media: Media) -> None:
    domain = next((domain for domain in media if domain == values["domain"]), None)
    split = next((split for split in SPLITS if split == (values["split"] or SPLITS[1])), None)
    sample_id, product_id = values["sample_id"], values["product_id"]
    if domain is None or split is None or not sample_id or not product_id or DAMAGED in "".join(values.values()):
        staging.add(ReleaseFault(file, line, *_what_is_wrong(values, media)))
        return
    found = media[domain].get(sample_id, [])
    sounds = [entry.names[0] for entry in found or () if entry.is_sound]
    entries = [entry for entry in found or () if not entry.is_sound]
    names = [name for entry in entries for name in entry.names]
    videos = [name for name in names if suffix_of(name) in VIDEOS]
    is_ambiguous = found is None or len(entries) > 1 or len(sounds) > 1 or (videos and (len(names) > 1 or sounds))
    if is_ambiguous or (domain == "page" and (videos or len(names) > 1)):
        staging.add(ReleaseFault(file, line, "ambiguous_media", sample_id))
        return
    text, category, gallery = (values[name] or None for name in ("text", "category", "gallery"))
    video = videos[0] if videos else None
    audio = sounds[0] if sounds else None
    staging.add(SampleRow(file, line, split, domain, sample_id, product_id, text, category, video, gallery, audio))
    if not videos:
        is_numbered = domain != "page" and any(entry.is_folder for entry in entries)
        _add_frames(staging, FrameRow(file, line, split, domain, sample_id, 0, ""), names, is_numbered)


def _what_is_wrong(values: dict[str, str], media: Media) -> tuple[str, str]:
    """The kind of fault of a row that cannot be read, and what it is about."""
    sample_id, domain, split = values["sample_id"], values["domain"], values["split"]
    if DAMAGED in "".join(values.values()):
        return "bad_encoding", sample_id.replace(DAMAGED, "\ufffd")
    if not domain or not sample_id or not values["product_id"]:
        return "bad_row", ", ".join(values[name] for name in _REQUIRED)
    if domain not in media:
        return "unknown_domain", f"{sample_id}: {domain}; there are {', '.join(media)}"
    return "unknown_split", f"{sample_id}: {split}; there are {' and '.join(SPLITS)}"


def _add_frames(staging: Staging, like: FrameRow, names: list[str], is_numbered: bool) -> None:
    """Stage the images of a sample, each at the number at the end of its name where they are numbered."""
    for name in names:
        number = re.search(r"[0-9]{1,18}$", Path(name).stem)
        if suffix_of(name) not in IMAGES:
            staging.add(ReleaseFault(name, 0, "unreadable_image", like.sample_id))
        elif is_numbered and number is None:
            staging.add(ReleaseFault(name, 0, "bad_number", like.sample_id))
        else:
            time = int(number[0]) if is_numbered and number is not None else 0
            staging.add(replace(like, time=time, image=name))
