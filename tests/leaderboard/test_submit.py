import json

import pytest

from leaderboard.entry import read_entry
from leaderboard.submit import FLOAT16_TOLERANCE, submit
from rope.bench.ranks import load_ranks
from rope.bench.readers import read_embeddings
from rope.bench.writer import write_embeddings
from rope.errors import EmbeddingError
from tests.leaderboard.conftest import card


def test_the_score_beside_an_entry_is_one_that_rope_bench_reads(results, data):
    entry = read_entry(next((results / "alpha").glob("*[0-9a-f].json")))
    assert entry.status == "recomputed"
    assert entry.samples == {"page": 120, "video": 120, "live": 120}
    assert 0 <= entry.float16_change <= max(FLOAT16_TOLERANCE, 2 / 120)
    assert load_ranks(entry.part("score")).origin.model == "Model alpha"


def test_the_same_embeddings_give_the_same_files(models, results, data, tmp_path):
    submit([models["alpha"]], card("alpha"), data, tmp_path)
    for path in (results / "alpha").iterdir():
        assert (tmp_path / "alpha" / path.name).read_bytes() == path.read_bytes(), path.name


def test_length_of_vectors_changes_no_number(models, data, results, tmp_path):
    rows = read_embeddings([models["alpha"]])
    write_embeddings(tmp_path / "long.parquet", {d: (one.sample_ids, 8 * one.vectors) for d, one in rows.items()})
    entry = read_entry(submit([tmp_path / "long.parquet"], card("alpha"), data, tmp_path))
    stored = json.loads(next((results / "alpha").glob("*.score.json")).read_text("utf-8"))
    assert entry.score["pairs"] == stored["pairs"]
    assert entry.score["embeddings"] == stored["embeddings"]


def test_embeddings_of_another_dataset_are_refused_before_anything_is_written(models, data, tmp_path):
    rows = read_embeddings([models["alpha"]])
    rows["page"].sample_ids[0] = "unknown"
    write_embeddings(tmp_path / "a.parquet", {d: (one.sample_ids, one.vectors) for d, one in rows.items()})
    with pytest.raises(EmbeddingError, match="the dataset does not have: 'unknown'"):
        submit([tmp_path / "a.parquet"], card("alpha"), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
