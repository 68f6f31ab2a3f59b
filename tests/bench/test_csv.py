"""`--csv` of the commands that give tables: each row says what it belongs to, and stdout holds nothing else."""

import csv
import io
import json

import pytest

from rope.bench.evaluation import evaluate
from rope.bench.questions import slices, tail
from rope.bench.stats.query_ranks import load_ranks


@pytest.fixture(scope="module")
def results(dataset, embeddings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name in ("one", "two"):
        evaluate(embeddings, dataset, name=name, dims=900 if name == "two" else None).save(folder / f"{name}.json")
    return folder


@pytest.mark.parametrize("command", ["compare", "slices", "tail", "doctor", "gallery", "score", "rerank"])
def test_rows_go_to_stdout_alone_and_name_what_they_are_of(rope_bench, dataset, embeddings, results, tmp_path, command):
    of_data = ["--data", dataset]
    words = {
        "compare": [results / "one.json", results / "two.json"],
        "slices": [results / "one.json", *of_data],
        "tail": [results / "one.json", "--metric", "MRR", *of_data],
        "doctor": [embeddings, *of_data],
        "gallery": [embeddings, "--queries", 1, *of_data],
        "score": [embeddings, "--trials", 2, *of_data],
        "rerank": [results / "one.json", embeddings, "--model", "baselines:evidence", "--depth", 2, *of_data],
    }[command]
    words += ["--out", tmp_path / "c.parquet"] if command == "rerank" else []
    file = tmp_path / "rows.csv"
    code, out, err = rope_bench(command, *words, "--csv", "-")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows
    assert all(row["model"] and row["dataset"] and len(row["fingerprint"]) == 64 and row["split"] for row in rows)
    assert "─" in err  # the tables
    assert rope_bench(command, *words, "--csv", file, "--json", tmp_path / "r.json")[0] == 0
    assert file.read_text("utf-8") == out
    told = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert command == "compare" or (told["model"], len(told["dataset"]["fingerprint"])) == (rows[0]["model"], 64)
    assert rope_bench(command, *words, "--csv", "-", "--json", "-")[0] == 2


def test_numbers_are_those_of_the_json(dataset, results):
    ranks = load_ranks(results / "one.json")
    found = slices(ranks, dataset)
    (first, told) = found.to_rows()[0], found.plain["slices"][0]
    assert (first["R@1"], first["R@1_low"]) == (told["R@1"], (told["ci95"]["R@1"] or [None])[0])
    assert [row["value"] for row in tail(ranks, dataset, metric="MRR").to_rows()] == [
        part["MRR"] for part in tail(ranks, dataset, metric="MRR").plain["parts"]
    ]
