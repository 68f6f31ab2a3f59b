"""What a recipe has kept becomes a dataset that anybody can load."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.curation.publish import LINEAGE_NAME, publish
from rope.dataset import build
from rope.dataset.manifest import MANIFEST_NAME, read_manifest
from rope.dataset.validate import validate
from rope.errors import DatasetError, UsageError
from tests.curation.pools import DOMAINS, POISON, local, recipe_of

HALVE = 'use = "tests.curation.poisons:HALVE"\n'


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Three products, each with a page, a video and a live clip; one row is rejected by the recipe."""
    folder = tmp_path_factory.mktemp("pool")
    write_pictures(folder, n_products=3)
    recipe = recipe_of(folder, POISON + 'rejects = ["p0-live"]', HALVE, shard_rows=4)
    run_recipe(recipe, local(1), progress=False)
    return recipe


def write_pictures(folder: Path, n_products: int) -> None:
    rows = []
    for i in range(n_products):
        for domain in DOMAINS:
            names = [f"p{i}-{domain}-{frame}.jpg" for frame in range(1 if domain == "page" else 3)]
            for k, name in enumerate(names):
                Image.fromarray(np.full((24, 24, 3), 40 * i + 9 * k, np.uint8)).save(folder / name)
            row = {"id": f"p{i}-{domain}", "domain": domain, "text": f"cup {i}", "frames": names}
            rows.append(row | {"product_hint": f"p{i}", "category": "cups"})
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool.parquet")


