"""Leaks that a split lets through are found before anything is published, unless the recipe accepts them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.pipeline.manifest import ShardManifest, ShardPart, StoredFile
from rope.curation.pipeline.recipe import LeakRules, read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe
from rope.curation.publish import LINEAGE_NAME, publish
from rope.curation.splitting.leak_audit import (
    LEAK_SCHEMA,
    LeakAudit,
    SplitSide,
    audit_leaks,
    exact_search,
    to_markdown,
)
from rope.curation.splitting.recipe_leaks import LEAKS_NAME, audit_split, card_with_leaks, is_split, leaks_refused
from rope.dataset.validate import validate
from rope.errors import DatasetError
from tests.curation.pools import DOMAINS, local

SPLIT_STAGE = '[[stage]]\nuse = "split"\nn_validation = 1\nseed = 0\n'


def stages_of(folder, rows):
    """As if a recipe had ended with these rows."""
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    stored = StoredFile("rows.parquet", len(rows), 0, "")
    return {"split": [(folder, ShardManifest("", len(rows), (ShardPart(stored, stored),), ()))]}


def recipe_with(folder, *, split="", leaks=""):
    text = f'[pool]\npath = "."\n[leaks]\n{leaks}\n{SPLIT_STAGE}{split}'
    (folder / "recipe.toml").write_text(text)
    return read_recipe(folder / "recipe.toml")


def row(row_id, split, angle=None, **more):
    turned = None if angle is None else [float(np.cos(np.deg2rad(angle))), float(np.sin(np.deg2rad(angle)))]
    return {"id": row_id, "domain": "page", "text": row_id, "split": split, "embedding": turned} | more


@pytest.mark.parametrize(
    ("split", "leaks", "near"),
    [("", "", None), ("near = 0.9", "", 1), ("near = 0.99", "", 0), ("near = 0.99", "near = 0.9", 1)],
)
def test_near_pairs_are_those_of_the_split_unless_the_recipe_says_else(split, leaks, near, tmp_path):
    stages = stages_of(tmp_path, [row("1", "validation", 0), row("2", "train", 20), row("3", "train", 90)])
    audit = audit_split(recipe_with(tmp_path, split=split, leaks=leaks), stages)
    assert (None if audit.threshold is None else audit.leaking()["near"]) == near


@pytest.mark.parametrize(
    ("mine", "theirs", "kinds"),
    [
        ({"text": "Blue  CUP"}, {"text": " blue cup"}, ["title"]),
        ({"text": "Blue cup"}, {"text": "blue cup", "domain": "live"}, []),
        ({"text": " "}, {"text": ""}, []),
        ({"session": "s"}, {"session": "s", "domain": "live"}, ["session"]),
        ({"media_sha256": ["a", "b"]}, {"media_sha256": ["c", "b"]}, ["media"]),
    ],
)
def test_titles_of_pages_sessions_and_each_file_are_compared(mine, theirs, kinds, tmp_path):
    nothing = {"session": None, "media_sha256": None}
    rows = [row("1", "validation", **nothing | mine), row("2", "train", **nothing | theirs)]
    rows += [row("3", "train", text="other", session="t", media_sha256=["z"])]
    audit = audit_split(recipe_with(tmp_path), stages_of(tmp_path, rows))
    assert [kind for kind, n in audit.leaking().items() if n] == kinds


def test_rows_without_sides_are_no_split(tmp_path):
    assert is_split(stages_of(tmp_path, [row("1", "train")]))
    assert not is_split(stages_of(tmp_path, [{"id": "1"}]))


def test_a_card_has_one_section_however_often_it_is_written():
    audit = LeakAudit(LEAK_SCHEMA.empty_table(), LEAK_SCHEMA.empty_table(), (), None)
    once = card_with_leaks("# A card\n", audit, LeakRules())
    assert card_with_leaks(once, audit, LeakRules()) == once
    assert once.startswith("# A card\n\n## Leaks between the splits\n\n")
    assert once.endswith("near 0, media 0, session 0, title 0. The recipe accepts none.\n")


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """Four products with their own pictures and pages of one title, which ties nothing; split by the real stages."""
    folder = tmp_path_factory.mktemp("leaking")
    rows = []
    for i in range(4):
        for domain in DOMAINS:
            name = f"p{i}-{domain}.png"
            Image.fromarray(np.full((8, 8, 3), 40 * i + len(domain), np.uint8)).save(folder / name)
            hint = {"product_hint": f"p{i}", "category": "cups", "session": None}
            rows.append({"id": f"p{i}-{domain}", "domain": domain, "text": "a cup", "frames": [name]} | hint)
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(
        [("id", "string"), ("domain", "string"), ("text", "string"), ("frames", pa.list_(pa.string()))]
        + [(name, "string") for name in ("product_hint", "category", "session")]
    )), folder / "pool.parquet")  # fmt: skip
    stages = '[[stage]]\nuse = "decode"\n[[stage]]\nuse = "merge"\ncopies = false\n' + SPLIT_STAGE
    (folder / "work.toml").write_text(f'work = "work"\n[pool]\npath = "pool.parquet"\n{stages}')
    run_recipe(read_recipe(folder / "work.toml"), local(1), progress=False)
    return folder / "work.toml"


def test_a_leak_that_the_split_lets_through_stops_publishing(leaking, tmp_path):
    recipe = read_recipe(leaking)
    found = "title: 1 validation samples have a leak, such as page p.-page with page p.-page of train, .* accepts 0"
    with pytest.raises(DatasetError, match=rf"work: the splits leak; {found}; all leaks are in .*leaks.parquet"):
        publish(leaking, recipe, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    assert pq.read_table(recipe.work / LEAKS_NAME)["pairs"].to_pylist() == [3]


def test_what_is_accepted_is_published_with_the_numbers_in_card_and_lineage(leaking, tmp_path):
    accepting = leaking.with_name("accepting.toml")
    accepting.write_text(leaking.read_text() + "[leaks]\naccepted = { title = 1 }\n")
    publish(accepting, read_recipe(accepting), tmp_path / "out", progress=False)
    assert validate(tmp_path / "out") == []
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| P → P | 0 | 0 | 3 | near pairs were not searched |" in card
    assert "near 0, media 0, session 0, title 1. The recipe accepts title 1." in card
    leaks = json.loads((tmp_path / "out" / LINEAGE_NAME).read_text())["leaks"]
    assert leaks["leaking_validation_samples"] == {"near": 0, "media": 0, "session": 0, "title": 1}
    assert leaks["pairs"] == [{"kind": "title", "validation_domain": "page", "train_domain": "page", "pairs": 3}]
    assert leaks["accepted"] == {"title": 1}


def test_a_waived_sample_is_named_and_no_leak(leaking):
    recipe = read_recipe(leaking)
    [sample] = audit_split(recipe, finished_stages(recipe)).leaks["validation_id"].to_pylist()
    waiving = leaking.with_name("waiving.toml")
    waiving.write_text(leaking.read_text() + f'[leaks]\nwaived = ["{sample}"]\n')
    recipe = read_recipe(waiving)
    audit = audit_split(recipe, finished_stages(recipe))
    assert leaks_refused(audit, recipe.leaks) == []
    assert audit.waived["validation_id"].to_pylist() == [sample]


def test_the_command_audit_shows_the_leaks_and_ends_with_1(leaking, curate):
    code, out, _ = curate("audit", leaking)
    assert code == 1
    assert "every row is accounted for; of 12 rows: 12 kept" in out
    assert "| validation → train | same media | same session | same title |" in out
    assert "title: 1 validation samples have a leak" in out


@pytest.mark.parametrize(("search", "pairs"), [("exact", 0), ("ivf", 1)])
def test_the_audit_says_how_many_pairs_an_index_has_found(search, pairs, tmp_path):
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    stages = stages_of(tmp_path, [row("1", "validation", 0), row("2", "train", 20), row("3", "train", 90)])
    audit = audit_split(recipe_with(tmp_path, split="near = 0.9", leaks=f'search = "{search}"'), stages)
    assert (audit.leaking()["near"], audit.recalls[0].pairs, audit.recalls[0].pairs_found) == (1, pairs, pairs)
    assert ("1 of 1 pairs of random samples" in to_markdown(audit)) == bool(pairs)


def test_an_index_that_loses_pairs_is_found_out():
    def forgetful(queries, gallery, threshold):
        found = exact_search(queries, gallery, threshold)
        kept = found.left % 2 == 0
        return replace(found, left=found.left[kept], right=found.right[kept], cosine=found.cosine[kept])

    vectors = np.eye(8, dtype=np.float32)
    side = SplitSide([str(i) for i in range(8)], ["page"] * 8, vectors, {})
    recall = audit_leaks(side, side, threshold=0.9, seed=0, search=forgetful).recalls[0]
    assert (recall.pairs, recall.pairs_found) == (8, 4)
