"""Plans of tiny pools, beside what runs of them make."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation import measure
from rope.curation.forecast import forecast
from rope.curation.measure import measure_stages
from rope.curation.operations.download import file_of
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe
from rope.curation.planned_media import downloaded, n_there_before, published
from rope.curation.publish import publish
from rope.errors import UsageError
from tests.curation.pools import DOMAINS, HALF, POISON, local, recipe_of

STAGES = """
work = "work"
[pool]
path = "pool.parquet"
shard_rows = 60
keep = ["price"]
[[stage]]
use = "filter"
column = "price"
minimum = 0.4
[[stage]]
use = "sample"
seed = 0
rate = 0.1
floor = 3
[[stage]]
use = "merge"
copies = false
"""


def pool(folder, n=900):
    """Products of one to five rows in forty categories, most of them rare."""
    rng = np.random.default_rng(0)
    product = np.sort(rng.integers(0, n // 3, n))
    category = np.minimum(rng.zipf(1.5, n // 3), 40)
    rows = {
        "id": [f"r{i:05d}" for i in range(n)],
        "domain": rng.choice(["page", "video"], n),
        "frames": [f"{i}.jpg" for i in range(n)],
        "category": [f"c{category[p]}" for p in product],
        "product_hint": [f"p{p}" for p in product],
        "price": rng.random(n),
    }
    pq.write_table(pa.table(rows), folder / "pool.parquet")
    (folder / "recipe.toml").write_text(STAGES)
    return read_recipe(folder / "recipe.toml")


def test_rows_and_bytes_of_a_run_are_within_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "MIN_ROWS", 300)
    recipe = pool(tmp_path)
    measures = measure_stages(recipe, 0.01, progress=False)
    made = forecast(measures, workers=1, gpus=0)
    assert not recipe.work.exists()
    run_recipe(recipe, local(1), progress=False)
    stages = finished_stages(recipe)
    for one in made.stages:
        kept = sum(part.kept.rows for _, manifest in stages[one.stage] for part in manifest.parts)
        assert one.kept.low <= kept <= one.kept.high, one.stage
    n_bytes = sum(path.stat().st_size for path in (recipe.work / "stages").rglob("*.*"))
    assert made.gigabytes.low * 1e9 <= n_bytes <= made.gigabytes.high * 1e9
    assert made.gigabytes.high < 1.5 * made.gigabytes.low
    assert made.lacking("hours") == {}
    assert all(one.n_shards == 15 for one in measures.stages)


def test_everything_that_is_drawn_is_exact(tmp_path):
    recipe = recipe_of(tmp_path, POISON + "rejects = ['r03', 'r04']", n_rows=40)
    found = measure_stages(recipe, 1.0, progress=False)
    assert [set(one.kept.tolist()) for one in found.stages] == [{40.0}, {38.0}]
    assert [one.n_shards for one in found.stages] == [5, 5]


def test_rows_to_plan_for_scale_the_pool_and_its_shards(tmp_path):
    found = measure_stages(recipe_of(tmp_path, POISON, n_rows=40), 1.0, 4000, progress=False)
    assert found.n_rows == 4000
    assert found.stages[1].kept[0] == pytest.approx(4000)
    assert found.stages[1].n_shards == 500


def test_a_row_that_kills_its_worker_does_not_end_the_dry_run(tmp_path):
    recipe = recipe_of(tmp_path, POISON + 'segfaults = ["r05"]', n_rows=20)
    assert [one.kept[0] for one in measure_stages(recipe, 1.0, progress=False).stages] == [20, 19]


def test_a_law_is_not_used_far_from_where_it_was_measured_and_a_foreign_stage_is_told_to_be_assumed(tmp_path):
    found = measure_stages(recipe_of(tmp_path, HALF, n_rows=40), 1.0, 1e9, progress=False)
    half = found.stages[1]
    assert (half.seconds, half.missing) == (None, "1,000,000,000 rows are more than 10 times the 40 measured")
    assert half.assumed == "keeps the share that it has kept of 40 rows"
    assert half.kept[0] == pytest.approx(5e8)


def test_a_share_of_nothing_and_a_pool_without_rows_are_refused(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    with pytest.raises(UsageError, match="share is 0; expected above 0 and at most 1"):
        measure_stages(recipe, 0, progress=False)
    pq.write_table(pq.read_table(tmp_path / "pool.parquet").slice(0, 0), tmp_path / "pool.parquet")
    with pytest.raises(UsageError, match="has no rows to plan with"):
        measure_stages(recipe, 1, progress=False)


def test_a_count_that_the_pool_does_not_have_is_told(tmp_path):
    recipe = recipe_of(tmp_path, 'use = "sample"\nseed = 0\ncount = 50\nfloor = 1', n_rows=40)
    told = measure_stages(recipe, 1.0, progress=False).stages[1].assumed
    assert told is not None
    assert told.startswith("about 40 keys reach it, and count is 50")


LABELS = "item_id,label\nr00|r01,different\nr03|r04,different\n"


def test_rows_that_answers_reject_are_those_that_labels_name(tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS)
    answers = 'use = "answers"\nlabels = "labels.csv"\ndifferent = "reject"'
    recipe = recipe_of(tmp_path, POISON, answers, n_rows=24)
    rows = pq.read_table(tmp_path / "pool.parquet")
    hints = pa.array([f"p{i // 3}" for i in range(24)])
    pq.write_table(rows.append_column("product_hint", hints), tmp_path / "pool.parquet")
    found = measure_stages(recipe, 1.0, progress=False).stages
    assert [one.kept[0] for one in found] == [24, 24, 22]


def test_the_command_tells_fixed_costs_apart_and_names_what_a_total_lacks(tmp_path, curate):
    recipe_of(tmp_path, POISON, 'use = "split"\nn_validation = 2\nseed = 0')
    code, out, _ = curate("plan", tmp_path / "work.toml")
    assert code == 0
    assert "time in all with 1 worker, without split: " in out
    assert "files of the work folder in all, without split: " in out
    assert "split: not measured: split: no column 'product_id'" in out
    assert "split: assumed of its rows: keeps all rows" in out
    assert "once, s" in out
    recipe_of(tmp_path, POISON)
    assert "published dataset, in addition: not known: the recipe lacks the stages merge" in out
    out = curate("plan", tmp_path / "work.toml", "--workers", 2)[1]
    assert "time in all with 2 workers: " in out
    assert "time of publish: not measured" in out


def test_the_bytes_of_a_published_dataset_are_within_the_plan(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(90):
        side, row_id = int(rng.integers(16, 64)), f"p{i // 3}-{DOMAINS[i % 3]}"
        names = [f"{row_id}-{k}.png" for k in range(1 + i % 3)]
        for name in names:
            Image.fromarray(rng.integers(0, 255, (side, side, 3), np.uint8)).save(tmp_path / name)
        row = {"id": row_id, "domain": DOMAINS[i % 3], "text": f"cup {i}", "frames": names}
        rows.append(row | {"product_hint": f"p{i // 3}", "category": "cups"})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    split = 'use = "split"\nn_validation = 3\nseed = 0'
    recipe = recipe_of(tmp_path, 'use = "merge"\ncopies = false', split)
    made = forecast(measure_stages(recipe, 0.5, progress=False), workers=1, gpus=0)
    run_recipe(recipe, local(1), progress=False)
    publish(tmp_path / "work.toml", recipe, tmp_path / "out", progress=False)
    shards = [path for path in (tmp_path / "out").rglob("*-of-*.parquet") if path.parent.name != "products"]
    n_bytes = sum(path.stat().st_size for path in shards)
    found = made.media["published dataset"]
    assert found.low * 0.95 < n_bytes / 1e9 < found.high * 1.05


def test_downloads_are_counted_by_host_and_an_address_once(tmp_path):
    urls = ["https://a.example/1.jpg", "https://a.example/1.jpg", "https://b.example/2.jpg"]
    for url, n in zip(urls, (1000, 1000, 500), strict=True):
        path = file_of(url, tmp_path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * n)
    given = pa.table({"frames": [[{"bytes": None, "path": url}] for url in urls], "video": [None] * 3})
    found = {one.what: one.n_bytes[0] for one in downloaded("download", given, tmp_path, np.full(3, 300.0))}
    assert found == pytest.approx({"download from a.example": 100_000, "download from b.example": 50_000})
    assert n_there_before(given, tmp_path, time.time() + 60) == (2, 2)


def test_media_elsewhere_are_named_as_missing():
    stored = {"bytes": None, "path": "s3://bucket/1.jpg"}
    given = pa.table({"domain": ["page"], "frames": [[stored]], "video": [None], "id": ["r"]})
    assert "media at addresses, such as s3://bucket/1.jpg," in published(given, np.ones(3)).n_bytes
