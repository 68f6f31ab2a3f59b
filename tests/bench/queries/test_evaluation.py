"""From vectors to the result file: by the library, by the command, and by a run of an embedder."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from baselines.handcrafted import Handcrafted
from rope.bench import evaluate_queries
from rope.bench.io.writer import write_embeddings
from rope.bench.queries.run import embed_queries
from rope.bench.running.run import run_embedder
from rope.dataset.build import build_dataset
from rope.dataset.queries import read_queries
from rope.errors import DatasetError, EmbeddingError, UsageError
from tests.releases import tiny_release, write_release


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A small dataset with three queries, and its vectors."""
    folder = tmp_path_factory.mktemp("asked")
    build_dataset(write_release(folder / "release", tiny_release()), folder / "dataset", progress=False)
    key = {"domain": "page", "sample_id": "pb1"}
    rows = [
        {"query_id": "q1", "text": "text of pb1", "positives": [key], "negatives": [key | {"sample_id": "pb2"}]},
        {
            "query_id": "q2",
            "text": "pb1",
            "positives": [key | {"domain": "video", "sample_id": "vb1", "grade": 2}, key],
        },
        {"query_id": "q3", "images": ["a.jpg"], "positives": [key], "group": "g"},
    ]
    (folder / "dataset/queries").mkdir()
    image = next((folder / "release/images").iterdir()).read_bytes()
    (folder / "dataset/queries/a.jpg").write_bytes(image)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "dataset/queries/validation.jsonl").write_text(text)
    run_embedder(Handcrafted(), folder / "dataset", folder / "e.parquet", progress=False)
    embed_queries(Handcrafted(), folder / "dataset", folder / "q.parquet", progress=False)
    return folder


def test_the_result_names_what_it_is_of(asked):
    found = evaluate_queries([asked / "e.parquet", asked / "q.parquet"], asked / "dataset", name="floor")
    told = found.to_dict()
    table = read_queries(asked / "dataset", "validation")
    assert told["queries"] == {"file": "queries/validation.jsonl", "n": 3, "fingerprint": table.fingerprint}
    assert (told["model"], told["protocol"]["tasks"], told["task"]) == ("floor", "1.0", "queries")
    assert list(told["embeddings"]) == ["page", "video", "live", "query"]
    names = ["text-to-page", "text-to-video", "text-to-mixed", "image-to-page", "image-to-mixed"]
    assert list(found.tasks) == names
    assert found.tasks["text-to-video"]["n_no_positive"] == 1
    assert found.tasks["text-to-page"]["hard_negatives"]["n_queries"] == 1
    assert found.tasks["image-to-page"]["paraphrases"] is None
    assert found.tasks["text-to-mixed"]["answers_from"]["gallery"] == pytest.approx(
        dict.fromkeys(["page", "video", "live"], 1 / 3)
    )
    assert [row["task"] for row in found.to_rows()] == names
    assert "text-to-page" in str(found)


def test_the_commands_write_what_the_library_says(asked, rope_bench, tmp_path):
    files = [asked / "e.parquet", asked / "q.parquet"]
    code, out, _ = rope_bench(
        "queries", *files, "--data", asked / "dataset", "--json", tmp_path / "q.json", "--csv", tmp_path / "q.csv"
    )
    assert (code, "Search queries" in out) == (0, True)
    wanted = evaluate_queries(files, asked / "dataset").to_json()
    assert (tmp_path / "q.json").read_text() == wanted
    assert len((tmp_path / "q.csv").read_text().splitlines()) == 6
    run = ("run", "--model", "baselines:handcrafted", "--out", tmp_path / "e.parquet", "--data", asked / "dataset")
    for _ in range(2):  # the second time nothing is embedded
        assert rope_bench(*run, "--queries", tmp_path / "r.json")[0] == 0
    of_run, of_files = json.loads((tmp_path / "r.json").read_text()), json.loads(wanted)
    assert of_run["tasks"] == of_files["tasks"]
    assert of_run["model"] == "handcrafted"


def test_queries_that_are_not_there_are_missed_before_a_model_is_run(dataset, rope_bench, tmp_path):
    words = ("run", "--model", "baselines:handcrafted", "--out", tmp_path / "e.parquet", "--data", dataset)
    code, _, err = rope_bench(*words, "--queries", tmp_path / "q.json")
    assert (code, "has no queries of the split validation" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["compare", "slices", "tail"])
