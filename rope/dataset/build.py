"""A release on disk becomes a dataset directory.

Everything is made in `OUT/.build`: the release is staged in a database, shards are written one after the other, then
all is moved to its place and `rope.json` is written last. A build that was killed at any moment and is started again
resumes there, and ends with the same bytes.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from rope.console import progress_bar
from rope.dataset.card import render_card
from rope.dataset.columns import optional_columns, schemas_of
from rope.dataset.fault_list import FAULTS_NAME, count_faults, read_faults, registered_faults, write_faults
from rope.dataset.fingerprint import fingerprint
from rope.dataset.layout import shard_name, unfinished_files
from rope.dataset.manifest import MANIFEST_NAME, DatasetManifest, Media, Shard, read_manifest, write_manifest
from rope.dataset.queries import write_release_queries
from rope.dataset.rows import GROUP_BYTES, Images, product_batches, sample_batches
from rope.dataset.shards import read_records, write_shards
from rope.domain import DomainName, Split, config_of, with_published
from rope.errors import ReleaseError, UsageError
from rope.fetch.tar_shards import has_shards, load_places
from rope.files import atomic_path, sha256_of
from rope.schema import FORMAT_VERSION, product_schema
from rope.sources.faults import FaultCount, ReleaseFault
from rope.sources.formats import Format, find_source
from rope.sources.frame_subsampling import subsample_frames
from rope.sources.source import ReleaseSource
from rope.sources.unusable import commonest, refuse_unusable
from rope.sql import literal
from rope.workdir import WorkFolder, json_differences

__all__ = ["FAULTS_NAME", "BuildReport", "build_dataset"]

_VERSION: Final = 2
"""A change that alters the bytes of a dataset makes it higher, so that no half-built one is continued."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The outcome of a build.

    Attributes:
        manifest: of the dataset.
        faults: each kind that was found, most serious rules first.
        is_new: False if the dataset was there already, made from the same release with the same options.
    """

    manifest: DatasetManifest
    faults: tuple[FaultCount, ...]
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that decides the bytes of a build, except for the content of the files."""

    release: ReleaseSource
    out: Path
    images: Images
    name: str
    shard_bytes: int
    n_frames: int | None

    @property
    def folder(self) -> Path:
        return self.out / ".build"

    @property
    def work(self) -> WorkFolder:
        """The output while it is not finished; a list of faults alone is what a refused release leaves behind."""
        stats = {name: (self.release.folder / name).stat() for name in self.release.files}
        inputs = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
        source = {"kind": self.release.kind, **self.release.listings}
        given = {"source": source, "inputs": inputs, "images": str(self.images.root), "options": self.options()}
        text = json.dumps(given, sort_keys=True)
        return WorkFolder(
            self.out,
            f"{self.folder.name}/key.json",
            text,
            "an unfinished build",
            json_differences(text),
            frozenset({FAULTS_NAME}),
            lambda: unfinished_files(self.out),
        )

    @property
    def domains(self) -> tuple[DomainName, ...]:
        """The domains of the dataset, even if they are empty."""
        return with_published(self.release.domains)

    @property
    def configs(self) -> tuple[str, ...]:
        """The folders of samples, then that of products."""
        return (*(config_of(domain) for domain in self.domains), "products")

    @property
    def group_bytes(self) -> int:
        """Of a row group; some of them make a shard, however small it is to be."""
        return min(GROUP_BYTES, max(1, self.shard_bytes // 4))

    def options(self) -> dict[str, Any]:
        """What is not in the release; the image folder counts only where its path is written."""
        root = str(self.images.root) if self.images.media == "reference" else None
        options = {
            "version": _VERSION,
            "name": self.name,
            "media": self.images.media,
            "image_root": root,
            "shard_bytes": self.shard_bytes,
        }
        added = {"n_frames": self.n_frames, "encoding": self.release.encoding}
        return options | {name: value for name, value in added.items() if value is not None}


def build_dataset(
    release: Path | ReleaseSource,
    out: Path,
    *,
    release_format: Format | None = None,
    encoding: str | None = None,
    media: Media = "embed",
    image_root: Path | None = None,
    name: str | None = None,
    n_frames: int | None = None,
    shard_bytes: int = 256 << 20,
    memory_bytes: int = 1 << 30,
    strict: bool = False,
    overwrite: bool = False,
    complete: Callable[[Path], Sequence[str]] | None = None,
    progress: bool = True,
) -> BuildReport:
    """Build a dataset directory from a release.

    Args:
        release: the folder with the text files; or a release that was found already, by any reader.
        out: the dataset directory to make; also where a killed build is continued.
        release_format: see `rope.sources.formats`; None to tell it by the names of the files.
        encoding: of text files without a byte order mark, as Python calls it; None for UTF-8. It belongs to a release
            that was found already.
        media: `embed` copies and checks the images; `reference` writes their paths, without looking at the files.
        image_root: what names of images and videos are relative to; None for where the format has them, which is
            `images` in a ROPE release, or else the release itself.
        name: of the dataset, in its card and in results; None for that of an open dataset, or of the release's folder.
        n_frames: read only those frames of a clip that a model with so many frames is given, as `rope fetch --frames`
            fetches; None for all.
        shard_bytes: about the size of a shard.
        memory_bytes: limit of the database; the whole needs a few hundred MB more.
        strict: refuse a release with any fault that leaves something out.
        overwrite: remove what an unfinished build of something else left in `out`, and start over.
        complete: writes what else belongs to the dataset into a folder that has its card, `README.md`, which it may
            replace, and returns the names of its files. They are in `out` before the manifest is. It is called for a
            dataset that is there already too.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: a folder does not exist, `out` is something else, or an option is out of range.
        ReleaseError: a file is missing or of another kind, most of its rows cannot be read, nothing is left of a split,
            or `strict` is set and there are faults. What was found until then is in `faults.tsv` in `out`.
    """
    if shard_bytes < 1 or memory_bytes < 64 << 20:
        raise UsageError(f"need shards of at least 1 byte and 64 MiB of memory, got {shard_bytes} and {memory_bytes}")
    if n_frames is not None and n_frames < 1:
        raise UsageError(f"need at least 1 frame of a clip, got {n_frames}")
    found = release if isinstance(release, ReleaseSource) else find_source(release, release_format, encoding)
    root = image_root or found.image_root
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; expected the folder that image names are relative to")
    in_shards = has_shards(root)
    if in_shards and media == "reference":
        raise UsageError(f"{root}: images are in tar shards, where no path leads to them; build with --media embed")
    images = Images(media, root.absolute(), in_shards, found.shown_as)
    plan = _Plan(found, out, images, name or found.name or found.folder.resolve().name, shard_bytes, n_frames)
    _refuse_company(plan)
    if (out / MANIFEST_NAME).is_file():
        report = _up_to_date(plan, strict)
        if complete is not None:
            complete(out)
        write_release_queries(found, root, out, report.manifest)
        return report
    with plan.work.claimed(overwrite=overwrite):
        _build(plan, memory_bytes, strict, progress)
        hashes = json.loads((plan.folder / "staged.json").read_text("utf-8"))
        manifest = _publish(plan, hashes, complete or (lambda _: ()))
    return BuildReport(manifest, read_faults(out / FAULTS_NAME), is_new=True)


def _build(plan: _Plan, memory_bytes: int, strict: bool, progress: bool) -> None:
    """Write all shards and the list of faults into the build folder, as far as they are not there."""
    try:
        with _open_staged(plan, memory_bytes, progress) as connection:
            if plan.images.in_shards:
                load_places(connection, plan.images.root, "places")
            with _keeping_faults(connection, plan):
                refuse_unusable(connection, plan.release)
                _refuse_no_split(connection, plan)
                if strict:
                    _refuse_left_out(count_faults(connection, "faults"), plan)
            _write_everything(connection, plan, progress)
        if strict:
            _refuse_left_out(read_faults(plan.folder / FAULTS_NAME), plan)
    except ReleaseError:
        _move(plan.folder / FAULTS_NAME, plan.out / FAULTS_NAME)
        plan.work.finish()  # an image that is corrected leaves the note as it was
        raise
    except duckdb.OutOfMemoryException as error:
        raise UsageError(
            f"{plan.release.folder}: {memory_bytes >> 20} MiB of memory are not enough to join it "
            f"({str(error).splitlines()[0]}); allow more with --memory"
        ) from error


def _refuse_company(plan: _Plan) -> None:
    """Raise if another process is building in the same place; it holds the lock of the database."""
    database = plan.folder / "staged.duckdb"
    try:
        if database.exists():
            duckdb.connect(str(database)).close()
    except duckdb.Error as error:
        if "lock" in str(error):
            raise UsageError(
                f"{plan.out}: another process is building here; wait for it, or choose another folder"
            ) from error


def _up_to_date(plan: _Plan, strict: bool) -> BuildReport:
    manifest = read_manifest(plan.out)
    hashes = {name: sha256_of(plan.release.folder / name) for name in plan.release.files}
    if manifest.source != _source(plan, hashes):
        raise UsageError(
            f"{plan.out}: a dataset is there already, from another release or with other options; choose another "
            "folder, or delete it"
        )
    shutil.rmtree(plan.folder, ignore_errors=True)
    faults = read_faults(plan.out / FAULTS_NAME)
    if strict:
        _refuse_left_out(faults, plan)
    return BuildReport(manifest, faults, is_new=False)


def _source(plan: _Plan, hashes: dict[str, str]) -> dict[str, str]:
    options = hashlib.sha256(json.dumps(plan.options(), sort_keys=True).encode()).hexdigest()
    return {"kind": plan.release.kind, "options": options, **plan.release.listings, **hashes}


def _open_staged(plan: _Plan, memory_bytes: int, progress: bool) -> duckdb.DuckDBPyConnection:
    """The staged release; read now, unless a build before this one has finished doing so."""
    database, done = plan.folder / "staged.duckdb", plan.folder / "staged.json"
    if not done.exists():
        for path in plan.folder.glob("staged.duckdb*"):
            path.unlink()
    connection = duckdb.connect(str(database))
    try:
        connection.execute(f"SET memory_limit = '{memory_bytes >> 20}MiB'")
        connection.execute(f"SET temp_directory = {literal(plan.folder / 'spill')}")
        connection.execute("SET enable_progress_bar = false")
        if not done.exists():
            n_bytes = sum((plan.release.folder / name).stat().st_size for name in plan.release.files)
            with progress_bar("reading the release", n_bytes, shown=progress) as advance:
                hashes = plan.release.stage(connection, advance)
            if plan.n_frames is not None:
                tables = [f"{split}_{domain}" for split in plan.release.splits for domain in plan.release.domains]
                subsample_frames(connection, tables, plan.n_frames)
            connection.execute("CHECKPOINT")
            with atomic_path(done) as temporary:
                temporary.write_text(json.dumps(hashes), "utf-8")
    except BaseException:
        connection.close()  # while it is open, the next build in this process would get the same database
        raise
    return connection


@contextmanager
def _keeping_faults(
    connection: duckdb.DuckDBPyConnection, plan: _Plan, more: Sequence[ReleaseFault] = ()
) -> Iterator[None]:
    """Where the block refuses the release, leave the faults of staging and `more` behind, and say where."""
    try:
        yield
    except ReleaseError as error:
        target = plan.out / FAULTS_NAME
        write_faults(connection, target, more)
        raise ReleaseError(f"{error}; all faults are in {target}") from error


def _refuse_no_split(connection: duckdb.DuckDBPyConnection, plan: _Plan) -> None:
    if not plan.release.splits:
        raise ReleaseError(f"{plan.release.folder}: no sample is of a known split: {commonest(connection, 'faults')}")


def _refuse_left_out(faults: Sequence[FaultCount], plan: _Plan) -> None:
    serious = [fault for fault in faults if fault.rule == "left out"]
    if serious:
        raise ReleaseError(
            f"{plan.release.folder}: {', '.join(f'{fault.count} x {fault.kind}' for fault in serious)}, and strict was "
            f"asked for: {'; '.join(example for fault in serious for example in fault.examples[:2])}"
        )


def _write_everything(connection: duckdb.DuckDBPyConnection, plan: _Plan, progress: bool) -> None:
    """Write all shards and the list of faults into the build folder."""
    domains, schemas = plan.release.domains, schemas_of(connection, plan.release)
    tables = [f"samples_{split}_{domain}" for split in plan.release.splits for domain in domains]
    n_rows = {table: _count(connection, table) for table in tables}
    faults: list[ReleaseFault] = []
    with progress_bar("writing samples", sum(n_rows.values()), shown=progress) as advance:
        for split in plan.release.splits:
            records = {}
            for domain in domains:
                file, schema = plan.release.file_of(split, domain), schemas[domain]
                read = sample_batches(connection, split, domain, plan.images, file, schema, plan.group_bytes)
                stem, n_source_rows = f"{config_of(domain)}-{split}", n_rows[f"samples_{split}_{domain}"]
                records[domain] = write_shards(
                    plan.folder, stem, schema, n_source_rows, read, plan.shard_bytes, advance
                )
            found = {domain: [fault for record in records[domain] for fault in record.faults] for domain in domains}
            _write_products(connection, plan, split, found)
            faults += [fault for domain in domains for fault in found[domain]]
    write_faults(connection, plan.folder / FAULTS_NAME, faults, plan.release)


def _write_products(
    connection: duckdb.DuckDBPyConnection, plan: _Plan, split: Split, found: dict[DomainName, list[ReleaseFault]]
) -> None:
    dropped: dict[DomainName, list[str]] = {
        domain: [fault.subject for fault in found.get(domain, ()) if fault.kind == "no_readable_image"]
        for domain in plan.domains
    }
    n_products, read = product_batches(connection, split, dropped)
    if n_products == 0:
        more = [fault for faults in found.values() for fault in faults]
        with _keeping_faults(connection, plan, more):
            raise ReleaseError(_nothing_left(connection, plan, split, more))
    schema = product_schema(plan.domains)
    write_shards(plan.folder, f"products-{split}", schema, n_products, read, plan.shard_bytes, lambda _: None)


def _nothing_left(
    connection: duckdb.DuckDBPyConnection, plan: _Plan, split: Split, more: Sequence[ReleaseFault]
) -> str:
    """Why a split is empty; images are spoken of where they are the cause."""
    with registered_faults(connection, more) as faults:
        known = commonest(connection, faults)
    hint = ""
    if any(fault.kind == "no_readable_image" for fault in more):
        hint = (
            f"; images are looked for in {plan.images.root}: name their folder with --image-root, or build with "
            "--media reference"
        )
    return f"{plan.release.folder}: nothing is left of the split {split}: {known or 'no sample is listed'}{hint}"


def _publish(plan: _Plan, hashes: dict[str, str], complete: Callable[[Path], Sequence[str]]) -> DatasetManifest:
    """Move what was built to its place, and write the card and the manifest."""
    shards: dict[str, Shard] = {}
    counts: dict[str, dict[str, int]] = {}
    for config in plan.configs:
        records = {split: read_records(plan.folder, f"{config}-{split}") for split in plan.release.splits}
        n_in_config = sum(map(len, records.values()))
        for split, of_split in records.items():
            for i, record in enumerate(of_split):
                target = shard_name(config, split, i, len(of_split), n_in_config)
                _move(plan.folder / f"{config}-{split}-{i:05d}.parquet", plan.out / target)
                shards[target] = Shard(record.rows, record.bytes, record.sha256)
            counts.setdefault(split, {})[config] = sum(record.rows for record in of_split)
    _move(plan.folder / FAULTS_NAME, plan.out / FAULTS_NAME)
    faults = {fault.kind: fault.count for fault in read_faults(plan.out / FAULTS_NAME)}
    manifest = DatasetManifest(
        format_version=FORMAT_VERSION,
        name=plan.name,
        source=_source(plan, hashes),
        media=plan.images.media,
        counts=counts,
        faults=faults,
        shards=shards,
        fingerprint=fingerprint(plan.out, list(shards)),
    )
    with atomic_path(plan.folder / "README.md") as temporary:
        temporary.write_text(render_card(manifest, optional_columns(plan.out, list(shards))), "utf-8")
    more = complete(plan.folder)
    write_release_queries(plan.release, plan.images.root, plan.out, manifest)
    write_manifest(plan.folder, manifest)
    # Moved, so that a kill leaves no half-written file outside the folder, and the manifest last: it makes a dataset.
    for name in ("README.md", *more, MANIFEST_NAME):
        _move(plan.folder / name, plan.out / name)
    plan.work.finish()
    return manifest


def _move(source: Path, target: Path) -> None:
    """Rename; nothing to do where a build that was killed has done it."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0])
