import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from baselines.learn.cli import app as learn_app
from rope.bench.cli import app
from rope.errors import DatasetError, EmbeddingError, UsageError
from rope.synthetic.interactions import Planted, plant_interactions

PLANTED = plant_interactions(Planted(n_users=80, n_items=60, mean_length=7), seed=2)


@pytest.fixture
def files(tmp_path):
    """Embeddings and interactions of the planted set, their rows in random order."""
    known, rng = PLANTED.interactions, np.random.default_rng(0)
    order = rng.permutation(len(known.item_ids))
    names = np.array(known.item_ids)[order]
    np.savez(tmp_path / "items.npz", page=PLANTED.content[order], page_ids=names)
    owners, places = known.taken.owners, np.arange(len(known.taken.items))
    rows = rng.permutation(len(places))
    columns = {
        "user_id": [known.user_ids[owners[row]] for row in rows],
        "item_id": [known.item_ids[known.taken.items[row]] for row in rows],
        "timestamp": places[rows],
    }
    pq.write_table(pa.table(columns), tmp_path / "interactions.parquet")
    return tmp_path


def invoke(application, *arguments):
    done = CliRunner().invoke(application, [str(argument) for argument in arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


def recommend(files, *more, items="items.npz"):
    return invoke(app, "recommend", files / items, "--interactions", files / "interactions.parquet", *more)


def test_the_result_says_what_was_scored_and_how(files):
    printed = recommend(files, "--json", files / "result.json", "--name", "planted")
    assert "planted: 80 of 80 users asked for 1 of 60 items" in printed
    result = json.loads((files / "result.json").read_text())
    assert (result["task"], result["model"]) == ("recommendation", "planted")
    assert result["protocol"]["history"] == "excluded"
    assert len(result["interactions"]["sha256"]) == len(result["gallery"]["embeddings"]["sha256"]) == 64
    assert list(result["methods"]) == ["mean of history", "popularity", "item-kNN"]
    everybody = result["methods"]["mean of history"]["all"]
    low, high = everybody["ci95"]["NDCG@10"]
    assert low < everybody["NDCG@10"] < high


def test_another_device_gives_the_same_result(files):
    pytest.importorskip("torch", reason="torch is not installed")
    for device in ("cpu", "cpu:0"):  # the second by way of torch
        recommend(files, "--device", device, "--json", files / f"{device}.json")
    assert (files / "cpu.json").read_bytes() == (files / "cpu:0.json").read_bytes()
    with pytest.raises(UsageError, match="--device abacus: torch cannot use it here"):
        recommend(files, "--device", "abacus")


def test_the_order_of_rows_and_the_number_of_threads_change_nothing(files, tmp_path):
    recommend(files, "--json", files / "a.json", "--threads", 1)
    np.savez(files / "sorted.npz", page=PLANTED.content, page_ids=np.array(PLANTED.interactions.item_ids))
    recommend(files, "--json", files / "b.json", "--threads", 2, "--name", "items", items="sorted.npz")
    first, second = (json.loads((files / name).read_text()) for name in ("a.json", "b.json"))
    assert first == second


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--domain", "video"], UsageError, "the embeddings are of page; not of 'video'"),
        (["--users", "missing.npz"], UsageError, "missing.npz: no such file"),
        (["--users", "missing.npz", "--max-history", 3], UsageError, "--max-history is of the mean"),
    ],
)
def test_wrong_options_are_explained(options, error, message, files):
    with pytest.raises(error, match=message):
        recommend(files, *options)


def test_an_item_without_a_vector_is_named(files):
    np.savez(files / "few.npz", page=PLANTED.content[1:], page_ids=np.array(PLANTED.interactions.item_ids[1:]))
    with pytest.raises(EmbeddingError, match="1 sample without an embedding: 'i0'"):
        recommend(files, items="few.npz")


def test_nobody_to_ask_is_an_error(files):
    (files / "short.csv").write_text("u,i1,5,1\nu,i2,5,2\n")
    with pytest.raises(DatasetError, match=r"short\.csv: no user has three interactions"):
        invoke(app, "recommend", files / "items.npz", "--interactions", files / "short.csv")


def test_vectors_of_learn_are_scored_beside_the_floors(files):
    model = {"input_dim": 32, "output_dim": 8, "width": 8, "heads": 2, "mlp_width": 8, "layers": 1}
    (files / "recipe.json").write_text(json.dumps({"seed": 0, "epochs": 1, "model": model}))
    data = [files / "items.npz", "--interactions", files / "interactions.parquet"]
    invoke(learn_app, "train", *data, "--recipe", files / "recipe.json", "--out", files / "run")
    invoke(learn_app, "embed", files / "run", *data, "--out", files / "learned")
    recommend(files, "--users", files / "learned" / "users.npz", "--json", files / "r.json", items="learned/items.npz")
    result = json.loads((files / "r.json").read_text())
    assert list(result["methods"]) == ["user vectors", "popularity", "item-kNN"]
    assert result["gallery"]["embeddings"]["dim"] == 8
