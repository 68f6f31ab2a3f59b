"""Tar files for those who train with WebDataset: the same samples give the same bytes, wherever it was interrupted.

A sample is a run of members with one key, as https://github.com/webdataset/webdataset groups them: `KEY.json`, then
`KEY.0000.jpg`, `KEY.0001.jpg` and so on, its frames in temporal order; or `KEY.mp4`, where a sample is a video file.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rope.console import progress_bar
from rope.dataset.directory import iter_rows, shard_names
from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.domain import SPLITS, DomainName, Frame, Split, config_of
from rope.errors import DatasetError, UsageError
from rope.files import atomic_path, sha256_of
from rope.media.containers import sound_extension, video_extension
from rope.media.images import read_header
from rope.workdir import WorkFolder, json_differences

__all__ = ["INDEX_NAME", "ExportReport", "escape_id", "export_webdataset"]

INDEX_NAME: Final = "export.json"
"""Written last: options, fingerprint, and the samples, bytes and SHA-256 of each tar file."""

_RECORDS_NAME: Final = ".export"
_VERSION: Final = 2
"""A change that alters the bytes of an export makes it higher, so that no half-written one is continued."""

_EXTENSIONS: Final = {"JPEG": "jpg", "MPO": "jpg"}
"""What decoders of WebDataset go by; for other formats, Pillow's name is the extension."""

