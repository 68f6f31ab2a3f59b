import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rope.curation.annotation.cli import app
from rope.curation.pipeline.runner import run_recipe
from tests.curation.pools import local, recipe_of


def call(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def recipe(tmp_path):
    """A recipe that was run on four products, each a page and a video."""
    rows = [
        {
            "id": f"{domain[0]}{i}",
            "domain": domain,
            "text": "x",
            "frames": [f"{domain}{i}.jpg"],
            "product_hint": f"h{i}",
        }
        for i in range(4)
        for domain in ("page", "video")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    run_recipe(
        recipe_of(tmp_path, 'use = "tests.curation.poisons:HALF"\nname = "all"\n', limits=""), local(1), progress=False
    )
    return tmp_path / "work.toml"


def test_questions_go_out_and_labels_come_back(recipe, tmp_path):
    out = tmp_path / "asked"
    assert "tasks" in call("export", recipe, "--in", out, "--stage", "pool")
    assert "nothing new to ask; 4 tasks" in call("export", recipe, "--in", out, "--stage", "pool")
    (batch,) = [path for path in out.iterdir() if path.is_dir()]
    assert {path.name for path in batch.iterdir()} == {
        "batch.json", "label-studio.json", "label-studio.xml", "tasks.csv", "tasks.jsonl",
    }  # fmt: skip
    filled = tmp_path / "filled.csv"
    with (batch / "tasks.csv").open() as source, filled.open("w", newline="") as target:
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, reader.fieldnames)
        writer.writeheader()
        writer.writerows({**row, "answer": "same", "annotator": "ann"} for row in reader)
    assert "4 answers are new, 0 were known" in call("import", filled, "--in", out)
    assert "0 answers are new, 4 were known" in call("import", filled, "--in", out)
    said = call("labels", "--in", out, "--out", tmp_path / "labels.parquet")
    assert "batches: 1 closed; 4 answers" in said
    assert "4 labels, 0 open" in said
    assert pq.read_table(tmp_path / "labels.parquet")["label"].to_pylist() == ["same"] * 4