def bytes_of(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_the_kept_rows_become_a_dataset_that_is_sound(recipe, tmp_path):
    report = publish(recipe.work.with_suffix(".toml"), recipe, tmp_path / "out", progress=False)
    assert validate(tmp_path / "out", decode=True) == []
    assert report.manifest.counts == {
        "train": {"products": 2, "pages": 2, "videos": 2, "lives": 1},
        "validation": {"products": 1, "pages": 1, "videos": 1, "lives": 1},
    }
    videos = pq.read_table(tmp_path / "out" / "videos" / "validation-00000-of-00001.parquet").to_pylist()
    assert [(row["sample_id"], row["product_id"], row["text"]) for row in videos] == [("p2-video", "p2", "cup 2")]
    assert len(videos[0]["frames"]) == 3


def test_a_page_of_several_pictures_has_the_middle_one(tmp_path):
    write_pictures(tmp_path, n_products=3)
    rows = pq.read_table(tmp_path / "pool.parquet").to_pylist()
    for i, row in enumerate(rows):
        if row["domain"] == "page":
            row["frames"] = [f"p{i // 3}-video-{k}.jpg" for k in (0, 2, 1)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    recipe = recipe_of(tmp_path, HALVE)
    run_recipe(recipe, local(1), progress=False)
    publish(recipe.work.with_suffix(".toml"), recipe, tmp_path / "out", progress=False)
    assert validate(tmp_path / "out") == []
    pages = pq.read_table(tmp_path / "out" / "pages" / "validation-00000-of-00001.parquet").to_pylist()
    assert [frame["bytes"] for frame in pages[0]["frames"]] == [(tmp_path / "p2-video-2.jpg").read_bytes()]


def test_the_lineage_tells_the_recipe_and_what_each_stage_has_counted(recipe, tmp_path):
    publish(recipe.work.with_suffix(".toml"), recipe, tmp_path / "out", progress=False)
    lineage = json.loads((tmp_path / "out" / LINEAGE_NAME).read_text())
    assert lineage["recipe"] == recipe.work.with_suffix(".toml").read_text()
    assert {name: stage["rows_in"] for name, stage in lineage["stages"].items()} == {"pool": 9, "poison": 9, "halve": 8}
    rejected = {"domain": "live", "fate": "rejected", "reason": "unwanted", "rows": 1}
    assert rejected in lineage["stages"]["poison"]["counts"]


def test_publishing_again_changes_nothing(recipe, tmp_path):
    reports, made = [], []
    for _ in range(2):
        reports.append(publish(recipe.work.with_suffix(".toml"), recipe, tmp_path / "out", progress=False))
        made.append(bytes_of(tmp_path / "out"))
    assert [report.is_new for report in reports] == [True, False]
    assert made[0] == made[1]


def _publish_slowly(recipe, out):
    import rope.dataset.build as build

    def wait(directory, manifest):
        (out / ".here").touch()
        time.sleep(60)

    build.write_manifest = wait  # the last act of a build
    publish(recipe.work.with_suffix(".toml"), recipe, out, progress=False)


def test_a_killed_publish_goes_on_to_the_same_bytes(recipe, tmp_path):
    calm, out = tmp_path / "calm", tmp_path / "out"
    publish(recipe.work.with_suffix(".toml"), recipe, calm, progress=False)
    process = multiprocessing.get_context("spawn").Process(target=_publish_slowly, args=(recipe, out))
    process.start()
    deadline = time.monotonic() + 30
    while not (out / ".here").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (out / MANIFEST_NAME).exists()
    (out / ".here").unlink()
    publish(recipe.work.with_suffix(".toml"), recipe, out, progress=False)
    assert bytes_of(out) == bytes_of(calm)
    assert read_manifest(out).fingerprint == read_manifest(calm).fingerprint


def test_a_dataset_that_exists_is_whole_wherever_publish_was_stopped(tmp_path, monkeypatch, caplog):
    write_pictures(tmp_path, n_products=3)
    pool = pq.read_table(tmp_path / "pool.parquet")
    pool = pool.append_column("brand", pool["category"])
    pq.write_table(pa.concat_tables([pool, pool.slice(0, 1)]), tmp_path / "pool.parquet")
    text = recipe_of(tmp_path, HALVE).work.with_suffix(".toml")
    text.write_text(text.read_text().replace("shard_rows", 'keep = ["brand"]\nshard_rows', 1))
    recipe = read_recipe(text)
    run_recipe(recipe, local(1), progress=False)

    def publish_to(out):
        publish(text, recipe, out, accept_unsound=True, progress=False)
        return bytes_of(out)

    calm, moved = publish_to(tmp_path / "calm"), []
    assert "published although its audit failed" in caplog.text
    assert {"README.md", LINEAGE_NAME, "attributes.parquet"} < set(calm)
    assert "## Unsound" in calm["README.md"].decode()
    move = build._move

    def stop_after(source, target):
        move(source, target)
        moved.append(target.name)
        if len(moved) == n:
            raise KeyboardInterrupt

    monkeypatch.setattr(build, "_move", stop_after)
    for n in range(len(calm) - 4, len(calm) + 1):  # the list of faults, the card, what belongs to it, the manifest
        moved.clear()
        with pytest.raises(KeyboardInterrupt):
            publish_to(tmp_path / f"out-{n}")
        found = {name: there for name, there in bytes_of(tmp_path / f"out-{n}").items() if not name.startswith(".")}
        assert (MANIFEST_NAME in found) == (n == len(calm))
        assert MANIFEST_NAME not in found or found == calm
        assert publish_to(tmp_path / f"out-{n}") == calm


def test_a_recipe_without_a_split_is_refused(recipe, tmp_path):
    plain = recipe_of(recipe.work.parent, POISON, work="plain")
    with pytest.raises(DatasetError, match="stage 'pool' of plain is not up to date"):
        publish(plain.work.with_suffix(".toml"), plain, tmp_path / "out", progress=False)
    run_recipe(plain, local(1), progress=False)
    with pytest.raises(UsageError, match="no column 'product_id'; end the recipe with the stages merge and split"):
        publish(plain.work.with_suffix(".toml"), plain, tmp_path / "out", progress=False)


def test_what_an_audit_calls_unsound_is_not_published_unless_asked_for_and_then_the_card_says_so(
    curate, recipe, tmp_path
):
    write_pictures(tmp_path, n_products=3)
    pool = pq.read_table(tmp_path / "pool.parquet")
    pq.write_table(pa.concat_tables([pool, pool.slice(0, 1)]), tmp_path / "pool.parquet")
    recipe_of(tmp_path, HALVE)
    assert curate("run", tmp_path / "work.toml", "--workers", 1)[0] == 1
    code, _, err = curate("publish", tmp_path / "work.toml", "--out", tmp_path / "out")
    assert (code, (tmp_path / "out").exists()) == (1, False)
    assert "not every row is accounted for; id 'p0-page' is 2 times in the pool" in err
    curate("publish", tmp_path / "work.toml", "--out", tmp_path / "out", "--accept-unsound")
    assert "## Unsound" in (tmp_path / "out" / "README.md").read_text()
    (told,) = json.loads((tmp_path / "out" / LINEAGE_NAME).read_text())["unsound"]
    assert told.startswith("id 'p0-page' is 2 times in the pool")
    publish(recipe.work.with_suffix(".toml"), recipe, tmp_path / "sound", progress=False)
    assert "Unsound" not in (tmp_path / "sound" / "README.md").read_text()


def test_media_and_columns_of_the_pool_go_all_the_way(curate, tmp_path):
    """Media inside the rows, and a brand by which a veto keeps two pages of one file apart."""
    write_pictures(tmp_path, n_products=4)
    rows = pq.read_table(tmp_path / "pool.parquet").to_pylist()
    for row in rows:
        product = int(row["product_hint"][1:])
        shown = [(tmp_path / name).read_bytes() for name in row["frames"]]
        if row["id"] in ("p1-page", "p3-page"):
            shown = [(tmp_path / f"p{product - 1}-page-0.jpg").read_bytes()]
        row["frames"] = [{"bytes": content, "path": None} for content in shown]
        row |= {"brand": "x" if product < 3 else "y", "price": float(product) if row["domain"] == "page" else None}
        row["seller"] = row["domain"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    for path in tmp_path.glob("*.jpg"):
        path.unlink()
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[pool]\npath = "pool.parquet"\nkeep = ["brand", "price", "seller"]\n[leaks]\n'
        'accepted = { media = 9, title = 9 }\n[[stage]]\nuse = "decode"\n'
        '[[stage]]\nuse = "sample"\nseed = 0\nrate = 1.0\nstrata = ["brand"]\n'
        '[[stage]]\nuse = "merge"\ncopies = false\nthresholds = { page-page = 1.0 }\nvetoes = ["brand"]\n'
        '[[stage]]\nuse = "split"\nn_validation = 1\nseed = 0\nstrata = ["brand"]\nmax_shared = 2\n'
    )
    assert curate("run", recipe, "--workers", 1)[0] == 0
    assert "their brand differs: x and y" in curate("why", recipe, "p2-page")[1]
    code, _, err = curate("publish", recipe, "--out", tmp_path / "out")
    assert code == 0, err
    assert validate(tmp_path / "out", decode=True) == []
    assert pq.read_table(tmp_path / "out" / "attributes.parquet").to_pylist() == [
        {"product_id": "p0", "brand": "x", "price": None, "seller": None},
        {"product_id": "p2", "brand": "x", "price": 2.0, "seller": None},
        {"product_id": "p3", "brand": "y", "price": 3.0, "seller": None},
    ]
    code, said, _ = curate("annotate", "export", recipe, "--in", tmp_path / "asked", "--question", "precision")
    assert code == 0
    recipe.write_text(recipe.read_text().replace('"seller"]', '"product_id"]'))
    pool = pq.read_table(tmp_path / "pool.parquet")
    pq.write_table(pool.append_column("product_id", pool["brand"]), tmp_path / "pool.parquet")
    refused = curate("run", recipe, "--workers", 1)
    assert (refused[0], "'merge': its rows have two columns 'product_id'" in refused[2]) == (2, True)
    (tasks,) = (tmp_path / "asked").glob("*/label-studio.json")
    shown = [path for task in json.loads(tasks.read_text()) for path in task["data"]["media_0"]]
    root = Path(said.split("media are below ")[1].splitlines()[0])
    assert all((root / path.removeprefix("/data/local-files/?d=")).suffix == ".jpg" for path in shown)
    assert all((root / path.removeprefix("/data/local-files/?d=")).is_file() for path in shown)


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_dataset_holds_no_path_of_the_machine(curate, is_absolute, tmp_path):
    """Media beside the pool, in another folder, inside rows and missing, in one run."""
    home = tmp_path / "homefolder"
    (home / "elsewhere").mkdir(parents=True)
    write_pictures(home, n_products=3)
    rows = pq.read_table(home / "pool.parquet").to_pylist()
    for row in rows:
        row["frames"] = [{"bytes": None, "path": name} for name in row["frames"]]
    rows[0]["frames"] = [{"bytes": (home / "p0-page-0.jpg").read_bytes(), "path": None}]
    (home / "p1-page-0.jpg").rename(home / "elsewhere" / "moved.jpg")
    rows[3]["frames"] = [{"bytes": None, "path": str(home / "elsewhere" / "moved.jpg")}]
    (home / "p2-live-1.jpg").unlink()
    (home / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), home / "in" / "pool.parquet")
    for path in home.glob("*.jpg"):
        path.rename(home / "in" / path.name)
    recipe_of(home, HALVE, work="workfolder")
    recipe = home / "spring.toml"
    text = (home / "workfolder.toml").read_text().replace('"pool.parquet"', '"in/pool.parquet"')
    text = text.replace('"in/', f'"{home}/in/').replace('"workfolder"', f'"{home}/workfolder"') if is_absolute else text
    recipe.write_text(text)
    assert curate("run", recipe, "--workers", 1)[0] == 0
    code, _, err = curate("publish", recipe, "--out", tmp_path / "out", "--accept-unsound")
    assert code == 0, err
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    places = {
        row["path"]
        for path in (tmp_path / "out").rglob("*-of-*.parquet")
        if "frames" in (table := pq.read_table(path)).column_names
        for frames in table["frames"].to_pylist()
        for row in frames
    }
    assert {"moved.jpg", "p0-video-0.jpg"} < places
    assert not [place for place in places if place.startswith("/") or "folder" in place or place.startswith("in/")]
    assert "p2-live-1.jpg" in found["faults.tsv"].decode()
    assert [name for name, content in found.items() if b"homefolder" in content] == []
    if is_absolute:
        assert 'work = "workfolder"' in json.loads(found["curation.json"])["recipe"]
