"""The raw pool: unlabelled samples in Parquet files or in a folder of media; see `ingest` for how its rows are read.

A Parquet pool has the columns `id` and `domain`; `frames`, `video` or `paths`; and, where there are any, `text`,
`category`, `product_hint` and `session`. A recipe may give other names to them. `frames` is a path or a list of
paths, or one or a list of structs of `bytes` and `path`; `paths` is a list of files of either kind. Paths are relative
to the folder of the pool.

A folder pool has `pages/`, `videos/` and `lives/` with `ID.jpg` and so on, `ID.mp4` and so on, or a folder `ID/` of
frames with their numbers at the end of their names; and `ID.txt`, where there is a text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.curation.pipeline.places import asking_store, identity_of, map_places, open_parquet
from rope.domain import CONFIG_OF, DOMAINS, config_of
from rope.errors import DatasetError, UsageError
from rope.files import AnyPath, atomic_path, sha256_of

__all__ = ["COLUMNS", "VIDEO_SUFFIXES", "PoolFile", "PoolSlice", "RawPool", "open_pool", "slices"]

COLUMNS: Final = ("id", "domain", "text", "frames", "video", "paths", "category", "product_hint", "session")
"""The columns that a pool may have."""

_IMAGES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
)
VIDEO_SUFFIXES: Final = frozenset({".mp4", ".mov", ".webm", ".mkv", ".avi"})


@dataclass(frozen=True, slots=True)
class PoolFile:
    """A Parquet file of a pool: where it is, its number of rows, and SHA-256 of its bytes."""

    path: AnyPath
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RawPool:
    """A raw pool: its Parquet files and which column holds what.

    Attributes:
        root: what paths in it are relative to.
        files: in the order of their names.
        columns: ours -> the pool's, for those that it has.
        kept: other columns that go on as they are.
    """

    root: AnyPath
    files: tuple[PoolFile, ...]
    columns: Mapping[str, str]
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolSlice:
    """Rows `start` to `stop` (not included) of a Parquet file, and SHA-256 of the whole file."""

    path: AnyPath
    start: int
    stop: int
    sha256: str

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.start


def open_pool(
    path: AnyPath,
    renamed: Mapping[str, str],
    cache: AnyPath,
    kept: Sequence[str] = (),
    *,
    previous: "AnyPath | None" = None,
) -> RawPool:
    """Find the files of a pool and check their columns.

    Args:
        path: a Parquet file; or a folder with `pool.parquet`, with `pages/`, `videos/` or `lives/`, or with
            only Parquet files of one pool.
        renamed: our name of a column -> the pool's, where they differ.
        cache: folder to keep hashes of files in, and the listing of a folder pool. A file whose size and time of
            change, or what its store says of it, are as before is not hashed again.
        kept: other columns of the pool that go on.
        previous: the `cache` of an earlier run; its hashes serve too.

    Raises:
        UsageError: the file does not exist, it is not Parquet, or a column is missing or cannot be kept.
        DatasetError: the pool is in a store that does not answer, or refuses.
    """
    with asking_store(path):
        return _open(path, renamed, cache, kept, previous)


def _open(
    path: AnyPath, renamed: Mapping[str, str], cache: AnyPath, kept: Sequence[str], previous: "AnyPath | None"
) -> RawPool:
    root, paths = _find_files(path, cache)
    schema = _common_schema(paths)
    columns = _columns(schema, renamed, paths[0])
    _refuse_unkept(schema, kept, paths[0])
    own = _read_cache(cache / "pool.json")
    known = own if previous is None else _read_cache(previous / "pool.json") | own
    stats = {str(file): told for file, told in zip(paths, map_places(identity_of, paths, root), strict=True)}
    hashes = {
        name: entry["sha256"]
        for name, entry in known.items()
        if name in stats and len(stats[name]) > 1 and entry.get("identity") == stats[name]
    }
    hashes |= {str(file): sha256_of(file) for file in paths if str(file) not in hashes}
    entries = {name: {"identity": told, "sha256": hashes[name]} for name, told in stats.items()}
    if entries != own:
        with atomic_path(cache / "pool.json") as temporary:
            temporary.write_text(json.dumps(entries, indent=1), "utf-8")
    files = [
        PoolFile(file, n, hashes[str(file)]) for file, n in zip(paths, map_places(_n_rows, paths, root), strict=True)
    ]
    return RawPool(root.absolute(), tuple(files), columns, tuple(kept))


def slices(pool: RawPool, shard_rows: int) -> list[PoolSlice]:
    """Cut the files into ranges of rows; a file ends a range, and a pool without rows has one empty range.

    >>> from pathlib import Path
    >>> file = PoolFile(Path("a.parquet"), 5, "00")
    >>> [(part.start, part.stop) for part in slices(RawPool(Path("."), (file,), {}), 2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    return [
        PoolSlice(file.path, start, min(start + shard_rows, file.rows), file.sha256)
        for file in pool.files
        for start in range(0, max(file.rows, 1), shard_rows)
    ]


def _find_files(path: AnyPath, cache: AnyPath) -> tuple[AnyPath, list[AnyPath]]:
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder; expected a raw pool")
    if (path / "pool.parquet").is_file():
        return path, [path / "pool.parquet"]
    if any((path / config).is_dir() for config in CONFIG_OF.values()):
        listing = cache / "listing.parquet"
        _write_listing(path, listing)
        return path, [listing]
    if files := sorted((file for file in path.iterdir() if file.suffix == ".parquet"), key=str):
        return path, files
    raise UsageError(
        f"{path}: no raw pool here; expected pool.parquet, other Parquet files, or a folder pages, videos or lives"
    )


def _common_schema(paths: Sequence[AnyPath]) -> pa.Schema:
    try:
        schemas = map_places(_schema, paths, paths[0])
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{paths[0].parent}: a file of the pool is not Parquet ({error})") from error
    for path, schema in zip(paths, schemas, strict=True):
        if not schema.equals(schemas[0]):
            raise UsageError(f"{path}: has other columns than {paths[0].name}; a pool is of one kind")
    return schemas[0]


def _schema(path: AnyPath) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _n_rows(path: AnyPath) -> int:
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def _columns(schema: pa.Schema, renamed: Mapping[str, str], path: AnyPath) -> dict[str, str]:
    unexpected = sorted(set(renamed) - set(COLUMNS))
    if unexpected:
        raise UsageError(f"pool: no column {unexpected[0]!r} to rename; expected one of {', '.join(COLUMNS)}")
    columns = {ours: renamed.get(ours, ours) for ours in COLUMNS}
    has = {ours: theirs for ours, theirs in columns.items() if theirs in schema.names}
    missing = [columns[ours] for ours in ("id", "domain", *renamed) if ours not in has]
    if missing or not {"frames", "video", "paths"} & set(has):
        lacks = f"column {missing[0]!r}" if missing else "any of the columns frames, video, paths"
        raise UsageError(
            f"{path}: lacks {lacks}; it has {', '.join(schema.names)}; rename columns in the recipe, in [pool.columns]"
        )
    return has


def _refuse_unkept(schema: pa.Schema, kept: Sequence[str], path: AnyPath) -> None:
    """Refuse to keep a column that is missing, or whose name a row has anyway."""
    for name in kept:
        if name in COLUMNS:
            raise UsageError(f"pool: keep names {name!r}, a column that rows have anyway; name others")
        if name not in schema.names:
            raise UsageError(f"{path}: has no column {name!r} to keep; it has {', '.join(schema.names)}")


def _read_cache(path: AnyPath) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_listing(folder: AnyPath, target: AnyPath) -> None:
    """Write the samples of a folder pool as Parquet, by domain and id; leaves a file that says the same alone."""
    rows = [row for domain in DOMAINS for row in _listed_samples(folder, domain)]
    names = ("id", "domain", "text", "paths")
    schema = pa.schema([(name, pa.string()) for name in names[:3]] + [("paths", pa.list_(pa.string()))])
    table = pa.Table.from_pylist(rows, schema=schema)
    if not (target.is_file() and _rows(target).equals(table)):
        with atomic_path(target) as temporary:
            pq.write_table(table, temporary)


def _rows(path: AnyPath) -> pa.Table:
    with open_parquet(path) as file:
        return file.read()


def _listed_samples(folder: AnyPath, domain: str) -> list[dict[str, Any]]:
    place: AnyPath = folder / config_of(domain)
    media: dict[str, list[str]] = {}
    entries: list[AnyPath] = sorted(place.iterdir(), key=str) if place.is_dir() else []
    for entry in entries:
        found = _media_of(entry)
        if not found:
            continue
        row_id = entry.name if entry.is_dir() else entry.stem
        if row_id in media:
            raise DatasetError(f"{entry}: the {domain} {row_id!r} has media twice; rename or remove one")
        media[row_id] = [str(path).removeprefix(f"{folder}/") for path in found]
    return [
        {"id": row_id, "domain": domain, "text": _sidecar(place / f"{row_id}.txt"), "paths": paths}
        for row_id, paths in sorted(media.items())
    ]


def _media_of(entry: AnyPath) -> list[AnyPath]:
    if entry.is_dir():
        return sorted((path for path in entry.iterdir() if path.suffix.lower() in _IMAGES), key=_frame_order)
    return [entry] if entry.suffix.lower() in _IMAGES | VIDEO_SUFFIXES else []


def _frame_order(path: AnyPath) -> tuple[int, str]:
    number = re.search(r"(\d+)$", path.stem)
    return (int(number[1]) if number else 0, path.name)


def _sidecar(path: AnyPath) -> str | None:
    return path.read_text("utf-8", errors="replace").strip() or None if path.is_file() else None
