"""Answers change the dataset: what becomes of rows and products, and what has to be made again."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.annotation.decisions import Row, make_decisions
from rope.curation.annotation.items import pair_id
from rope.curation.annotation.label_files import Label, read_labels
from rope.curation.annotation.stage import ApplyAnswers, apply_answers
from rope.curation.dedup.stage import MergeRows, merge_rows
from rope.curation.pipeline.accounting import audit, trace
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.errors import DatasetError, FileError, UsageError
from tests.curation.pools import column, files_of, local

ROWS = [  # id, domain, hint, picture
    ("p1", "page", "a", "m1"),
    ("v1", "video", "a", "m2"),
    ("l1", "live", "a", "m3"),
    ("p2", "page", "b", "m4"),
    ("v2", "video", "b", "m5"),
    ("p3", "page", None, "m1"),
]


def write(path, rows=ROWS):
    columns = {
        "id": [row[0] for row in rows],
        "domain": [row[1] for row in rows],
        "text": [f"text of {row[0]}" for row in rows],
        "product_hint": pa.array([row[2] for row in rows], pa.string()),
        "session": pa.nulls(len(rows), pa.string()),
        "media_sha256": [[row[3]] for row in rows],
    }
    pq.write_table(pa.table(columns), path)
    return path


def label(item_id, said, question="same_product", **more):
    return Label(item_id=item_id, question=question, label=said, **more)


def write_labels(path, *labels):
    names = ("item_id", "question", "label", "probability", "answers")
    rows = [{name: getattr(one, name) for name in names} for one in labels]
    schema = pa.schema([(name, pa.float64() if name == "probability" else pa.string()) for name in names])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def applied(tmp_path, *labels, **options):
    paths = [write(tmp_path / "0.parquet", ROWS[:2]), write(tmp_path / "1.parquet", ROWS[2:])]
    outcomes = list(apply_answers(paths, ApplyAnswers(write_labels(tmp_path / "labels.parquet", *labels), **options)))
    kept = {row["id"]: row for one in outcomes for row in one.kept.to_pylist()}
    return kept, {row["id"]: row for one in outcomes for row in one.rejects.to_pylist()}


@pytest.mark.parametrize(
    ("labels", "hints"),
    [
        ([], {}),
        ([label("p1|v1", "same"), label("p1|l1", "unclear"), label("p2|v2", None)], {}),
        ([label("p1|v1", "different")], {"v1": "a/v1"}),
        ([label("v1|p1", "different")], {"v1": "a/v1"}),  # the page stays, whichever is named first
        ([label("p1|p2", "same", "merge")], {"p2": "a", "v2": "a"}),
        ([label("p2|p3", "same", "merge")], {"p3": "b"}),
        ([label("p1|p2", "same", "merge"), label("p2|p3", "same", "merge")], {"p2": "a", "v2": "a", "p3": "a"}),
        # A clip that is not the product of its hint, but that of another page.
        ([label("p1|v1", "different"), label("p2|v1", "same")], {"v1": "b"}),
        ([label("p1|v1", "different"), label("p1|l1", "different"), label("v1|l1", "same")],
         {"v1": "a/l1", "l1": "a/l1"}),
        ([label("gone|v1", "different"), label("p1|gone", "same"), label("p1|v1", "different", "precision")], {}),
    ],
)  # fmt: skip
def test_answers_move_rows_between_products(labels, hints, tmp_path):
    kept, rejects = applied(tmp_path, *labels)
    assert rejects == {}
    assert {name: row["product_hint"] for name, row in kept.items()} == {row[0]: row[2] for row in ROWS} | hints


def test_a_row_that_is_not_the_product_is_rejected_on_demand_unless_it_is_placed_elsewhere(tmp_path):
    wrong = label("p1|v1", "different", probability=0.97, answers="ann: different, bob: different")
    labels = [wrong, label("p2|v2", "different"), label("p1|v2", "same"), label("p1|l1", "unclear")]
    kept, rejects = applied(tmp_path, *labels, different="reject", unclear="reject")
    assert {name: row["reason"] for name, row in rejects.items()} == {"v1": "not_the_product", "l1": "unclear"}
    assert rejects["v1"]["score"] == 0.97
    assert "same_product p1|v1 is different (0.97; ann: different, bob: different)" in rejects["v1"]["detail"]
    assert kept["v2"]["product_hint"] == "a"


def test_names_become_texts_and_every_change_names_its_answer(tmp_path):
    kept, _ = applied(
        tmp_path,
        label("p1", "Acme cup", "product_name", answers="ann: Acme cup"),
        label("p2|p3", "same", "merge", answers="bob: same"),
    )
    assert kept["p1"]["text"] == "Acme cup"
    assert kept["p1"]["answer"] == "renamed: product_name p1 is Acme cup (ann: Acme cup)"
    assert kept["v2"]["answer"] == "one with p3: merge p2|p3 is same (bob: same)"
    assert (kept["v1"]["text"], kept["v1"]["answer"]) == ("text of v1", None)


def test_products_that_are_two_stay_apart_in_the_merge(tmp_path):
    """p1 and p3 show one picture, so that evidence makes them one; a clip that was detached does not come back."""
    path = write(tmp_path / "rows.parquet", [*ROWS, ("v9", "video", "a", "m1")])
    options = MergeRows({"page-page": 1.0, "page-video": 1.0}, copies=False)

    def merged(*labels):
        (outcome,) = apply_answers([path], ApplyAnswers(write_labels(tmp_path / "labels.parquet", *labels)))
        pq.write_table(pa.table(outcome.kept), tmp_path / "applied.parquet")
        (outcome,) = merge_rows([tmp_path / "applied.parquet"], options)
        return {row["id"]: row["product_id"] for row in outcome.kept.to_pylist()}

    before = merged()
    assert before["p1"] == before["p3"] == before["v9"]
    apart = merged(label("p1|p3", "different", "merge"))
    assert apart["p1"] == apart["v9"] != apart["p3"]
    detached = merged(label("p1|v9", "different"), label("p1|p3", "different", "merge"))
    assert detached["v9"] not in (detached["p1"], "a")


@pytest.mark.parametrize(
    "labels",
    [
        [label("p1|p2", "same", "merge"), label("p2|p3", "same", "merge"), label("p1|p3", "different", "merge")],
        [label("p1|v1", "different"), label("v1|l1", "same")],
    ],
)
def test_labels_that_contradict_each_other_are_named(labels, tmp_path):
    with pytest.raises(DatasetError, match=rf"{labels[-1].item_id.split('|')[0]}.*{labels[0].item_id.split('|')[1]}"):
        applied(tmp_path, *labels)


def test_ids_may_have_a_bar_in_them():
    rows = {"p|1": Row("page", "h"), "v": Row("video", "h"), "1|v": Row("video", "h")}
    assert make_decisions([label("p|1|v", "different")], rows).detached == {"v": "h/v"}


def test_the_stage_stands_before_the_merge_and_wants_its_file(tmp_path):
    path = write(tmp_path / "rows.parquet")
    with pytest.raises(UsageError, match="nowhere: no such file; expected the labels"):
        list(apply_answers([path], ApplyAnswers(tmp_path / "nowhere")))
    pq.write_table(pq.read_table(path).append_column("product_id", pa.array(["x"] * len(ROWS))), path)
    with pytest.raises(UsageError, match="put this stage before merge"):
        list(apply_answers([path], ApplyAnswers(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\n", "no column 'item_id'"),
        ("item_id,label,question\na|b,same,what\n", ":2: the question 'what' is not one of"),
        ("item_id,label,weight\na|b,same,heavy\n", ":2: weight is 'heavy'; expected a number"),
        ("item_id,label\n,same\n", ":2: has no item_id"),
    ],
)
def test_labels_made_by_hand_are_checked(content, message, tmp_path):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(FileError, match=message):
        read_labels(tmp_path / "labels.csv")


STAGES = """
[pool]
path = "pool.parquet"
[[stage]]
use = "tests.curation.poisons:POISON"
[[stage]]
use = "answers"
labels = "labels.csv"
[[stage]]
use = "merge"
copies = false
"""


@pytest.fixture
def recipe(tmp_path):
    rows = [
        {"id": r[0], "domain": r[1], "text": "x", "frames": [f"{r[0]}.jpg"], "category": "c", "product_hint": r[2]}
        for r in ROWS
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    (tmp_path / "loop.toml").write_text(STAGES)
    return read_recipe(tmp_path / "loop.toml")


def test_more_answers_make_this_stage_and_later_ones_again_and_nothing_before(recipe, tmp_path, monkeypatch):
    """The labels lie next to the recipe, wherever the program runs."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "labels.csv").write_text("item_id,label\np1|v1,same\n")
    run_recipe(recipe, local(1), progress=False)
    before = files_of(recipe)
    stamps = {path: path.stat().st_mtime_ns for path in recipe.work.rglob("stages/*/*.json")}
    (tmp_path / "labels.csv").write_text("item_id,label\np1|v1,different\n")
    run_recipe(recipe, local(1), progress=False)
    again = {path.parent.name for path in recipe.work.rglob("stages/*/*.json") if path not in stamps}
    assert again == {"answers", "merge"}
    assert all(not path.exists() or path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert dict(zip(column(recipe, "merge", "id"), column(recipe, "merge", "product_id"), strict=True))["v1"] == "a/v1"
    assert audit(recipe).problems == ()
    (step,) = [step for step in trace(recipe, "v1") if step.stage == "answers"]
    assert step.values == {"product_hint": "a/v1", "answer": "detached from a: same_product p1|v1 is different"}
    (tmp_path / "labels.csv").write_text("item_id,label\np1|v1,same\n")
    run_recipe(recipe, local(1), progress=False)
    assert files_of(recipe) == before


def test_a_run_may_stop_before_there_are_answers(recipe, curate, tmp_path):
    code, out, err = curate("run", tmp_path / "loop.toml", "--until", "poison", "--workers", 1)
    assert (code, err) == (0, "")
    assert "answers" not in out
    code, _, err = curate("run", tmp_path / "loop.toml", "--workers", 1)
    assert code == 2
    assert "labels.csv: no such file" in err
    (tmp_path / "labels.csv").write_text("item_id,label\n")
    assert curate("run", tmp_path / "loop.toml", "--workers", 1)[0] == 0
    assert curate("run", tmp_path / "loop.toml", "--until", "poison")[0] == 0
    assert curate("status", tmp_path / "loop.toml")[1].endswith("merge: done, 1 of 1 shards are there\n")
    assert (
        "no stage 'hal'; it has pool, poison, answers, merge"
        in curate("run", tmp_path / "loop.toml", "--until", "hal")[2]
    )


def test_ids_with_a_bar_are_read_as_they_were_written_and_a_label_that_may_mean_two_pairs_is_refused():
    rows = {name: Row("page" if name.startswith("p") else "video", "h") for name in ("p", "p|1", "v", "1|v")}
    for left, right in (("p|1", "v"), ("p", "1|v")):
        written = pair_id(left, right)
        assert make_decisions([label(written, "different")], rows).detached == {right: f"h/{right}"}
    with pytest.raises(DatasetError, match=r"p\|1\|v may mean 'p' and '1\|v', or 'p\|1' and 'v'; write a backslash"):
        make_decisions([label("p|1|v", "different")], rows)
    del rows["1|v"]
    assert make_decisions([label("p|1|v", "different")], rows).detached == {"v": "h/v"}
