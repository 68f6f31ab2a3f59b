"""Check a dataset directory and report every problem at once: files, rows, images, and the official sizes."""

# ruff: noqa: S608 -- SQL is put together from configurations, splits and domains, which are closed sets

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

from rope.dataset.build import FAULTS_NAME
from rope.dataset.columns import schema_like
from rope.dataset.directory import open_parquet, read_labels
from rope.dataset.fingerprint import fingerprint
from rope.dataset.frame_check import FrameCheck
from rope.dataset.manifest import MANIFEST_NAME, DatasetManifest, Shard, read_manifest
from rope.dataset.queries import QUERIES_FOLDER, find_queries, query_problems, read_query_file
from rope.dataset.questions import questions
from rope.dataset.views import open_views
from rope.domain import SPLITS, Split, domain_of_config
from rope.errors import RopeError
from rope.files import AnyPath, sha256_of
from rope.schema import product_schema

__all__ = ["OFFICIAL_COUNTS", "Problem", "validate"]

OFFICIAL_COUNTS: Final[dict[Split, dict[str, int]]] = {
    "train": {"products": 187_431, "pages": 3_025_236, "videos": 5_837_716, "lives": 3_464_116},
    "validation": {"products": 2_527, "pages": 31_388, "videos": 29_810, "lives": 30_981},
}
"""The published sizes of ROPE."""

