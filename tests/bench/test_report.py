import io
import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from rope.bench.io.provenance import EmbeddingsNote, Provenance
from rope.bench.metrics import mean
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import (
    as_json,
    one_shot_table,
    retrieval_table,
    write_json,
    write_ranks,
)
from rope.bench.score import score
from rope.bench.shown import as_text
from rope.bench.stats.intervals import intervals_of
from rope.bench.stats.query_ranks import ranks_of
from rope.domain import DOMAINS
from tests.bench.test_score import random_case

NOTE = EmbeddingsNote(n=20, dim=5, stored_dtype="float32", n_duplicates_dropped=0, sha256="a" * 64)
PROVENANCE = Provenance("model", "mini", "0" * 64, "validation", dict.fromkeys(DOMAINS, NOTE))


@pytest.fixture(scope="module")
def result():
    return score(*random_case(3), Draws(seed=0, trials=2), ComputeSettings())


def intervals(result):
    return intervals_of(ranks_of(result, PROVENANCE))


def schema():
    return json.loads(files("rope.bench").joinpath("result.schema.json").read_text("utf-8"))


def test_json_obeys_its_schema(result, tmp_path):
    write_ranks(tmp_path / "ranks.parquet", result)
    write_json(tmp_path / "result.json", as_json(result, PROVENANCE, intervals(result), tmp_path / "ranks.parquet"))
    written = json.loads((tmp_path / "result.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema()).validate(written)
    assert written["pairs"]["P2V"]["R@1"] == result.pairs["P2V"].micro.hit_rate[1]
    of_pair = written["one_shot"]["P2V"]
    assert of_pair["expected_ci95"][0] <= of_pair["expected"] <= of_pair["expected_ci95"][1]
    assert of_pair["ci95_draws"][0] <= of_pair["mean"] <= of_pair["ci95_draws"][1]


def test_several_shots_have_no_expected_value(tmp_path):
    several = score(*random_case(3), Draws(seed=0, trials=2, shots=3), ComputeSettings())
    written = json.loads(json.dumps(as_json(several, PROVENANCE, intervals(several), None)))
    jsonschema.Draft202012Validator(schema()).validate(written)
    assert {(one["expected"], one["expected_ci95"]) for one in written["one_shot"].values()} == {(None, None)}
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(one_shot_table(several))
    assert "expected" not in console.export_text().splitlines()[2]


def test_results_of_version_1_still_obey_the_schema(result):
    old = json.loads(json.dumps(as_json(result, PROVENANCE, intervals(result), None)))
    for of_pair in old["one_shot"].values():
        of_pair["ci95"] = of_pair.pop("ci95_draws")
        of_pair["std_bound"] = 1130.0
        del of_pair["expected_ci95"]
    assert not jsonschema.Draft202012Validator(schema()).is_valid(old)
    jsonschema.Draft202012Validator(schema()).validate(old | {"schema_version": 1})


@pytest.mark.parametrize("trials", [1, 2])
def test_undefined_numbers_are_null(trials, tmp_path):
    embeddings, labels = random_case(0, n_products=20, n=20)
    few = score(embeddings, labels, Draws(seed=0, trials=trials), ComputeSettings())
    assert (as_json(few, PROVENANCE, intervals(few), None)["one_shot"]["P2V"]["std"] is None) == (trials == 1)


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "result.json", {"R@1": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_ranks_file_gives_back_the_reported_means(result, tmp_path):
    write_ranks(tmp_path / "ranks.parquet", result)
    ranks = pq.read_table(tmp_path / "ranks.parquet").to_pandas()
    for name, pair in result.pairs.items():
        rows = ranks[ranks["pair"] == name]
        assert len(rows) == pair.n_queries
        assert mean((rows["rank"] <= 5).to_numpy()) == pair.micro.hit_rate[5]
        assert mean(rows["average_precision"].to_numpy()) == pair.micro.mean_average_precision
        assert mean((rows["hits_at_10"] / rows["n_positives"]).to_numpy()) == pair.micro.recall[10]


def test_tables_show_percentages(result):
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(retrieval_table(result, intervals(result)))
    console.print(one_shot_table(result))
    text = console.export_text()
    assert f"{100 * result.headline:.2f}" in text
    assert f"{100 * result.pairs['L2V'].micro.hit_rate[5]:.2f}" in text
    assert f"{100 * result.one_shot['V2P'].mean:.2f}" in text


def test_draws_of_the_same_accuracy_are_called_alike_and_not_certain(result):
    equal = {name: replace(one, std=0.0, std_bound=0.0, draws_interval=(one.mean, one.mean))
             for name, one in result.one_shot.items()}  # fmt: skip
    text = as_text([one_shot_table(replace(result, one_shot=equal))])
    assert "alike" in text
    assert "2 draws of the same accuracy, which does not tell how others would differ" in " ".join(text.split())
    unequal = {name: replace(one, std=0.1, draws_interval=(0.2, 0.3)) for name, one in result.one_shot.items()}
    assert "alike" not in as_text([one_shot_table(replace(result, one_shot=unequal))])
