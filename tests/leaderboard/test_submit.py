import json
from dataclasses import replace

import numpy as np
import pytest

from leaderboard import submit as submitting
from leaderboard.checked_board import check
from leaderboard.entry import read_entry
from leaderboard.submit import ROUNDING_TOLERANCE, Storage, submit
from leaderboard.vectors import stored_bytes
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.bench.stats.query_ranks import load_ranks
from rope.errors import EmbeddingError, RopeError, UsageError
from tests.leaderboard.conftest import card, make_embeddings


def test_the_score_beside_an_entry_is_one_that_rope_bench_reads(results, data):
    entry = read_entry(next((results / "alpha").glob("*[0-9a-f].json")))
    assert entry.status == "recomputed"
    assert entry.samples == {"page": 120, "video": 120, "live": 120}
    assert 0 <= entry.rounding_change <= max(ROUNDING_TOLERANCE, 2 / 120)
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


@pytest.mark.parametrize(("dtype", "dims"), [("int8", None), ("float16", 12), ("int8", 12)])
def test_vectors_of_any_storage_are_rescored_to_the_same_numbers(models, data, tmp_path, dtype, dims):
    path = submit([models["gamma"]], card("gamma"), data, tmp_path, storage=Storage(dtype, dims))
    entry = read_entry(path)
    notes = {(note["dim"], note["stored_dtype"]) for note in entry.score["embeddings"].values()}
    assert (notes, entry.cut_from) == ({(dims or 16, dtype)}, dims and 16)
    (verdict,) = check(tmp_path, [data]).verdicts
    assert (verdict.is_rescored, verdict.problems) == (True, ())


@pytest.mark.parametrize(("dtype", "dims"), [("int8", None), ("float16", 12)])
def test_the_vectors_that_samples_have_as_queries_are_kept_and_scored_again(models, data, tmp_path, dtype, dims):
    galleries, queries = (read_embeddings([models[name]]) for name in ("alpha", "beta"))
    given = {domain: replace(rows, queries=queries[domain]) for domain, rows in galleries.items()}
    write_embeddings(tmp_path / "roles.parquet", given)
    path = submit([tmp_path / "roles.parquet"], card("gamma"), data, tmp_path / "results", storage=Storage(dtype, dims))
    assert read_entry(path).score["embeddings"]["page"]["n_query_vectors"] == 120
    (verdict,) = check(tmp_path / "results", [data]).verdicts
    assert (verdict.is_rescored, verdict.problems) == (True, ())
    alone = read_entry(submit([models["alpha"]], card("alpha"), data, tmp_path / "alone", storage=Storage(dtype, dims)))
    assert alone.score["pairs"]["P2V"] != read_entry(path).score["pairs"]["P2V"]


def test_many_vectors_of_a_sample_are_refused_by_the_board(models, data, tmp_path):
    rows = read_embeddings([models["alpha"]])
    twice = {d: replace(one.take(np.repeat(np.arange(120), 2)), sample_ids=one.sample_ids,
                        offsets=np.arange(0, 241, 2)) for d, one in rows.items()}  # fmt: skip
    write_embeddings(tmp_path / "many.parquet", twice)
    with pytest.raises(EmbeddingError, match="pages have many vectors each; the board keeps one of each sample"):
        submit([tmp_path / "many.parquet"], card("alpha"), data, tmp_path)


def test_vectors_that_are_cut_are_those_of_a_file_that_held_no_more(models, data, tmp_path):
    rows = read_embeddings([models["beta"]])
    write_embeddings(tmp_path / "short.parquet", {d: (one.sample_ids, one.vectors[:, :5]) for d, one in rows.items()})
    cut = read_entry(submit([models["beta"]], card("beta"), data, tmp_path / "cut", storage=Storage(dims=5)))
    short = read_entry(submit([tmp_path / "short.parquet"], card("beta"), data, tmp_path / "short"))
    assert cut.score["embeddings"] == short.score["embeddings"]
    assert (cut.cut_from, short.cut_from) == (16, None)


@pytest.mark.parametrize("dims", [16, 17, 4096])
def test_no_more_dimensions_are_kept_than_there_are(models, data, tmp_path, dims):
    with pytest.raises(UsageError, match=f"--dims {dims}: the vectors have 16 dimensions, expected fewer"):
        submit([models["alpha"]], card("alpha"), data, tmp_path, storage=Storage(dims=dims))


def test_a_cut_that_leaves_zeros_is_refused(models, data, tmp_path):
    rows = read_embeddings([models["alpha"]])
    rows["video"].vectors[7, :3] = 0
    write_embeddings(tmp_path / "a.parquet", {d: (one.sample_ids, one.vectors) for d, one in rows.items()})
    with pytest.raises(EmbeddingError, match="--dims 3: 1 videos have only zeros there, '7' the first"):
        submit([tmp_path / "a.parquet"], card("alpha"), data, tmp_path / "out", storage=Storage(dims=3))


def test_vectors_that_are_too_large_are_refused_before_they_are_scored(models, data, tmp_path, monkeypatch):
    rows = read_embeddings([models["alpha"]])
    whole, halves = (stored_bytes(rows, dtype) for dtype in ("float16", "int8"))
    monkeypatch.setattr(submitting, "score", lambda *_: pytest.fail("it was scored"))
    monkeypatch.setattr(submitting, "MAX_BYTES", whole - 1)
    with pytest.raises(RopeError, match=f"take {whole:,} bytes in float16, .* --dtype int8 makes .* --dims 15 keeps"):
        submit([models["alpha"]], card("alpha"), data, tmp_path / "out")
    monkeypatch.setattr(submitting, "MAX_BYTES", halves - 361)
    with pytest.raises(
        RopeError, match=f"take {halves:,} bytes in int8, .* allowed; --dims 14 keeps the first 14 of 16"
    ):
        submit([models["alpha"]], card("alpha"), data, tmp_path / "out", storage=Storage("int8"))
    assert not (tmp_path / "out").exists()


def test_rows_without_vectors_may_be_of_any_size(models, data, tmp_path, monkeypatch):
    monkeypatch.setattr(submitting, "MAX_BYTES", 100)
    submit([models["alpha"]], card("alpha"), data, tmp_path, with_embeddings=False)
    with pytest.raises(RopeError, match="bytes in float16"):
        submit([models["alpha"]], card("alpha"), data, tmp_path)


def test_vectors_that_int8_would_change_are_refused(data, tmp_path):
    """One entry of each vector is a thousand times the others, so that int8 keeps nothing of them."""
    path = make_embeddings(tmp_path / "outlier.parquet", data, 0.1, 0)
    rows = read_embeddings([path])
    for one in rows.values():
        one.vectors[:, 0] = 1000
    write_embeddings(path, {domain: (one.sample_ids, one.vectors) for domain, one in rows.items()})
    with pytest.raises(RopeError, match=r"int8 changes .* Store them as float16"):
        submit([path], card("outlier"), data, tmp_path / "out", storage=Storage("int8"))


def test_a_cut_to_as_many_dimensions_as_are_kept_is_refused(models, data, tmp_path):
    path = submit([models["beta"]], card("beta"), data, tmp_path, storage=Storage(dims=5))
    path.write_text(path.read_text("utf-8").replace('"cut_from": 16', '"cut_from": 5'), "utf-8")
    with pytest.raises(RopeError, match="cut_from is 5, expected more than the 5 that are kept"):
        read_entry(path)
