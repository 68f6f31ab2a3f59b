"""The manifest of a finished shard: written last, so that a shard with a manifest is complete."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rope.curation.pipeline.operation import Fate
from rope.files import AnyPath, atomic_path

__all__ = ["Count", "ShardManifest", "ShardPart", "StoredFile", "read_manifest", "write_manifest"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file beside the manifest: its name, rows, size in bytes, and SHA-256."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardPart:
    """The kept rows of some rows, and the others with their reasons."""

    kept: StoredFile
    rejects: StoredFile


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows of a domain had a fate, and for which reason; None for kept rows."""

    domain: str
    fate: Fate
    reason: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """The manifest of a finished shard: its key, its files and its row counts.

    Attributes:
        key: hash of all that decides the bytes: operation, version, options, fingerprint, inputs.
        rows_in: rows that it was given.
        parts: the files: one pair for a map stage, any number for a global one.
        counts: of its rows, by domain, fate and reason; they sum to `rows_in`.
        notes: see `rope.curation.pipeline.operation.Outcome`.
    """

    key: str
    rows_in: int
    parts: tuple[ShardPart, ...]
    counts: tuple[Count, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> Iterator[StoredFile]:
        """Every file, part after part."""
        for part in self.parts:
            yield part.kept
            yield part.rejects


def write_manifest(path: AnyPath, manifest: ShardManifest) -> None:
    """Write a manifest atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_manifest(path: AnyPath) -> ShardManifest | None:
    """Read a manifest; None where it is missing, torn, or vouches for files that are not there in their size.

    Hashes are not compared: whoever reads a file does that.
    """
    try:
        raw = json.loads(path.read_text("utf-8"))
        parts = tuple(ShardPart(StoredFile(**part["kept"]), StoredFile(**part["rejects"])) for part in raw["parts"])
        counts = tuple(Count(**count) for count in raw["counts"])
        manifest = ShardManifest(raw["key"], raw["rows_in"], parts, counts, raw.get("notes", {}))
        is_whole = all((path.parent / file.name).stat().st_size == file.bytes for file in manifest.files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if is_whole else None
