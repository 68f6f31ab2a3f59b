"""`croissant.json`: the dataset described in Croissant 1.1, so that other tools find, check and read its rows.

The vocabulary is that of https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. File sets have no
container, so that the description is read from the folder that it lies in.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.dataset.directory import reading, shard_names
from rope.dataset.manifest import MANIFEST_NAME, DatasetManifest, read_manifest
from rope.domain import SPLITS
from rope.errors import UsageError
from rope.files import atomic_path, sha256_of

__all__ = ["CROISSANT_NAME", "describe_in_croissant", "write_croissant"]

CROISSANT_NAME: Final = "croissant.json"

Json = dict[str, Any]

_CONTEXT: Final[Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives; readers expect it whole."""

_DESCRIPTIONS: Final = {
    "sample_id": "Unique inside its domain, over both splits.",
    "product_id": "Samples with one product_id show one product.",
    "text": "The title of a page, the recognised speech of a video or live clip; null where there is none.",
    "frames": "Encoded images in temporal order; a page has one.",
    "frame_times": "Frame number (video), timestamp in ms (live), 0 (page); ascending.",
    "category": "Null where the source gives none.",
    "video": "A video file, for a sample that is one; it has no frames then.",
    "audio": "A file with the sound of a sample that is not a video file.",
    "gallery": "The group of samples that a sample is searched among.",
    "page_ids": "The pages of the product.",
    "video_ids": "The videos of the product.",
    "live_ids": "The live clips of the product.",
}


_FILES: Final = {"frames": "sc:ImageObject", "video": "sc:VideoObject", "audio": "sc:AudioObject"}
"""Columns that hold the bytes of files -> Croissant's name for what is in them."""


def write_croissant(directory: Path) -> Path:
    """Write `croissant.json` next to the card of a dataset directory; the same dataset gives the same bytes.

    Returns:
        The path of the file.

    Raises:
        DatasetError: the directory has no valid manifest.
        UsageError: the images are not inside.
    """
    manifest = read_manifest(directory)
    if manifest.media == "reference":
        raise UsageError(
            f"{directory}: its images are paths on this machine, which a description for others cannot point to; "
            "build it with --media embed"
        )
    described = describe_in_croissant(manifest, _schemas(directory, manifest), sha256_of(directory / MANIFEST_NAME))
    with atomic_path(directory / CROISSANT_NAME) as path:
        path.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return directory / CROISSANT_NAME


def _schemas(directory: Path, manifest: DatasetManifest) -> dict[str, pa.Schema]:
    """Configurations that have shards -> their columns, which are the same in all shards of one."""
    schemas = {}
    for config in manifest.configs:
        names = [name for split in SPLITS for name in shard_names(manifest, config, split)]
        if names:
            with reading(directory / names[0]):
                schemas[config] = pq.read_schema(directory / names[0])
    return schemas


def describe_in_croissant(manifest: DatasetManifest, schemas: Mapping[str, pa.Schema], manifest_sha256: str) -> Json:
    """The description of a dataset: a file set and a record set for each configuration, and the manifest's hash.

    The manifest holds the hashes of all shards, so they are vouched for without a line for each here. There is no date
    of publication, because a dataset does not know its own.

    Args:
        manifest: of the dataset.
        schemas: configurations that have shards -> their columns.
        manifest_sha256: of the bytes of `rope.json`, in hex.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest.name,
        "description": _description(manifest),
        "license": "other: see README.md",
        "version": f"{manifest.format_version}.0.0",
        "distribution": [_manifest_file(manifest_sha256), *(_file_set(config, manifest) for config in schemas)],
        "recordSet": [_record_set(config, schema) for config, schema in schemas.items()],
    }


def _description(manifest: DatasetManifest) -> str:
    sizes = "; ".join(
        f"{split}: " + ", ".join(f"{counts[config]} {config}" for config in manifest.configs)
        for split, counts in sorted(manifest.counts.items())
    )
    return (
        "Products as they are seen on product pages, in short videos and in live streams, in the directory format "
        f"{manifest.format_version} of rope-bench. {sizes}. Fingerprint {manifest.fingerprint}."
    )


def _manifest_file(sha256: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": MANIFEST_NAME,
        "name": MANIFEST_NAME,
        "description": "Rows, bytes and SHA-256 of every shard.",
        "contentUrl": MANIFEST_NAME,
        "encodingFormat": "application/json",
        "sha256": sha256,
    }


def _file_set(config: str, manifest: DatasetManifest) -> Json:
    in_folders = any(name.startswith(f"{config}/") and name.count("/") > 1 for name in manifest.shards)
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}-files",
        "name": f"{config}-files",
        "encodingFormat": "application/x-parquet",
        "includes": f"{config}/*/*.parquet" if in_folders else f"{config}/*.parquet",
    }


def _record_set(config: str, schema: pa.Schema) -> Json:
    fields = [_split_field(config), *(_field(config, column) for column in schema)]
    key = "product_id" if config == "products" else "sample_id"
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "key": {"@id": f"{config}/{key}"},
        "field": fields,
    }


def _split_field(config: str) -> Json:
    """The split is in the name of the file."""
    return {
        "@type": "cr:Field",
        "@id": f"{config}/split",
        "name": "split",
        "description": "train or validation.",
        "dataType": ["sc:Text", "cr:Split"],
        "source": {
            "fileSet": {"@id": f"{config}-files"},
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": rf"({'|'.join(SPLITS)})-.*\.parquet"},
        },
    }


def _field(config: str, column: pa.Field) -> Json:
    source: Json = {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": column.name}}
    if column.name in _FILES:
        source["transform"] = {"jsonPath": "bytes"}
    field: Json = {
        "@type": "cr:Field",
        "@id": f"{config}/{column.name}",
        "name": column.name,
        "description": _DESCRIPTIONS.get(column.name)
        or f"The samples of the product in the domain {column.name.removesuffix('_ids')}.",
        "dataType": _FILES.get(column.name) or _data_type(column.type),
        "source": source,
    }
    return field | {"repeated": True} if pa.types.is_list(column.type) else field


def _data_type(arrow: pa.DataType) -> str:
    """Croissant's name for the values of a column.

    >>> _data_type(pa.list_(pa.int64())), _data_type(pa.string())
    ('sc:Integer', 'sc:Text')
    """
    if pa.types.is_list(arrow):
        return _data_type(arrow.value_type)
    return "sc:Integer" if pa.types.is_integer(arrow) else "sc:Text"
