import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from rope.bench.attributes.cli import attributes
from rope.dataset.directory import read_labels
from rope.domain import CONFIG_OF, DOMAINS
from rope.errors import UsageError
from tests.dataset.conftest import product, sample, small_tables, write_tables

pytest.importorskip("torch", reason="probes are fitted with torch")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Eight products of two categories in each split, one sample per domain; those of train are a to h."""
    tables = small_tables()
    for split, ids in (("train", "abcdefgh"), ("validation", "12345678")):
        for config in CONFIG_OF.values():
            tables[f"{config}/{split}"] = [sample(f"{one}-0", one, 1, category=None) for one in ids]
        tables[f"products/{split}"] = [
            product(one, [f"{one}-0"], [f"{one}-0"], [f"{one}-0"]) | {"category": ["tea", "bread"][i % 2]}
            for i, one in enumerate(ids)
        ]
    return write_tables(tmp_path_factory.mktemp("attributes") / "data", tables, rows_per_shard=20)


@pytest.fixture(scope="module")
def files(directory, tmp_path_factory):
    """Split -> vectors whose first number tells the category."""
    folder, rng, paths = tmp_path_factory.mktemp("vectors"), np.random.default_rng(0), {}
    for split in ("train", "validation"):
        rows = [
            {"domain": domain, "sample_id": one, "embedding": [(-1.0) ** i, *rng.normal(0, 0.2, 3)]}
            for domain in DOMAINS
            for i, one in enumerate(read_labels(directory, split)[domain].sample_ids)
        ]
        paths[split] = folder / f"{split}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), paths[split])
    return paths


def run(*arguments) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(attributes)
    app([str(one) for one in arguments], standalone_mode=False)


def test_the_command_prints_a_table_and_writes_strict_json(files, directory, tmp_path, capsys):
    out = tmp_path / "out.json"
    run(
        files["validation"],
        "--data",
        directory,
        "--column",
        "category",
        "--folds",
        2,
        "--trials",
        2,
        "--json",
        out,
        "--csv",
        tmp_path / "out.csv",
    )
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines()))
    assert {(row["column"], row["split"], len(row["fingerprint"])) for row in rows} == {("category", "validation", 64)}
    assert [row["accuracy"] for row in rows if (row["method"], row["pair"]) == ("linear probe", "P2V")] == ["1.0"]
    printed = capsys.readouterr().out
    assert "category: accuracy in %, 2 classes, 2 folds" in printed
    result = json.loads(out.read_text("utf-8"), parse_constant=pytest.fail)
    assert (result["task"], result["evaluation"], result["train"]) == ("classes", "cross-validation", None)
    assert result["column"]["labels"] == ["bread", "tea"]
    assert result["settings"]["strengths_chosen"].keys() == {"page", "video", "live"}
    cell = result["methods"]["linear probe"]["pairs"]["P2V"]
    assert (cell["n_samples"], cell["accuracy"], cell["ci95"]["accuracy"][1]) == (8, 1.0, 1.0)
    assert len(result["methods"]["1-shot"]["pairs"]["P2V"]["draws"]) == 2
    assert set(result["embeddings"]) == set(DOMAINS)


def test_vectors_of_train_teach_what_is_tested(files, directory, tmp_path, capsys):
    out = tmp_path / "out.json"
    shared = ("--data", directory, "--column", "category", "--shots", 1, "--trials", 2)
    run(files["validation"], "--train", files["train"], *shared, "--json", out)
    assert "learned from the other split" in capsys.readouterr().out
    result = json.loads(out.read_text("utf-8"))
    assert result["train"]["split"] == "train"
    assert list(result["methods"]) == ["majority", "linear probe", "10-NN", "1-shot"]


def test_tags_come_from_a_file(files, directory, tmp_path, capsys):
    labels, out = tmp_path / "tags.csv", tmp_path / "out.json"
    labels.write_text("product_id,tags\n" + "".join(f"{i},{'even|all' if i % 2 else 'all'}\n" for i in range(1, 9)))
    run(
        files["validation"],
        "--data",
        directory,
        "--column",
        "tags",
        "--labels",
        labels,
        "--separator",
        "|",
        "--json",
        out,
    )
    assert "tags: tags (mAP, F1) in %, 2 tags, 5 folds" in capsys.readouterr().out
    result = json.loads(out.read_text("utf-8"))
    assert (result["task"], result["column"]["labels"]) == ("tags", ["all", "even"])
    assert result["methods"]["linear probe"]["pairs"]["V2L"]["mAP"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "brand"], "no column 'brand'"),
        (["--column", "category", "--shots", "1", "--shots", "1"], "--shots: 1, 1 has a number twice"),
        (["--column", "category", "--labels", "none.csv"], "none.csv: no such file"),
    ],
)
def test_a_wrong_command_is_one_sentence(options, message, files, directory):
    with pytest.raises(UsageError, match=message):
        run(files["validation"], "--data", directory, *options)