_CARD_NAME: Final = "README.md"
_N_EXAMPLES: Final = 5
_ROWS_OF_MEDIA: Final = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: the file, or configuration and split, and one sentence.

    Rows with the same fault are one problem, which counts them and names the first few.
    """

    where: str
    what: str


def validate(
    directory: AnyPath,
    *,
    decode: bool = False,
    official: bool = False,
    advance: Callable[[int], None] = lambda n_bytes: None,
) -> list[Problem]:
    """Every problem of a dataset directory; an empty list means that it is sound.

    Memory stays bounded: rows are streamed, and what compares rows runs in DuckDB. Where a shard is missing or of
    another schema, questions about all rows are not asked.

    Args:
        directory: a dataset directory.
        decode: decode every image to its last pixel; without it, only headers are read.
        official: also compare the sizes with those published for ROPE.
        advance: called with the bytes of each shard once it is checked.

    Raises:
        DatasetError: the manifest is missing or unreadable, so nothing can be compared.
    """
    manifest = read_manifest(directory)
    problems = [*_file_problems(directory, manifest), *_count_problems(manifest)]
    if official:
        problems.extend(_official_problems(manifest))
    readable = True
    for name, shard in sorted(manifest.shards.items()):
        problems.extend(_shard_problems(directory / name, name, shard, manifest))
        if _has_rows(directory / name, name, manifest):
            problems.extend(_media_problems(directory / name, name, manifest, decode))
        else:
            readable = False
        advance(shard.bytes)
    if readable:
        problems.extend(_row_problems(directory, manifest))
        problems.extend(_fingerprint_problems(directory, manifest))
        problems.extend(_query_problems(directory, manifest))
    else:
        problems.append(Problem(str(directory), "ids were not compared, because not every shard can be read"))
    return problems


def _file_problems(directory: AnyPath, manifest: DatasetManifest) -> Iterator[Problem]:
    known = {MANIFEST_NAME, _CARD_NAME, *manifest.shards}
    found = {_name_in(directory, path) for path in _files_in(directory) if _counts_as_file(path, directory)}
    found = {name for name in found if not name.startswith(f"{QUERIES_FOLDER}/")}  # these have their own check
    for name in sorted(known - found):
        yield Problem(name, "is missing; build the dataset again")
    if extra := sorted(found - known - {FAULTS_NAME, "croissant.json", "curation.json", "attributes.parquet"}):
        what = f"{len(extra):,} files are not in the manifest, so no part of the dataset"
        yield Problem(str(directory), _with_examples(what, len(extra), extra[:_N_EXAMPLES]))


def _counts_as_file(path: AnyPath, directory: AnyPath) -> bool:
    """Whether it is a file that is not hidden (`.git`), or is left over from a write that was interrupted."""
    hidden = any(part.startswith(".") for part in _name_in(directory, path).split("/"))
    return not hidden or path.suffix == ".part"


def _files_in(folder: AnyPath) -> Iterator[AnyPath]:
    """All files at any depth, no linked folder entered; `rglob` would expand a `[` or `*` in a remote address."""
    for path in folder.iterdir():
        if not path.is_dir():
            yield path
        elif not path.is_symlink():
            yield from _files_in(path)


def _name_in(directory: AnyPath, path: AnyPath) -> str:
    return path.as_posix()[len(directory.as_posix().rstrip("/")) + 1 :]


def _count_problems(manifest: DatasetManifest) -> Iterator[Problem]:
    if not any(count for counts in manifest.counts.values() for count in counts.values()):
        yield Problem(MANIFEST_NAME, "the dataset is empty; build it again, and look at what the build left out")
    for split, counts in sorted(manifest.counts.items()):
        for config in manifest.configs:
            expected = counts.get(config, 0)
            got = sum(shard.rows for name, shard in manifest.shards.items() if name.startswith(f"{config}/{split}-"))
            if got != expected:
                yield Problem(MANIFEST_NAME, f"{config}/{split}: shards have {got} rows, counts say {expected}")


def _official_problems(manifest: DatasetManifest) -> Iterator[Problem]:
    for split, counts in OFFICIAL_COUNTS.items():
        for config, expected in counts.items():
            got = manifest.counts.get(split, {}).get(config, 0)
            if got != expected:
                yield Problem(f"{config}/{split}", f"has {got:,} rows; ROPE as published has {expected:,}")


def _shard_problems(path: AnyPath, name: str, shard: Shard, manifest: DatasetManifest) -> Iterator[Problem]:
    if name.partition("/")[0] not in manifest.configs:
        yield Problem(name, "is in a folder of no domain; expected products, or the name of a domain with an s")
    if not path.is_file():
        return
    size = path.stat().st_size
    if size != shard.bytes:
        yield Problem(name, f"has {size} bytes, the manifest says {shard.bytes}; build the dataset again")
    elif (digest := sha256_of(path)) != shard.sha256:
        yield Problem(name, f"has SHA-256 {digest}, the manifest says {shard.sha256}; build the dataset again")
    try:
        with open_parquet(path) as file:
            metadata = file.metadata
    except (OSError, pa.ArrowException) as error:
        yield Problem(name, f"is not a readable Parquet file: {error}")
        return
    if metadata.num_rows != shard.rows:
        yield Problem(name, f"has {metadata.num_rows} rows, the manifest says {shard.rows}")
    yield from _schema_problems(metadata.schema.to_arrow_schema(), name, manifest)


def _schema_problems(got: pa.Schema, name: str, manifest: DatasetManifest) -> Iterator[Problem]:
    expected = _schema_of(name, got.names, manifest)
    for field in expected:
        if field.name not in got.names:
            yield Problem(name, f"has no column {field.name}")
        elif not got.field(field.name).type.equals(field.type):
            yield Problem(name, f"column {field.name} is {got.field(field.name).type}, expected {field.type}")
    for extra in sorted(set(got.names) - set(expected.names)):
        yield Problem(name, f"has an unknown column {extra}")
    if (got.metadata or {}).get(b"huggingface") != expected.metadata[b"huggingface"]:
        yield Problem(name, "does not describe its columns to `datasets` as it should")


def _schema_of(name: str, columns: list[str], manifest: DatasetManifest) -> pa.Schema:
    return product_schema(manifest.domains) if name.startswith("products/") else schema_like(columns)


def _has_rows(path: AnyPath, name: str, manifest: DatasetManifest) -> bool:
    """Whether the columns that later checks ask for are there."""
    try:
        with open_parquet(path) as file:
            got = file.schema_arrow
    except (OSError, pa.ArrowException):
        return False
    expected = _schema_of(name, got.names, manifest)
    return all(field.name in got.names and got.field(field.name).type.equals(field.type) for field in expected)


def _media_problems(path: AnyPath, name: str, manifest: DatasetManifest, decode: bool) -> Iterator[Problem]:
    domain = domain_of_config(name.partition("/")[0])
    if domain is None:
        return
    check = FrameCheck(domain, manifest.media, decode)
    try:
        with open_parquet(path) as shard:
            columns = ["sample_id", "text", "frames", "frame_times"]
            columns += [name for name in ("video", "audio") if name in shard.schema_arrow.names]
            for batch in shard.iter_batches(_ROWS_OF_MEDIA, columns=columns):
                for row in batch.to_pylist():
                    check.see(row)
    except (OSError, pa.ArrowException) as error:
        yield Problem(name, f"its rows cannot be read: {error}")
    for what in check.findings():
        yield Problem(name, what)


def _row_problems(directory: AnyPath, manifest: DatasetManifest) -> Iterator[Problem]:
    try:
        with open_views(directory, manifest) as connection:
            for question in questions(manifest.domains):
                sql = f"SELECT count(*), min(id, {_N_EXAMPLES}) FROM ({question.sql}) AS wrong(id)"
                count, examples = connection.execute(sql).fetchall()[0]
                declared = manifest.faults.get(question.declared_as or "", 0)
                if count != declared:
                    beside = f" (the manifest declares {declared:,})" if question.declared_as else ""
                    what = f"{count:,} {question.what}{beside}"
                    yield Problem(question.where, _with_examples(what, count, examples or []))
    except duckdb.Error as error:
        yield Problem(str(directory), f"rows could not be compared: {error}")


def _fingerprint_problems(directory: AnyPath, manifest: DatasetManifest) -> Iterator[Problem]:
    try:
        got = fingerprint(directory, list(manifest.shards))
    except (OSError, pa.ArrowException) as error:
        yield Problem(str(directory), f"the fingerprint cannot be computed: {error}")
        return
    if got != manifest.fingerprint:
        yield Problem(
            MANIFEST_NAME, f"fingerprint is {manifest.fingerprint}, but the rows give {got}; build the dataset again"
        )


def _query_problems(directory: AnyPath, manifest: DatasetManifest) -> Iterator[Problem]:
    """What is wrong with the tables of queries that lie beside the samples."""
    for split in SPLITS:
        try:
            file = find_queries(directory, split)
            if file is None:
                continue
            found = query_problems(read_query_file(file), read_labels(directory, split))
        except RopeError as error:
            yield Problem(f"{QUERIES_FOLDER}/{split}", str(error))
            continue
        for what in found:
            yield Problem(f"{QUERIES_FOLDER}/{file.name}", what)


def _with_examples(what: str, count: int, examples: list[str]) -> str:
    if not examples:
        return what
    return f"{what}: {', '.join(examples)}{', …' if count > len(examples) else ''}"
