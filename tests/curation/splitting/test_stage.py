from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline.accounting import funnel
from rope.curation.pipeline.runner import finished_stages, run_recipe
from rope.curation.splitting.stage import SplitRows, plan_split, split_rows
from rope.errors import DatasetError, UsageError
from tests.curation.pools import column, local, recipe_of

DOMAINS = ("page", "video", "live")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "domain", "category", "product_id", "session")]
    + [("media_sha256", pa.list_(pa.string()))]
)
WITH_VECTORS = SCHEMA.append(pa.field("embedding", pa.list_(pa.float32())))


def rows(n_products, *, lacking=()):
    """A page, a video and a live clip of each product, some of which lack the clip."""
    return [
        {
            "id": f"{product}",
            "domain": domain,
            "category": "ab"[product % 2],
            "product_id": f"p{product:02d}",
            "session": None,
            "media_sha256": [f"file {domain} {product}"],
        }
        for product in range(n_products)
        for domain in DOMAINS
        if domain != "live" or product not in lacking
    ]


def write(folder, table, n_files=2, schema=SCHEMA):
    paths = [folder / f"{len(list(folder.iterdir()))}-{i}.parquet" for i in range(n_files)]
    for i, path in enumerate(paths):
        pq.write_table(pa.Table.from_pylist(table[i::n_files], schema=schema), path)
    return paths


def sides(paths, **options):
    """Product -> split and leakage group; every row of a product says the same."""
    found = {}
    for outcome in split_rows(paths, SplitRows(seed=0, **options)):
        for row in outcome.kept.to_pylist():
            side = (row["split"], row["leakage_group"])
            assert found.setdefault(row["product_id"], side) == side
    return found


def n_validation(found):
    return sum(split == "validation" for split, _ in found.values())


def test_the_count_is_exact_and_validation_has_all_domains(tmp_path):
    found = sides(write(tmp_path, rows(20, lacking=range(8))), n_validation=7)
    assert n_validation(found) == 7
    assert all(split == "train" for product, (split, _) in found.items() if int(product[1:]) < 8)


def test_a_shared_file_or_session_keeps_products_together(tmp_path):
    table = rows(12)
    table[0]["media_sha256"].append("file page 5")
    for row in (table[5 * 3 + 2], table[9 * 3 + 2]):
        row["session"] = "stream"
    found = sides(write(tmp_path, table), n_validation=6)
    assert found["p00"] == found["p05"] == found["p09"]
    assert found["p00"][1] == "p00"
    assert found["p01"][1] == "p01"


def test_near_embeddings_keep_products_together(tmp_path):
    table = rows(8)
    vectors = np.eye(24, dtype=np.float32)
    vectors[3 * 7] = vectors[2] + 0.1 * vectors[3 * 7]
    for row, vector in zip(table, vectors.tolist(), strict=True):
        row["embedding"] = vector
    paths = write(tmp_path, table, schema=WITH_VECTORS)
    groups = {near: sides(paths, n_validation=3, near=near)["p07"][1] for near in (None, 0.9)}
    assert groups == {None: "p07", 0.9: "p00"}


def test_rows_without_an_embedding_are_named(tmp_path):
    table = [row | {"embedding": [1.0, float(i)] if i != 4 else None} for i, row in enumerate(rows(3))]
    with pytest.raises(DatasetError, match="1 rows have no embedding of 2 numbers, such as video '1'"):
        sides(write(tmp_path, table, 1, WITH_VECTORS), n_validation=1, near=0.9)


@pytest.mark.parametrize("near", [None, 0.9])
def test_no_rows_have_no_split(near, tmp_path):
    with pytest.raises(DatasetError, match="at most 0 can be chosen"):
        sides(write(tmp_path, [], schema=WITH_VECTORS), n_validation=1, near=near)


def test_a_placeholder_ties_nothing_and_is_reported(tmp_path):
    table = rows(6)
    for row in table:
        row["media_sha256"].append("placeholder")
    plan = plan_split(write(tmp_path, table), SplitRows(n_validation=2, seed=0, max_shared=5))
    assert plan.groups.group.tolist() == list(range(6))
    assert [(hub.kind, hub.value, hub.n_products) for hub in plan.groups.hubs] == [("media", "placeholder", 6)]


