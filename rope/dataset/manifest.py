"""`rope.json`: what a dataset directory holds, and the hashes that prove it.

It is written last, so a directory that has one is complete.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from rope.domain import DomainName, Split, config_of, domain_of_config, in_order, with_published
from rope.errors import DatasetError
from rope.files import AnyPath, atomic_path
from rope.schema import FORMAT_VERSION

__all__ = ["MANIFEST_NAME", "DatasetManifest", "Media", "Shard", "read_manifest", "write_manifest"]

MANIFEST_NAME: Final = "rope.json"

Media = Literal["embed", "reference"]
"""Whether `frames` holds the bytes of the images, or the paths of files elsewhere."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file: its rows, its size in bytes and the SHA-256 of its bytes."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """The content of `rope.json`.

    Attributes:
        format_version: version of the layout; see `rope.schema.FORMAT_VERSION`.
        name: what the dataset is called in reports.
        source: kind of the source (`rope_release` and so on) and the SHA-256 of each of its files by name.
        media: whether image bytes are inside.
        counts: split -> configuration (see `configs`) -> rows.
        faults: kind of fault -> how many rows of the source had it.
        shards: path relative to the directory -> shard.
        fingerprint: SHA-256 of the ids, product labels, texts, categories and frame times of both splits in canonical
            order. It names the task: media mode, shard size and the Parquet writer do not change it.
    """

    format_version: int
    name: str
    source: dict[str, str]
    media: Media
    counts: dict[str, dict[str, int]]
    faults: dict[str, int]
    shards: dict[str, Shard]
    fingerprint: str

    @property
    def domains(self) -> tuple[DomainName, ...]:
        """The domains that the dataset has: those with shards, even empty ones."""
        found = (domain_of_config(name.partition("/")[0]) for name in self.shards)
        return in_order(domain for domain in found if domain is not None)

    @property
    def configs(self) -> tuple[str, ...]:
        """The folders that rows can be in: `products`, and one for each domain of ROPE and of the dataset."""
        return ("products", *(config_of(domain) for domain in with_published(self.domains)))

    def files_digest(self, split: Split) -> str:
        """16 hex digits of the hashes of a split's samples, images and all; the fingerprint leaves images out."""
        starts = tuple(f"{config_of(domain)}/{split}-" for domain in self.domains)
        shards = sorted((name, shard.sha256) for name, shard in self.shards.items() if name.startswith(starts))
        return hashlib.sha256(json.dumps(shards).encode()).hexdigest()[:16]

    @property
    def loadable(self) -> tuple[str, ...]:
        """The configurations of `load_dataset`: those of the domains that the dataset has, `products` and `aligned`."""
        rows = {config for counts in self.counts.values() for config, n in counts.items() if n}
        there = (
            domain for domain in with_published(self.domains) if domain in self.domains or config_of(domain) in rows
        )
        return (*map(config_of, there), "products", "aligned")

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns of `products` that hold ids of samples."""
        return tuple(f"{domain}_ids" for domain in with_published(self.domains))


def write_manifest(directory: Path, manifest: DatasetManifest) -> None:
    """Write `rope.json` whole, with sorted keys."""
    with atomic_path(directory / MANIFEST_NAME) as path:
        path.write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def read_manifest(directory: AnyPath) -> DatasetManifest:
    """Read `rope.json` of a dataset directory.

    Raises:
        DatasetError: there is none (the directory is not a dataset, or its build did not end), it is not valid, or it
            was written in a format of another version.
    """
    path = directory / MANIFEST_NAME
    try:
        is_there = path.is_file()
    except Exception as error:  # each file system behind fsspec has exceptions of its own
        raise DatasetError(f"{path}: cannot be read ({error}); check the address and the access to it") from error
    if not is_there:
        raise DatasetError(
            f"{directory}: no {MANIFEST_NAME} here, so this is not a finished dataset directory; "
            f"make one with: rope build RELEASE {directory}"
        )
    try:
        raw = json.loads(path.read_text("utf-8"))
        version = raw["format_version"]
        shards = {name: Shard(**shard) for name, shard in raw.pop("shards").items()}
        manifest = DatasetManifest(shards=shards, **raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: not a valid manifest ({error}); build the dataset again") from error
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{path}: format version {version}, but this rope reads version {FORMAT_VERSION}; "
            "build the dataset again, or use the rope that wrote it"
        )
    return manifest