def test_a_result_of_queries_is_not_taken_for_one_of_pairs(command, asked, rope_bench, tmp_path):
    scored, result = (
        evaluate_queries([asked / "e.parquet", asked / "q.parquet"], asked / "dataset"),
        tmp_path / "q.json",
    )
    result.write_text(scored.to_json())
    code, _, err = rope_bench(command, result)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert f"{result}: a result of the task 'queries', for which no ranks of single queries are kept" in err
    assert "score again" not in err


class TwoRoles:
    """Queries get vectors of their own; samples as queries never enter."""

    name = "two roles"
    fingerprint = "1"

    def embed(self, samples, role="gallery"):
        rng = np.random.default_rng(len(samples[0].domain))
        rows = rng.standard_normal((40, 4))
        return np.stack([rows[sum(map(ord, one.sample_id)) % 40] + (100 if role == "query" else 0) for one in samples])


def test_queries_are_embedded_in_the_role_of_queries(asked, tmp_path):
    embed_queries(TwoRoles(), asked / "dataset", tmp_path / "q.parquet", progress=False)
    rows = pq.read_table(tmp_path / "q.parquet")
    assert rows["domain"].to_pylist() == ["query"] * 3
    assert min(map(min, rows["embedding"].to_pylist())) > 50
    run_embedder(TwoRoles(), asked / "dataset", tmp_path / "e.parquet", progress=False)
    both = evaluate_queries([tmp_path / "e.parquet", tmp_path / "q.parquet"], asked / "dataset")
    gallery = pq.read_table(tmp_path / "e.parquet").drop_columns("query_embedding")
    pq.write_table(gallery, tmp_path / "g.parquet")
    alone = evaluate_queries([tmp_path / "g.parquet", tmp_path / "q.parquet"], asked / "dataset")
    assert both.tasks == alone.tasks


def test_vectors_of_other_queries_or_of_another_model_are_not_taken(asked, tmp_path, caplog):
    out = embed_queries(TwoRoles(), asked / "dataset", tmp_path / "q.parquet", progress=False)
    other = TwoRoles()
    other.fingerprint = "2"
    with pytest.raises(UsageError, match="exists already: embedder_fingerprint is '1' there and '2' now"):
        embed_queries(other, asked / "dataset", out, progress=False)
    embed_queries(other, asked / "dataset", out, overwrite=True, progress=False)
    (tmp_path / "x.parquet").write_bytes(b"mine")
    with pytest.raises(UsageError, match="was not written by this command"):
        embed_queries(other, asked / "dataset", tmp_path / "x.parquet", overwrite=True, progress=False)
    table = pq.read_table(asked / "q.parquet")
    key = json.loads(table.schema.metadata[b"rope_run"]) | {"dataset": "f" * 64}
    pq.write_table(table.replace_schema_metadata({"rope_run": json.dumps(key)}), tmp_path / "o.parquet")
    evaluate_queries([asked / "e.parquet", tmp_path / "o.parquet"], asked / "dataset")
    assert "embedded from the queries ffffffffffff" in caplog.text


def test_what_does_not_fit_is_refused(asked, dataset, tmp_path):
    with pytest.raises(EmbeddingError, match="no embeddings of the queries; give them as the domain query"):
        evaluate_queries(asked / "e.parquet", asked / "dataset")
    with pytest.raises(DatasetError, match="has no queries of the split validation"):
        evaluate_queries(asked / "e.parquet", dataset)
    rows = pq.read_table(asked / "q.parquet").slice(0, 2)
    pq.write_table(rows, tmp_path / "two.parquet")
    with pytest.raises(EmbeddingError, match="query: 1 sample without an embedding"):
        evaluate_queries([asked / "e.parquet", tmp_path / "two.parquet"], asked / "dataset")
    last = evaluate_queries([asked / "e.parquet", tmp_path / "two.parquet"], asked / "dataset", missing="last")
    assert last.tasks["image-to-page"]["median_rank"] == 2.0, "of two pages, it is the last"


def test_arrays_do_as_well_as_files(asked, tmp_path):
    ids = {"page": ["pb1", "pb2"], "video": ["vb1", "vb2"], "live": ["lb1", "lb2"], "query": ["q1", "q2", "q3"]}
    given = {domain: (one, np.eye(3)[: len(one)]) for domain, one in ids.items()}
    write_embeddings(tmp_path / "e.parquet", given)
    found = evaluate_queries(given, asked / "dataset")
    assert found.tasks == evaluate_queries(tmp_path / "e.parquet", asked / "dataset").tasks
    assert found.tasks["text-to-page"]["R@1"] == 0.5
