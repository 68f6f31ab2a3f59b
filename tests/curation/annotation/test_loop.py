"""The loop closed: two people who err are asked, their answers change the dataset, and an audit says how good it is."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import read_batches
from rope.curation.annotation.ledger import add_answers, read_ledger
from tests.curation.people import Person
from tests.curation.pools import write_planted

RECIPE = """
[pool]
path = "pool.parquet"
[[stage]]
use = "decode"
[[stage]]
use = "answers"
labels = "labels.csv"
different = "reject"
[[stage]]
use = "merge"
copies = false
[[stage]]
use = "split"
n_validation = 3
seed = 0
"""
N_PRODUCTS, N_CLIPS = 24, 4
PEOPLE = [Person(name, 0.97, 0.97) for name in ("ann", "bob", "cat", "dan", "eve")]


@pytest.fixture
def truth(tmp_path):
    """A pool with planted answers; row -> its true product."""
    (tmp_path / "loop.toml").write_text(RECIPE)
    return write_planted(tmp_path, N_PRODUCTS, N_CLIPS)


@pytest.fixture
def step(curate, tmp_path):
    """Runs `rope curate` on the recipe; returns what it wrote."""

    def run(*arguments):
        code, out, err = curate(*arguments)
        assert code == 0, (arguments, out, err)
        return out

    return run


def answer_all(folder, truth, rng):
    """Every place of every task that is not filled yet, by whoever was assigned."""
    batches, told = read_batches(folder), read_ledger(folder / "ledger")
    said = {(one.task_id, one.annotator) for one in told}
    people = {one.name: one for one in PEOPLE}
    answers = []
    for task in [task for batch in batches for task in batch.tasks]:
        left, right = task.item.item_id.split("|")
        same = "same" if truth[left] == truth[right] else "different"
        answers += [
            AnnotatorAnswer(task_id=task.item.task_id, annotator=who, value=people[who].say(rng, same))
            for who in task.assigned
            if (task.item.task_id, who) not in said
        ]
    return add_answers(folder / "ledger", answers, batches).n_added


def ask_until_settled(step, recipe, folder, truth, rng, *options):
    named = ("--people", ",".join(one.name for one in PEOPLE))
    for _ in range(4):
        step("annotate", "export", recipe, "--in", folder, "--overlap", 1, *named, *options)
        if not answer_all(folder, truth, rng):
            break


def precision_of(recipe, truth):
    rows = [
        row
        for path in sorted((recipe.parent / "loop-work" / "stages" / "split").glob("*.kept.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    pages = {}
    for row in sorted(rows, key=lambda row: (row["domain"] != "page", row["id"])):
        pages.setdefault(row["product_id"], row["id"])
    others = [row for row in rows if pages[row["product_id"]] != row["id"]]
    return float(np.mean([truth[row["id"]] == truth[pages[row["product_id"]]] for row in others]))


def test_answers_of_people_who_err_make_the_dataset_better_and_an_audit_tells_how_good(truth, step, tmp_path):
    rng, recipe, asked = np.random.default_rng(1), tmp_path / "loop.toml", tmp_path / "asked"
    labels = tmp_path / "labels.csv"
    labels.write_text("item_id,label\n")
    step("run", recipe, "--workers", 1)
    raw = precision_of(recipe, truth)
    assert raw < 0.85
    ask_until_settled(step, recipe, asked, truth, rng)
    ask_until_settled(step, recipe, asked, truth, rng, "--question", "merge", "--below", 1.01)
    assert "0 open" in step("annotate", "labels", "--in", asked, "--out", tmp_path / "labels.parquet")
    recipe.write_text(RECIPE.replace("labels.csv", "labels.parquet"))
    assert "not_the_product" in step("run", recipe, "--workers", 1)
    better = precision_of(recipe, truth)
    assert better > 0.97
    wrong = next(row for row, product in truth.items() if product.startswith("stranger"))
    assert "answers: rejected: not_the_product" in step("why", recipe, wrong)
    assert "same_product p" in step("why", recipe, wrong)

    audit = tmp_path / "audit"
    ask_until_settled(step, recipe, audit, truth, rng, "--question", "precision", "--count", 40)
    said = step("precision", recipe, "--in", audit)
    assert said.startswith("precision ")
    step("report", recipe, "--html", tmp_path / "page.html", "--audit", audit)
    assert said.strip()[1:] in (tmp_path / "page.html").read_text()
    step("publish", recipe, "--out", tmp_path / "out", "--audit", audit)
    found = json.loads((tmp_path / "out" / "curation.json").read_text())["precision"]
    assert found["low"] <= better <= found["high"]
    assert (found["n_items"], found["is_judged"]) == (40, True)
    assert said.strip()[1:] in (tmp_path / "out" / "README.md").read_text()


def test_pages_that_a_merge_would_join_are_asked_about_and_answers_decide(truth, step, tmp_path):
    """The pictures of pages 0 and 1 and of pages 2 and 3 are copies; only the former are one product."""
    rng, recipe, asked = np.random.default_rng(1), tmp_path / "loop.toml", tmp_path / "asked"
    (tmp_path / "labels.csv").write_text("item_id,label\n")
    step("run", recipe, "--workers", 1)
    ask_until_settled(step, recipe, asked, truth, rng, "--question", "merge", "--below", 1.01)
    pairs = {task.item.item_id for batch in read_batches(asked) for task in batch.tasks}
    assert pairs == {"p00|p01", "p02|p03"}
    assert "nothing new to ask; 2 tasks" in step(
        "annotate", "export", recipe, "--in", asked, "--question", "merge", "--below", 1.01
    )
    (tmp_path / "labels.csv").write_text("item_id,question,label\np00|p01,merge,same\np02|p03,merge,different\n")
    step("run", recipe, "--workers", 1)
    assert "not h02: merge p02|p03 is different" in step("why", recipe, "p03")
    products = dict(
        row
        for path in (tmp_path / "loop-work" / "stages" / "split").glob("*.kept.parquet")
        for row in zip(*(pq.read_table(path)[name].to_pylist() for name in ("id", "product_id")), strict=True)
    )
    assert products["p00"] == products["p01"]
    assert products["p02"] != products["p03"]


def test_an_audit_is_of_the_dataset_as_it_is(truth, step, curate, tmp_path):
    rng, recipe, audit = np.random.default_rng(1), tmp_path / "loop.toml", tmp_path / "audit"
    (tmp_path / "labels.csv").write_text("item_id,label\n")
    step("run", recipe, "--workers", 1)
    code, _, err = curate("precision", recipe, "--in", audit)
    assert (code, "no audit was drawn from the dataset as it is now" in err) == (1, True)
    step("annotate", "export", recipe, "--in", audit, "--question", "precision", "--count", 20, "--people", "ann,bob")
    code, _, err = curate("precision", recipe, "--in", audit)
    assert (code, "20 of 20 items of the audit have no answer" in err) == (1, True)
    answer_all(audit, truth, rng)
    assert "A random 20 of " in step("precision", recipe, "--in", audit)
    (tmp_path / "labels.csv").write_text("item_id,label\np05|v05-1,different\n")
    step("run", recipe, "--workers", 1)
    assert curate("precision", recipe, "--in", audit)[0] == 1
