"""Files that earlier versions wrote, in `tests/data`: each is read, and says what it said when it was written."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import rope.bench
from rope.bench.io.embeddings import embeddings_sha256
from rope.bench.io.readers import read_embeddings
from rope.bench.score import PROTOCOL_VERSION
from rope.bench.stats.query_ranks import load_ranks
from rope.curation.pipeline.accounting import audit
from rope.curation.pipeline.manifest import read_manifest as read_shard_manifest
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.dataset.load import load_dataset
from rope.dataset.manifest import read_manifest
from rope.dataset.validate import validate
from tests.curation.pools import column, local
from tests.stored import DATA

VERSIONS = sorted(path for path in DATA.glob("v*") if path.is_dir())
LAYOUTS = {"v0": {1: "1.0", 2: "1.1"}}
"""Layout of results -> version of the protocol of the one that stands in a folder."""

pytestmark = pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)


def plain(path: Path):
    return json.loads(path.read_text("utf-8"))


def test_a_dataset_is_sound_and_has_its_rows_and_fingerprint(version, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    assert validate(version / "dataset", decode=True) == []
    manifest = read_manifest(version / "dataset")
    assert manifest.fingerprint == plain(version / "result.json")["dataset"]["fingerprint"]
    rows = load_dataset(str(version / "dataset"), "videos", split="validation")
    assert rows["sample_id"] == ["vb1", "vb2"]
    assert rows["frame_times"] == [[30, 90, 120]] * 2
    assert [frame.size for frame in rows[0]["frames"]] == [(8, 8)] * 3


def test_vectors_are_those_that_the_result_names(version):
    found = read_embeddings([version / "vectors.parquet"])
    stated = plain(version / "result.json")["embeddings"]
    for domain, rows in found.items():
        assert (rows.vectors.shape, embeddings_sha256(rows)) == (
            (stated[domain]["n"], stated[domain]["dim"]),
            stated[domain]["sha256"],
        )
    assert sorted(found) == sorted(stated)


def test_results_and_ranks_of_every_layout_are_read(version):
    layouts = {}
    for result in version.rglob("result.json"):
        ranks, stated = load_ranks(result), plain(result)
        layouts[stated["schema_version"]] = stated["protocol"]["version"]
        for name, pair in ranks.pairs.items():
            hits = (pair.rank == 1).mean() if pair.query_ids else None
            assert hits == (stated["pairs"][name]["R@1"] if pair.query_ids else None)
        assert rope.bench.slices(result, version / "dataset").plain["slices"]
    assert layouts == LAYOUTS[version.name]


def test_scores_have_not_moved_since_unless_the_protocol_has(version, tmp_path):
    stated = plain(version / "result.json")
    rope.bench.evaluate(version / "vectors.parquet", version / "dataset").save(tmp_path / "now.json")
    now = plain(tmp_path / "now.json")
    assert_holds(stated["dataset"], now["dataset"])
    if stated["protocol"]["version"] == PROTOCOL_VERSION:
        for part in ("headline", "pairs", "one_shot"):
            assert_holds(stated[part], now[part])


def assert_holds(stated, now):
    """All that was stated is stated now; floats to their last digits, and what is new is of no matter."""
    if isinstance(stated, dict):
        for name in stated:
            assert_holds(stated[name], now[name])
    else:
        assert now == (stated if stated is None or isinstance(stated, str) else pytest.approx(stated, rel=1e-9))


def test_a_working_folder_of_curation_is_read_and_goes_on(version, tmp_path):
    folder = shutil.copytree(version / "curation", tmp_path / "curation")
    manifests = sorted((folder / "recipe-work" / "stages").rglob("*.json"))
    for path in manifests:
        manifest = read_shard_manifest(path)
        assert [file.rows for file in manifest.files] == [
            len(pq.read_table(path.parent / f.name)) for f in manifest.files
        ]
        assert sum(count.rows for count in manifest.counts) == manifest.rows_in
    assert len(manifests) == 5
    recipe = read_recipe(folder / "recipe.toml")
    run_recipe(recipe, local(1), progress=False)
    assert audit(recipe).fates == {"kept": 12, "rejected": 1}
    splits = dict(zip(column(recipe, "split", "id"), column(recipe, "split", "split"), strict=True))
    assert {splits[f"{domain}0"] for domain in ("page", "video", "live")} in ({"train"}, {"validation"})
    assert sorted(splits.values()) == ["train"] * 9 + ["validation"] * 3


def test_an_entry_of_the_leaderboard_is_read(version):
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    from leaderboard.entry import entry_paths, read_entry

    [path] = entry_paths(version / "entries")
    entry = read_entry(path)
    assert entry.fingerprint == read_manifest(version / "dataset").fingerprint
    assert entry.value("mean", "R@1") == plain(version / "result.json")["headline"]["value"]
    assert sorted(read_embeddings([entry.part("embeddings")])) == ["live", "page", "video"]


def test_a_folder_of_cope_is_read_and_its_weights_fit(version, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from safetensors.torch import save_file

    from cope import Cope
    from cope.recipe import read_recipe as read_training_recipe

    folder = shutil.copytree(version / "cope", tmp_path / "cope")
    weights = {name: torch.zeros(shape) for name, shape in plain(folder / "tensors.json").items()}
    save_file(weights, folder / "model.safetensors")
    model = Cope.from_pretrained(folder)
    assert set(model.state_dict()) == set(weights)
    recipe = read_training_recipe(str(folder / "recipe.yaml"))
    assert (recipe.model.embedding_dim, recipe.batch_size, recipe.epochs) == (8, 2, 1)
    assert recipe.model == model.config
