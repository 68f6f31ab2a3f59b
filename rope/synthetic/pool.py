"""Write a synthetic raw pool: unlabelled samples to be filtered, merged and split, with the answers next to them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rope.synthetic.catalogue import check_request, plan_catalogue
from rope.synthetic.copies import CopyTask, write_copies
from rope.synthetic.folder import new_folder
from rope.synthetic.planting import PlantedRow, plant
from rope.synthetic.samples import draw_ids, draw_product, plan_tasks
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.workers import map_in_order

__all__ = ["ANSWER_SCHEMA", "POOL_SCHEMA", "write_pool"]

POOL_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("text", pa.string()),
        ("frames", pa.list_(pa.string())),
        ("category", pa.string()),
    ]
)
"""`pool.parquet`; `frames` are paths relative to the pool, in temporal order; `text` is null where there is none."""

ANSWER_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("product", pa.string()),
        ("lookalike_group", pa.int64()),
        ("true_text", pa.string()),
        ("is_mismatch", pa.bool_()),
        ("mismatch_kind", pa.string()),
        ("dup_group", pa.int64()),
        ("dup_role", pa.string()),
        ("transform", pa.string()),
        ("params", pa.string()),
        ("poison", pa.string()),
        ("poison_frame", pa.string()),
    ]
)
"""`answers.parquet`: one row for each of the pool, ordered by id."""


def write_pool(out: Path, *, products: int, seed: int, workers: int | None = None, progress: bool = True) -> None:
    """Write a synthetic raw pool, whole or not at all.

    The bytes follow from `products` and `seed`, regardless of the number of workers, as long as the versions of numpy,
    Pillow and pyarrow stay the same.

    Args:
        out: a folder that does not exist yet, or is empty.
        products: how many products the samples show, at least 2.
        seed: 0 or more.
        workers: processes; None takes one for each core.
        progress: show a bar on stderr.

    Raises:
        UsageError: `out` is not empty, or a number is out of range.
    """
    check_request(products, seed)
    with new_folder(out) as folder:
        catalogue = plan_catalogue(products, seed)
        tasks = plan_tasks(folder, catalogue, seed, mp4_share=0.0)
        drawn = map_in_order(draw_product, tasks, workers=workers, progress=progress, description="drawing")
        rng = generator(seed, Stream.PLANT)
        rows = plant(rng, catalogue, [sample for samples in drawn for sample in samples])
        copies = [_copy_task(folder, row) for row in rows if row.transform]
        map_in_order(write_copies, copies, workers=workers, progress=progress, description="copying")
        for row in rows:
            _poison(folder, row)
        ids = draw_ids(rng, len(rows))
        product_ids = draw_ids(rng, products)
        _write_table(folder / "pool.parquet", _pool_records(rows, ids), POOL_SCHEMA)
        _write_table(folder / "answers.parquet", _answer_records(rows, ids, product_ids), ANSWER_SCHEMA)


def _copy_task(folder: Path, row: PlantedRow) -> CopyTask:
    assert row.transform is not None
    images = folder / "images"
    pairs = zip(row.copied_from, row.images, strict=True)
    return CopyTask(row.transform, tuple((images / source, images / target) for source, target in pairs))


def _poisoned_image(row: PlantedRow) -> str | None:
    return row.images[len(row.images) // 2] if row.poison else None


def _poison(folder: Path, row: PlantedRow) -> None:
    """Damage the middle image of a row that is to be unreadable."""
    name = _poisoned_image(row)
    if name is None:
        return
    path = folder / "images" / name
    if row.poison == "truncated":
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif row.poison == "not_an_image":
        path.write_bytes(b"<html>404 Not Found</html>\n")
    else:
        path.unlink()


def _pool_records(rows: Sequence[PlantedRow], ids: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            "id": row_id,
            "domain": row.domain,
            "text": row.text,
            "frames": [f"images/{name}" for name in row.images],
            "category": row.product.category,
        }
        for row_id, row in zip(ids, rows, strict=True)
    ]


def _answer_records(
    rows: Sequence[PlantedRow], ids: Sequence[str], product_ids: Sequence[str]
) -> list[dict[str, object]]:
    members = Counter({row.product.index: row.product.family for row in rows}.values())
    records = [_answer(row, row_id, product_ids, members) for row_id, row in zip(ids, rows, strict=True)]
    return [record for _, record in sorted(zip(ids, records, strict=True), key=lambda pair: int(pair[0]))]


def _answer(row: PlantedRow, row_id: str, product_ids: Sequence[str], members: Counter[int]) -> dict[str, object]:
    poisoned = _poisoned_image(row)
    return {
        "id": row_id,
        "product": product_ids[row.product.index],
        "lookalike_group": row.product.family if members[row.product.family] > 1 else None,
        "true_text": row.true_text,
        "is_mismatch": row.mismatch is not None,
        "mismatch_kind": row.mismatch,
        "dup_group": row.dup_group,
        "dup_role": None if row.dup_group is None else "copy" if row.transform else "original",
        "transform": row.transform.name if row.transform else None,
        "params": row.transform.params_json if row.transform else None,
        "poison": row.poison,
        "poison_frame": f"images/{poisoned}" if poisoned else None,
    }


def _write_table(path: Path, records: Sequence[dict[str, object]], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), path)