Row = dict[str, Any]
Member = tuple[str, bytes]
"""Name and content of a file in a tar file."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did: tar files, samples and bytes in all, and whether anything was left to do."""

    n_files: int
    n_samples: int
    n_bytes: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Record:
    """A finished tar file: its samples, its size in bytes and the SHA-256 of its bytes."""

    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is exported, and how; `to` holds the tar files."""

    directory: Path
    manifest: DatasetManifest
    to: Path
    shard_bytes: int

    @property
    def work(self) -> WorkFolder:
        """The output while it is not finished."""
        text, note = _json(self.key()), f"{_RECORDS_NAME}/key.json"
        return WorkFolder(
            self.to, note, text, "an unfinished export", json_differences(text), written=lambda: _tar_files(self.to)
        )

    def key(self) -> dict[str, Any]:
        """Everything that decides the bytes of the tar files."""
        return {
            "format": "webdataset",
            "version": _VERSION,
            "name": self.manifest.name,
            "fingerprint": self.manifest.fingerprint,
            "shard_bytes": self.shard_bytes,
            "shards": {name: shard.sha256 for name, shard in self.manifest.shards.items()},
        }


def export_webdataset(
    directory: Path, to: Path, *, shard_bytes: int = 256 << 20, overwrite: bool = False, progress: bool = True
) -> ExportReport:
    """Write the samples of a dataset directory as `pages-train-000000.tar` and so on; repeat the call to resume.

    Rows keep their canonical order, which is by id; shuffle when reading. Every member has time 0, owner 0 and mode
    644. A tar file appears when it is whole, and `export.json` when all are.

    Args:
        directory: a finished dataset directory.
        to: the folder to fill: empty or new, or an export of this dataset with this size, finished or not.
        shard_bytes: a tar file ends with the sample that brings its members to this size.
        overwrite: remove what an unfinished export of something else left in `to`, and start over.
        progress: whether to draw a bar on stderr.

    Raises:
        UsageError: a size below 1, or a folder with something else in it.
        DatasetError: a shard or an image cannot be read.
    """
    if shard_bytes < 1:
        raise UsageError(f"need tar files of at least 1 byte, got {shard_bytes}")
    plan = _Plan(directory, read_manifest(directory), to, shard_bytes)
    if (to / INDEX_NAME).is_file():
        return _up_to_date(plan)
    with plan.work.claimed(overwrite=overwrite):
        index = {**plan.key(), "files": _export_all(plan, progress)}
        with atomic_path(to / INDEX_NAME) as temporary:
            temporary.write_text(_json(index, indent=2) + "\n", "utf-8")
        _tidy(plan)
    return _report(index, is_new=True)


def _export_all(plan: _Plan, progress: bool) -> dict[str, dict[str, Any]]:
    """Write the tar files that are not there yet; returns what is known of all."""
    configs = [config_of(domain) for domain in plan.manifest.domains]
    n_samples = sum(counts[config] for counts in plan.manifest.counts.values() for config in configs)
    files: dict[str, _Record] = {}
    with progress_bar("exporting", n_samples, shown=progress) as advance:
        for domain in plan.manifest.domains:
            for split in SPLITS:
                files |= _export_table(plan, domain, split, advance)
    return {name: asdict(record) for name, record in sorted(files.items())}


def escape_id(sample_id: str) -> str:
    """A sample id as a key: what is not an ASCII letter, a digit, `_`, `-` or `~` is percent-encoded in UTF-8.

    WebDataset ends a key at the first dot and takes a slash for a folder. `urllib.parse.unquote` gives the id back;
    it is also in the JSON.

    >>> escape_id("12"), escape_id("a.b/c"), escape_id("果")
    ('12', 'a%2Eb%2Fc', '%E6%9E%9C')
    """
    return quote(sample_id, safe="").replace(".", "%2E")


def _up_to_date(plan: _Plan) -> ExportReport:
    index = json.loads((plan.to / INDEX_NAME).read_text("utf-8"))
    key = plan.key()
    if {name: index.get(name) for name in key} != key:
        raise UsageError(f"{plan.to}: another export is there already; choose another folder, or delete it")
    _tidy(plan)
    return _report(index, is_new=False)


def _tidy(plan: _Plan) -> None:
    """Remove what was kept to resume, and what a killed export left half-written."""
    for path in plan.to.glob(".*.part"):
        path.unlink()
    plan.work.finish()


def _tar_files(to: Path) -> list[Path]:
    """The tar files of an export, and what is half-written of one."""
    return [path for path in to.iterdir() if re.fullmatch(r"\.?[a-z]+-[a-z]+-\d{6}\.tar(\.\d+\.part)?", path.name)]


def _report(index: dict[str, Any], *, is_new: bool) -> ExportReport:
    files = index["files"].values()
    return ExportReport(len(files), sum(f["samples"] for f in files), sum(f["bytes"] for f in files), is_new)


def _export_table(plan: _Plan, domain: DomainName, split: Split, advance: Callable[[int], None]) -> dict[str, _Record]:
    """Write the tar files of one domain and split that are not there yet; returns the records of all."""
    config = config_of(domain)
    n_rows = plan.manifest.counts.get(split, {}).get(config, 0)
    records = _read_records(plan.to, f"{config}-{split}")
    row = sum(record.samples for record in records.values())
    advance(row)
    paths = [plan.directory / name for name in shard_names(plan.manifest, config, split)]
    rows = iter_rows(paths, start=row)
    samples = ([*_members(row, domain, split)] for row in rows)
    while row < n_rows:
        name = f"{config}-{split}-{len(records):06d}.tar"
        with atomic_path(plan.to / name) as temporary:
            n_written = _write_tar(temporary, samples, plan.shard_bytes, advance)
        if n_written == 0:
            raise DatasetError(f"{plan.directory}: {config} {split} ends after {row:,} of {n_rows:,} rows")
        path = plan.to / name
        records[name] = _Record(n_written, path.stat().st_size, sha256_of(path))
        with atomic_path(plan.to / _RECORDS_NAME / f"{name}.json") as temporary:
            temporary.write_text(_json(asdict(records[name])), "utf-8")
        row += n_written
    return records


def _read_records(to: Path, stem: str) -> dict[str, _Record]:
    """The finished tar files of a table, up to the first that is missing."""
    records: dict[str, _Record] = {}
    while (path := to / _RECORDS_NAME / f"{stem}-{len(records):06d}.tar.json").is_file() and (to / path.stem).is_file():
        records[path.stem] = _Record(**json.loads(path.read_text("utf-8")))
    return records


def _write_tar(path: Path, samples: Iterator[list[Member]], shard_bytes: int, advance: Callable[[int], None]) -> int:
    """Write samples until their members reach the size; returns how many."""
    n_samples = n_bytes = 0
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for members in samples:
            for name, content in members:
                info = tarfile.TarInfo(name)  # whose time and owner are 0, and mode 644
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
                n_bytes += len(content)
            n_samples += 1
            advance(1)
            if n_bytes >= shard_bytes:
                break
    return n_samples


def _members(row: Row, domain: DomainName, split: Split) -> Iterator[Member]:
    """The files of a sample."""
    key = escape_id(row["sample_id"])
    described = {name: row[name] for name in ("sample_id", "product_id", "text", "category", "frame_times")}
    yield f"{key}.json", (_json({**described, "domain": domain, "split": split}) + "\n").encode()
    for i, frame in enumerate(row["frames"]):
        where = f"{domain} {row['sample_id']}, frame {i}"
        content = _content(frame, where)
        yield f"{key}.{i:04d}.{_extension(content, where)}", content
    for name, kind, extension_of in (("video", "video", video_extension), ("audio", "sound", sound_extension)):
        if row.get(name) is not None:
            where = f"{domain} {row['sample_id']}, {name}"
            content = _content(row[name], where)
            if (extension := extension_of(content)) is None:
                raise DatasetError(f"{where}: does not begin like a {kind} file; rope validate lists all that is wrong")
            yield f"{key}.{extension}", content


def _content(stored: dict[str, Any], where: str) -> bytes:
    """The encoded image or video, read from its file where the dataset has paths."""
    if stored["bytes"] is not None:
        return bytes(stored["bytes"])
    try:
        return Path(stored["path"]).read_bytes()
    except OSError as error:
        raise DatasetError(f"{where}: its file cannot be read ({error}); nothing was written in its place") from error


def _extension(content: bytes, where: str) -> str:
    try:
        name = read_header(Frame(content)).format
    except DatasetError as error:
        raise DatasetError(
            f"{where}: is not an image that Pillow knows; rope validate lists all that is wrong"
        ) from error
    return _EXTENSIONS.get(name, name.lower())


def _json(value: dict[str, Any], indent: int | None = None) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent)
