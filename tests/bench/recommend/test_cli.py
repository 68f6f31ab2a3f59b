import csv
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
    printed = recommend(files, "--json", files / "result.json", "--csv", files / "r.csv", "--name", "planted")
    rows = list(csv.DictReader((files / "r.csv").read_text("utf-8").splitlines()))
    assert {(row["model"], row["interactions"]) for row in rows} == {("planted", "interactions.parquet")}
    assert {"all"} < {row["slice"] for row in rows}
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
        (["--users", "missing.npz", "--max-history", 3], UsageError, "--max-history applies to the mean"),
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


def test_order_that_is_not_known_favours_nobody_and_is_told(files):
    """Users take 4 of 100 items on one day; a model that says the highest id knows nothing, and scores like it."""
    rng, n_users, ids = np.random.default_rng(0), 1000, [f"i{item:03d}" for item in range(100)]
    rows = [(f"u{user}", ids[item]) for user in range(n_users) for item in rng.choice(100, 4, replace=False)]
    (files / "day.csv").write_text("user,item,time\n" + "".join(f"{user},{item},86400\n" for user, item in rows))
    angles = np.linspace(0.1, 1.4, 100)
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    np.savez(files / "line.npz", page=vectors, page_ids=np.array(ids))
    np.savez(
        files / "highest.npz", users=np.tile(vectors[-1:], (n_users, 1)), user_ids=[f"u{i}" for i in range(n_users)]
    )
    printed = invoke(
        app, "recommend", files / "line.npz", "--users", files / "highest.npz", "--interactions", files / "day.csv",
        "--json", files / "day.json",
    )  # fmt: skip
    result = json.loads((files / "day.json").read_text())
    low, high = result["methods"]["user vectors"]["all"]["ci95"]["AUC"]
    assert low - 0.02 < 0.5 < high + 0.02
    assert 0.05 < result["methods"]["popularity"]["all"]["Recall@10"] < 0.2
    assert result["interactions"]["n_tied_targets"] == n_users
    assert result["interactions"]["columns"] == ["user", "item", "time"]
    assert result["protocol"]["version"] == "1.1"
    assert "1,000 of 1,000 users took their target item at the same time as another" in printed
    assert "day.csv: user, item and time are the columns user, item and time" in printed


def test_columns_are_taken_as_they_are_asked_for(files):
    (files / "own.csv").write_text("who,what,when\nu,i1,1\nu,i2,2\nu,i3,3\n")
    printed = invoke(
        app, "recommend", files / "items.npz", "--interactions", files / "own.csv", "--columns", "who,what,when"
    )
    assert "items: 1 of 1 users asked" in printed


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