def test_the_order_of_rows_changes_nothing(tmp_path):
    table = rows(30)
    shuffled = [table[i] for i in np.random.default_rng(0).permutation(len(table))]
    assert sides(write(tmp_path, table), n_validation=9) == sides(write(tmp_path, shuffled, 3), n_validation=9)


def test_rows_without_a_product_are_rejected(tmp_path):
    table = rows(6)
    table[4]["product_id"] = None
    outcomes = list(split_rows(write(tmp_path, table, 1), SplitRows(n_validation=2, seed=0)))
    assert [(row["id"], row["domain"], row["reason"]) for row in outcomes[0].rejects.to_pylist()] == [
        ("1", "video", "no_product")
    ]
    assert outcomes[0].kept.num_rows == 17


def test_an_earlier_validation_set_stays(tmp_path):
    folder = tmp_path / "earlier" / "products"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"product_id": ["p03", "p11"]}), folder / "validation-00000-of-00001.parquet")
    pool = tmp_path / "pool"
    pool.mkdir()
    found = sides(write(pool, rows(20)), n_validation=5, freeze_val=tmp_path / "earlier")
    assert found["p03"][0] == found["p11"][0] == "validation"
    assert n_validation(found) == 5


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_validation": 0}, UsageError, "n_validation is 0"),
        (
            {"n_validation": 2, "near": 2.0},
            UsageError,
            r"near is 2\.0; expected a finite number, above 0",
        ),
        ({"n_validation": 2, "near": 0.9}, UsageError, "no column 'embedding'"),
        ({"n_validation": 2, "freeze_val": Path("nowhere")}, UsageError, "nowhere has no products/validation"),
        ({"n_validation": 5}, DatasetError, "at most 2 can be chosen"),
    ],
)
def test_what_cannot_be_done_is_refused(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        sides(write(tmp_path, rows(4)), **options)


def test_a_table_without_products_is_refused(tmp_path):
    pq.write_table(pa.table({"id": ["1"], "domain": ["page"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="no column 'product_id'; the rows have id, domain; add a stage"):
        list(split_rows([tmp_path / "a.parquet"], SplitRows(n_validation=1, seed=0)))


def test_a_recipe_samples_merges_and_splits(tmp_path):
    pool = [
        {
            "id": f"{domain}{i}",
            "domain": domain,
            "frames": ["x.jpg"],
            "product_hint": f"p{i:02d}",
            "category": "ab"[i % 2],
        }
        for i in range(60)
        for domain in DOMAINS
    ]
    pq.write_table(pa.Table.from_pylist(pool), tmp_path / "pool.parquet")
    stages = [
        'use = "sample"\nseed = 1\ncount = 30',
        'use = "merge"\ncopies = false',
        'use = "split"\nseed = 1\nn_validation = 10',
    ]
    recipe = recipe_of(tmp_path, *stages, shard_rows=50)
    run_recipe(recipe, local(), progress=False)
    products, found = column(recipe, "split", "product_id"), column(recipe, "split", "split")
    assert (len(products), len(set(products))) == (90, 30)
    assert len({product for product, side in zip(products, found, strict=True) if side == "validation"}) == 10
    assert set(column(recipe, "split", "weight")) == {2.0}


def test_the_manifest_says_how_near_pairs_were_searched_and_how_many_were_found(tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    angles = np.radians(np.arange(60) * 6.0)
    table = [
        row | {"embedding": [float(np.cos(angle)), float(np.sin(angle))]}
        for row, angle in zip(rows(20), angles, strict=True)
    ]
    for method in ("exact", "ivf"):
        options = SplitRows(n_validation=2, seed=0, near=0.999, search=method)
        notes = [outcome.notes for outcome in split_rows(write(tmp_path, table, schema=WITH_VECTORS), options)]
        found = notes[0]["search for near pairs"]
        assert (found["method"], found["rows"]) == (method, 60)
    assert (found["queries"], found["recall"]) == (60, None)


def test_notes_of_a_stage_are_in_its_manifest_and_its_counts(tmp_path):
    recipe = recipe_of(tmp_path, 'use = "tests.curation.splitting.noted:NOTED"')
    run_recipe(recipe, local(1), progress=False)
    assert funnel(finished_stages(recipe))[-1].notes == {"rows looked at": {"all": 24}}
