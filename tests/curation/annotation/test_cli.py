import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rope.curation.annotation.cli import app
from rope.curation.annotation.ledger import read_ledger
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.errors import UsageError
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


def studio_export(path, batch, users):
    """All tasks of a batch, answered by users of Label Studio, whom it exports as numbers."""
    tasks = json.loads((batch / "label-studio.json").read_text("utf-8"))
    result = {"from_name": "answer", "to_name": "text_0", "type": "choices", "value": {"choices": ["same"]}}
    for task in tasks:
        task["annotations"] = [{"completed_by": user, "result": [result]} for user in users]
    path.write_text(json.dumps(tasks))


def test_numbers_of_users_become_the_people_that_tasks_were_assigned_to(recipe, tmp_path):
    """Under their numbers ann and bob would seem not to have answered, and be asked again."""
    out, told = tmp_path / "asked", tmp_path / "export.json"
    call("export", recipe, "--in", out, "--stage", "pool", "--people", "ann,bob", "--overlap", 1)
    (batch,) = [path for path in out.iterdir() if path.is_dir()]
    studio_export(told, batch, [2, 3])
    with pytest.raises(UsageError, match=r"has answers of 2, 3, but .* assigned to ann, bob; .* --annotators 2=ann"):
        call("import", told, "--in", out)
    with pytest.raises(UsageError, match=r"has answers of 3, but"):
        call("import", told, "--in", out, "--annotators", "2=ann")
    assert read_ledger(out / "ledger") == []
    assert "8 answers are new" in call("import", told, "--in", out, "--annotators", "2=ann, 3=bob")
    assert {one.annotator for one in read_ledger(out / "ledger")} == {"ann", "bob"}
    studio_export(told, batch, [7])
    assert "4 answers are new" in call("import", told, "--in", out, "--annotators", "7=dan")  # stands in for somebody
    for wrong, message in (("2", "'2' names nobody"), ("2=ann,2=bob", "2 is both ann and bob")):
        with pytest.raises(UsageError, match=message):
            call("import", told, "--in", out, "--annotators", wrong)


def test_media_that_were_downloaded_are_below_the_folder_around_theirs(tmp_path):
    rows = [
        {"id": f"{domain}{i}", "domain": domain, "text": "x", "frames": [f"{i}.jpg"], "product_hint": f"h{i}"}
        for i in range(2)
        for domain in ("page", "video")
    ]
    (tmp_path / "shop").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop" / "pool.parquet")
    recipe = tmp_path / "r.toml"
    recipe.write_text('[pool]\npath = "shop"\n[[stage]]\nuse = "download"\nfolder = "media/web"\n')
    run_recipe(read_recipe(recipe), local(1), progress=False)
    assert f"media are below {tmp_path}\n" in call("export", recipe, "--in", tmp_path / "asked" / "here")
    (tasks,) = (tmp_path / "asked" / "here").glob("*/label-studio.json")
    (first, *_) = json.loads(tasks.read_text("utf-8"))
    assert first["data"]["media_0"] == ["/data/local-files/?d=shop/0.jpg"]
