"""A dataset directory small enough to hold in the head, written without the builder, so that it can be spoilt."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.dataset.fingerprint import fingerprint
from rope.dataset.manifest import DatasetManifest, Shard, write_manifest
from rope.schema import FORMAT_VERSION, SAMPLE_SCHEMA, product_schema

Tables = dict[str, list[dict[str, Any]]]


def jpeg(red: int, size: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (red, 80, 160)).save(buffer, format="JPEG")
    return buffer.getvalue()


def sample(sample_id: str, product_id: str, n_frames: int, **changes: Any) -> dict[str, Any]:
    frames = [{"bytes": jpeg(10 * i), "path": f"{sample_id}-{i}.jpg"} for i in range(n_frames)]
    row = {
        "sample_id": sample_id,
        "product_id": product_id,
        "text": f"text of {sample_id}",
        "frames": frames,
        "frame_times": [30 * i for i in range(n_frames)],
        "category": "fruit" if product_id in ("1", "21") else "bread",
    }
    return row | changes


def product(product_id: str, pages: list[str], videos: list[str], lives: list[str]) -> dict[str, Any]:
    category = "fruit" if product_id in ("1", "21") else "bread"
    return {
        "product_id": product_id,
        "category": category,
        "page_ids": pages,
        "video_ids": videos,
        "live_ids": lives,
    }


def small_tables() -> Tables:
    """Products 1 and 2 of train, 21 and 22 of validation; product 1 has two pages, 9 and 10."""
    return {
        "pages/train": [sample("9", "1", 1), sample("10", "1", 1, text=None), sample("11", "2", 1)],
        "videos/train": [sample("9", "1", 3), sample("12", "2", 2)],
        "lives/train": [sample("5", "1", 1), sample("6", "2", 4)],
        "products/train": [product("1", ["9", "10"], ["9"], ["5"]), product("2", ["11"], ["12"], ["6"])],
        "pages/validation": [sample("31", "21", 1), sample("32", "22", 1)],
        "videos/validation": [sample("31", "21", 2), sample("33", "22", 2)],
        "lives/validation": [sample("31", "21", 2), sample("34", "22", 1)],
        "products/validation": [product("21", ["31"], ["31"], ["31"]), product("22", ["32"], ["33"], ["34"])],
    }


def write_tables(directory: Path, tables: Tables, media: str = "embed", rows_per_shard: int = 2) -> Path:
    """Write shards of a few rows in row groups of one, the card, and a manifest that agrees with them."""
    shards, counts = {}, {}
    for key, rows in tables.items():
        config, split = key.split("/")
        schema = product_schema() if config == "products" else SAMPLE_SCHEMA
        counts.setdefault(split, {})[config] = len(rows)
        n_shards = max(1, -(-len(rows) // rows_per_shard))
        for i in range(n_shards):
            part = rows[i * rows_per_shard : (i + 1) * rows_per_shard]
            name = f"{key}-{i:05d}-of-{n_shards:05d}.parquet"
            (directory / config).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(part, schema), directory / name, row_group_size=1)
            data = (directory / name).read_bytes()
            shards[name] = Shard(len(part), len(data), hashlib.sha256(data).hexdigest())
    configs = ["pages", "videos", "lives", "products"]
    card = "".join(_card_entry(name, name) for name in configs) + _card_entry("aligned", "products")
    (directory / "README.md").write_text(f"---\nconfigs:\n{card}---\n", "utf-8")
    task = fingerprint(directory, list(shards))
    write_manifest(directory, DatasetManifest(FORMAT_VERSION, "small", {}, media, counts, {}, shards, task))
    return directory


def _card_entry(name: str, folder: str) -> str:
    splits = "".join(f"  - split: {split}\n    path: {folder}/{split}-*.parquet\n" for split in ("train", "validation"))
    return f"- config_name: {name}\n  data_files:\n{splits}"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "small", small_tables())


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[str, int, dict[str, Any]], Path]:
    """Writes the small dataset with some values of one row of one table replaced."""

    def write(key: str, row: int, changes: dict[str, Any]) -> Path:
        tables = small_tables()
        tables[key][row] |= changes
        return write_tables(tmp_path / "spoilt", tables)

    return write
