"""From a release of another format to figures on the command line."""

import json
from importlib.resources import files

import jsonschema
import pytest
from typer.testing import CliRunner

from rope.bench.cli import app
from rope.dataset.build import build_dataset
from rope.errors import UsageError
from tests.bench.test_other_domains import narrow
from tests.sources.other_releases import CLIPS, WRITERS, write_product1m


@pytest.fixture
def built(tmp_path):
    """Builds a release of a format that has frames for every sample."""

    def build(name: str):
        build_dataset(WRITERS[name](tmp_path / "release"), tmp_path / "out", progress=False)
        return tmp_path / "out"

    return build


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("name", "pairs", "metric"),
    [
        ("product1m", ["P2P"], "none: the dataset has one domain"),
        ("lpr4m", ["P2L", "L2P", "P2P", "L2L"], "mean R@1 of the 2 cross-domain pairs of the dataset"),
    ],
)
def test_a_model_is_run_and_scored_on_the_domains_that_are_there(name, pairs, metric, built, tmp_path):
    result = tmp_path / "result.json"
    done = run("run", "--model", "baselines:handcrafted", "--data", built(name), "--out", tmp_path / "e.parquet",
               "--json", result)  # fmt: skip
    assert done.exit_code == 0
    written = json.loads(result.read_text("utf-8"))
    schema = json.loads(files("rope.bench").joinpath("result.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(written)
    assert list(written["pairs"]) == pairs
    assert written["headline"]["metric"] == metric
    assert (written["headline"]["value"] is None) == (name == "product1m")
    assert run("slices", result, "--data", tmp_path / "out", "--pair", pairs[0]).exit_code == 0
    again = tmp_path / "again.json"
    assert run("score", tmp_path / "e.parquet", "--data", tmp_path / "out", "--name", "handcrafted", "--json", again)
    with pytest.raises(UsageError, match="two models are called"):
        run("compare", result, again)
    done = run(
        "doctor",
        narrow(tmp_path / "e.parquet", ["page", "live"]),
        "--data",
        tmp_path / "out",
        "--json",
        tmp_path / "d.json",
    )
    assert done.exit_code == 0
    diagnosis = json.loads((tmp_path / "d.json").read_text("utf-8"))
    left_out = "the dataset has one domain, page" if name == "product1m" else "queries have their own galleries"
    assert diagnosis["retrieval"] is None
    assert left_out in diagnosis["skipped"][0]


def test_clips_are_searched_in_their_shop(built, tmp_path):
    run("run", "--model", "baselines:handcrafted", "--data", built("lpr4m"), "--out", tmp_path / "e.parquet",
        "--save-ranks", tmp_path / "r.parquet")  # fmt: skip
    import pyarrow.parquet as pq

    rows = [row for row in pq.read_table(tmp_path / "r.parquet").to_pylist() if row["pair"] == "L2P"]
    ranks = {row["query_id"]: row["rank"] for row in rows}
    assert set(ranks) == set(CLIPS)
    assert ranks[CLIPS[0]] <= 2  # two of the three images of the shop are right
    assert ranks[CLIPS[2]] <= 2  # two images in the shop


def test_official_figures_of_a_ranking(tmp_path):
    release = write_product1m(tmp_path / "release")
    (tmp_path / "ranking.txt").write_text("q1,g0,g1\nq2,g2,g3\n")
    done = run("product1m", release, "--ranking", tmp_path / "ranking.txt", "--json", tmp_path / "f.json")
    assert "100.00" in done.stdout
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert figures["top10"]["Prec"] == (1 + 1 / 2) / 2


@pytest.mark.parametrize("extra", [[], ["e.parquet", "--ranking", "r.txt"]])
def test_either_a_ranking_or_embeddings(extra, tmp_path):
    with pytest.raises(UsageError, match="give either embeddings or --ranking"):
        run("product1m", tmp_path, *extra)
