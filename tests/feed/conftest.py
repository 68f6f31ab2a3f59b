"""Small dataset directories whose every frame says which sample it is of."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.dataset.manifest import DatasetManifest, Shard, write_manifest
from rope.schema import FORMAT_VERSION, SAMPLE_SCHEMA, product_schema

ROWS_A_GROUP = 4
ROWS_A_SHARD = 12


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (level % 256, level // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def write_products(directory: Path, products: dict[str, tuple[int, int, int]], damaged=(), fingerprint="d0") -> Path:
    """Products with so many pages, videos and live clips; `damaged` are samples whose frames are not images.

    Sample ids are `<product>-<letter><number>`, in the order of the products.
    """
    shards, counts = {}, {"products": len(products)}
    tables = {"products": (product_schema(), [{"product_id": product} for product in products])}
    for place, config in enumerate(("pages", "videos", "lives")):
        ids = [(p, f"{p}-{config[0]}{i}") for p, sizes in products.items() for i in range(sizes[place])]
        rows = [
            {
                "sample_id": sample_id,
                "product_id": product,
                "text": None if number % 3 == 0 else f"text of {sample_id}",
                "frames": [{"bytes": b"no image" if sample_id in damaged else png(number)}] * (1 + number % 3),
            }
            for number, (product, sample_id) in enumerate(ids)
        ]
        counts[config] = len(rows)
        tables[config] = (SAMPLE_SCHEMA, rows)
    for config, (schema, rows) in tables.items():
        (directory / config).mkdir(parents=True)
        n_shards = max(1, -(-len(rows) // ROWS_A_SHARD))
        for i in range(n_shards):
            part = rows[i * ROWS_A_SHARD : (i + 1) * ROWS_A_SHARD]
            name = f"{config}/train-{i:05d}-of-{n_shards:05d}.parquet"
            pq.write_table(pa.Table.from_pylist(part, schema), directory / name, row_group_size=ROWS_A_GROUP)
            shards[name] = Shard(len(part), (directory / name).stat().st_size, "")
    configs = "".join(
        f"- config_name: {config}\n  data_files:\n  - split: train\n    path: {config}/train-*.parquet\n"
        for config in tables
    )
    (directory / "README.md").write_text(f"---\nconfigs:\n{configs}---\n", "utf-8")
    write_manifest(
        directory, DatasetManifest(FORMAT_VERSION, "small", {}, "embed", {"train": counts}, {}, shards, fingerprint)
    )
    return directory


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """`datasets` reads the folder of its cache from its configuration, and the environment of child processes."""
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("hf")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        patch.setenv("HF_DATASETS_CACHE", str(cache))
        datasets.disable_progress_bars()
        yield


SIZES = {f"p{i:02d}": (1 + i % 3, 1 + i % 5, 1 + i % 2) for i in range(23)}
"""23 products; 46 pages, 66 videos and 34 live clips."""


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_products(tmp_path_factory.mktemp("feed") / "data", SIZES)
