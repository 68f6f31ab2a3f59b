"""More rows tomorrow: what of a run stays in the next one, from the pool to the published dataset."""

import contextlib
import csv
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.dry_run import Timed, dry_run, part_of
from rope.curation.pipeline.accounting import audit, trace
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe, stage_states
from rope.curation.pipeline.supervisor import Ended
from rope.curation.pipeline.worker import execute
from rope.curation.publish import publish
from rope.dataset.validate import validate
from rope.errors import DatasetError, UsageError
from tests.curation.pools import DOMAINS

STAGES = """
[leaks]
accepted = { title = 99 }
[[stage]]
use = "decode"
[[stage]]
use = "sample"
seed = 0
rate = 0.5
[[stage]]
use = "answers"
labels = "labels.csv"
[[stage]]
use = "merge"
copies = false
[[stage]]
use = "split"
seed = 0
n_validation = 4
"""


class Watched:
    """An engine in this process that notes how many rows of each stage were made."""

    slots = 1

    def __init__(self, made):
        self.made, self.ended = made, []

    def submit(self, task):
        execute(task)
        self.made[task.job.stage] = self.made.get(task.job.stage, 0) + task.job.n_rows
        self.ended.append(Ended(task, "done"))

    def wait(self):
        ended, self.ended = self.ended, []
        return ended


def run(recipe):
    """Run a recipe; returns the rows that were made, by stage."""
    made = {}

    @contextlib.contextmanager
    def opened(needs_gpu):
        yield Watched(made)

    run_recipe(recipe, opened, progress=False)
    return made


def row_of(product, domain, *, row_id=None, shade=None, hint=None):
    return {
        "id": row_id or f"{product}-{domain}",
        "domain": domain,
        "text": f"cup {product}",
        "frames": [f"{shade or row_id or f'{product}-{domain}'}.png"],
        "category": "ab"[int(product[1:]) % 2],
        "product_hint": hint or product,
    }


def rows_of(*products):
    return [row_of(product, domain) for product in products for domain in DOMAINS]


def names(start, stop):
    return [f"p{i:02d}" for i in range(start, stop)]


class Days:
    """A folder with a pool that changes, and a recipe that is run on it each day."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "pool").mkdir()
        (folder / "labels.csv").write_text("item_id,label\n")

    def add(self, name, rows):
        """Write a file of the pool, with a picture of its own for each name of a file."""
        for path in (self.folder / "pool" / file for row in rows for file in row["frames"]):
            if not path.exists():
                pixels = np.random.default_rng([*path.name.encode()]).integers(0, 255, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(path)
        pq.write_table(pa.Table.from_pylist(rows), self.folder / "pool" / name)

    def recipe(self, day, previous=None, stages=STAGES, pool="shard_rows = 60"):
        head = f'name = "cups"\nwork = "{day}"\n' + (f'previous = "{previous}"\n' if previous else "")
        path = self.folder / f"{day}.toml"
        path.write_text(f'{head}[pool]\npath = "pool"\n{pool}\n{stages}')
        return read_recipe(path)


@pytest.fixture
def days(tmp_path, monkeypatch):
    """The first day: 40 products with a page, a video and a live clip each."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing is cut off here, and it takes half of the time
    made = Days(tmp_path)
    made.add("a.parquet", rows_of(*names(0, 40)))
    run(made.recipe("monday"))
    return made


def rows(recipe, stage, kind="kept"):
    """What a stage has made, read as it lies there: the pool of an earlier day is no more."""
    paths = sorted((recipe.work / "stages" / stage).glob(f"*.{kind}.parquet"))
    return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}


def sides(recipe):
    """Product -> side; every row of a product says the same."""
    found = {}
    for row in rows(recipe, "split").values():
        assert found.setdefault(row["product_id"], row["split"]) == row["split"]
    return found


def test_only_the_new_rows_are_made_and_what_was_decided_stays(days):
    monday = days.recipe("monday")
    days.add("b.parquet", rows_of(*names(40, 60)))
    tuesday = days.recipe("tuesday", "monday")
    made = run(tuesday)
    assert (made["pool"], made["decode"], made["sample"]) == (60, 60, 180)
    assert audit(tuesday).problems == ()
    before, after = rows(monday, "sample"), rows(tuesday, "sample")
    assert before.keys() <= after.keys()
    assert {row["sampled_in"] for name, row in after.items() if name in before} == {"monday"}
    assert {row["sampled_in"] for name, row in after.items() if name not in before} == {None}
    assert len({row["product_hint"] for row in after.values()}) == 30
    assert all(row["weight"] == 2.0 for row in after.values())
    assert sides(monday).items() <= sides(tuesday).items()
    assert list(sides(tuesday).values()).count("validation") == 4
    step = trace(tuesday, next(iter(before)))
    assert [one.values.get("sampled_in") for one in step if one.stage == "sample"] == ["monday"]
    assert [one.values.get("split_in") for one in step if one.stage == "split"] == ["monday"]


def test_a_day_without_a_change_computes_no_row_and_decides_nothing_new(days):
    tuesday = days.recipe("tuesday", "monday")
    made = run(tuesday)
    assert not made.keys() & {"pool", "decode"}
    assert sides(tuesday) == sides(days.recipe("monday"))
    assert run(tuesday) == {}


def test_what_is_taken_over_are_the_bytes_of_a_run_from_nothing(days):
    days.add("b.parquet", rows_of(*names(40, 50)))
    tuesday, afresh = days.recipe("tuesday", "monday"), days.recipe("afresh")
    run(tuesday)
    run(afresh)
    for stage in ("pool", "decode"):
        folders = [recipe.work / "stages" / stage for recipe in (tuesday, afresh)]
        made = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
        assert made[0] == made[1]
    for path in (days.folder / "monday/stages/decode").iterdir():
        assert path.suffix == ".json" or path.samefile(tuesday.work / "stages/decode" / path.name)  # no copy


def test_rows_that_are_gone_leave_and_their_places_are_filled_from_the_new_ones(days):
    monday = days.recipe("monday")
    gone = next(product for product, side in sides(monday).items() if side == "validation")
    days.add("a.parquet", [row for row in rows_of(*names(0, 40)) if row["product_hint"] != gone])
    days.add("b.parquet", rows_of(*names(40, 60)))
    tuesday = days.recipe("tuesday", "monday")
    run(tuesday)
    before, after = sides(monday), sides(tuesday)
    assert gone not in after
    assert (before.items() - {(gone, "validation")}) <= after.items()
    (instead,) = {product for product, side in after.items() if side == "validation"} - before.keys()
    assert instead in names(40, 60)
    assert sum(row["weight"] for row in rows(tuesday, "sample").values()) == pytest.approx(3 * 59)


def test_too_few_new_products_for_the_validation_set_are_told_with_the_nearest_count(days):
    monday = days.recipe("monday")
    gone = next(product for product, side in sides(monday).items() if side == "validation")
    alike = (name for name in names(int(gone[1:]) % 2, 40)[::2] if name not in sides(monday))
    left = set(names(0, 40)) - {gone, next(alike)}
    days.add("a.parquet", rows_of(*sorted(left)))
    with pytest.raises(DatasetError, match=r"exactly 4 validation products; at most 3 can be chosen, 3 of them frozen"):
        run(days.recipe("tuesday", "monday"))


def test_a_row_that_is_changed_is_made_again_and_keeps_its_product_in_sample_and_side(days):
    monday = days.recipe("monday")
    before = sides(monday)
    changed = next(iter(rows(monday, "split").values()))["product_id"]
    table = rows_of(*names(0, 40))
    for row in table:
        row["text"] += " (new)" if row["id"] == f"{changed}-video" else ""
    days.add("a.parquet", table)
    tuesday = days.recipe("tuesday", "monday")
    made = run(tuesday)
    assert made["decode"] == 60  # the shard that it is in
    assert rows(tuesday, "split")[f"{changed}-video"]["text"].endswith("(new)")
    assert sides(tuesday) == before


def tasks_in(folder):
    texts = [path.read_text("utf-8-sig").splitlines() for path in folder.glob("*/tasks.csv")]
    return [task for lines in texts for task in csv.DictReader(lines)]


def test_answers_of_yesterday_are_applied_today_and_only_what_is_new_is_asked(days, curate):
    asked, stages = days.folder / "asked", STAGES.replace("labels.csv", "labels.parquet")
    days.recipe("monday", stages=stages)
    assert curate("annotate", "export", days.folder / "monday.toml", "--in", asked, "--overlap", 0)[0] == 0
    tasks = tasks_in(asked)
    assert len(tasks) == 40
    wrong = tasks[0]["item_id"].partition("|")[2]
    with (days.folder / "answers.csv").open("w", newline="") as file:
        said = [(one["task_id"], "different" if one["item_id"].endswith(wrong) else "same", "ann") for one in tasks]
        csv.writer(file).writerows([("task_id", "answer", "annotator"), *said])
    assert curate("annotate", "import", days.folder / "answers.csv", "--in", asked)[0] == 0
    assert curate("annotate", "labels", "--in", asked, "--out", days.folder / "labels.parquet")[0] == 0
    run(days.recipe("monday", stages=stages))
    product = wrong.partition("-")[0]
    days.add("b.parquet", [*rows_of(*names(40, 60)), row_of(product, "page", row_id="a-page-with-a-smaller-id")])
    tuesday = days.recipe("tuesday", "monday", stages)
    run(tuesday)
    detached = rows(tuesday, "answers")[wrong]
    assert detached["product_hint"] == f"{product}/{wrong}"
    assert "is different" in detached["answer"]
    assert curate("annotate", "export", days.folder / "tuesday.toml", "--in", asked, "--overlap", 0)[0] == 0
    new = {one["item_id"] for one in tasks_in(asked)} - {one["item_id"] for one in tasks}
    assert len(new) == 20
    assert all(name >= "p40" for name in new)


def one_of_each(recipe):
    """A training product and a validation product of one category."""
    found = sides(recipe)
    return next(
        (one, other)
        for one, side in sorted(found.items())
        for other, other_side in sorted(found.items())
        if (side, other_side) == ("train", "validation")
    )


def test_a_merge_across_the_split_stays_in_validation_and_its_training_rows_are_on_neither_side(days):
    """Answers make a training and a validation product one."""
    monday = days.recipe("monday")
    train, validation = one_of_each(monday)
    days.add("b.parquet", rows_of(*names(40, 60)))
    (days.folder / "labels.csv").write_text(f"item_id,label\n{train}-page|{validation}-page,same\n")
    tuesday = days.recipe("tuesday", "monday")
    run(tuesday)
    joined = min(train, validation)
    kept, left_out = rows(tuesday, "split"), rows(tuesday, "split", "rejects")
    of_it = {row_id for row_id, row in kept.items() if row["product_id"] == joined}
    assert of_it == {f"{validation}-{domain}" for domain in DOMAINS}
    assert {kept[row_id]["split"] for row_id in of_it} == {"validation"}
    assert {(row["id"], row["reason"], row["detail"]) for row in left_out.values()} == {
        (f"{train}-{domain}", "was_in_train", f"product {joined}; decided in monday") for domain in DOMAINS
    }
    (notes,) = [manifest.notes for _, manifest in finished_stages(tuesday)["split"]]
    assert notes["products that stay"]["joined across the split"] == 1
    assert notes["products that stay"]["such as"] == [joined]
    was = {row_id: row["split"] for row_id, row in rows(monday, "split").items()}
    assert all(row["split"] == was[row_id] for row_id, row in kept.items() if row_id in was)


def test_a_new_product_that_is_tied_to_both_sides_is_left_out_and_both_stay(days):
    """It has a video of a training product and a clip of a validation product."""
    monday = days.recipe("monday")
    train, validation = one_of_each(monday)
    tied = rows_of("p60")
    tied[1]["frames"], tied[2]["frames"] = [f"{train}-video.png"], [f"{validation}-live.png"]
    days.add("b.parquet", [*rows_of(*names(40, 60)), *tied])
    tuesday = days.recipe("tuesday", "monday", STAGES.replace("rate = 0.5", "rate = 1.0"))
    run(tuesday)
    assert sides(monday).items() <= sides(tuesday).items()
    assert {row["reason"] for row in rows(tuesday, "split", "rejects").values()} == {"tied_to_validation"}
    assert {row["id"] for row in rows(tuesday, "split", "rejects").values()} == {row["id"] for row in tied}


def test_old_products_that_a_new_row_ties_across_the_split_leave_training(days):
    monday = days.recipe("monday")
    train, validation = one_of_each(monday)
    days.add("b.parquet", [row_of(train, "live", row_id="x", shade=f"{validation}-video", hint=train)])
    tuesday = days.recipe("tuesday", "monday")
    run(tuesday)
    left_out = rows(tuesday, "split", "rejects")
    assert {row_id for row_id, row in left_out.items() if row["reason"] == "was_in_train"} == {
        "x",
        *(f"{train}-{domain}" for domain in DOMAINS),
    }
    assert sides(monday).items() - {(train, "train")} == sides(tuesday).items()
    # On the third day the row is gone, and nothing that was trained on becomes validation.
    (days.folder / "pool" / "b.parquet").unlink()
    wednesday = days.recipe("wednesday", "tuesday")
    run(wednesday)
    assert sides(wednesday) == sides(monday)
    assert {row["split_in"] for row in rows(wednesday, "split").values()} == {"monday", "tuesday"}


def test_a_validation_product_that_lost_a_domain_is_on_neither_side(days):
    monday = days.recipe("monday")
    _, validation = one_of_each(monday)
    days.add("a.parquet", [row for row in rows_of(*names(0, 40)) if row["id"] != f"{validation}-live"])
    days.add("b.parquet", rows_of(*names(40, 60)))
    tuesday = days.recipe("tuesday", "monday")
    run(tuesday)
    assert validation not in sides(tuesday)
    left_out = rows(tuesday, "split", "rejects")
    assert {(row["id"], row["reason"]) for row in left_out.values()} == {
        (f"{validation}-{domain}", "was_in_validation") for domain in ("page", "video")
    }


def test_the_next_day_knows_which_run_has_decided_and_needs_only_the_last(days):
    days.add("b.parquet", rows_of(*names(40, 50)))
    tuesday = days.recipe("tuesday", "monday")
    run(tuesday)
    shutil.rmtree(days.folder / "monday")
    assert sides(tuesday)  # reports read what is there
    days.add("c.parquet", rows_of(*names(50, 60)))
    wednesday = days.recipe("wednesday", "tuesday")
    assert run(wednesday)["decode"] == 30
    runs = {row["product_hint"]: row["sampled_in"] for row in rows(wednesday, "sample").values()}
    assert {(name < "p40", name < "p50"): run for name, run in runs.items()} == {
        (True, True): "monday",
        (False, True): "tuesday",
        (False, False): None,
    }


def test_the_published_dataset_is_sound_and_says_which_run_it_builds_on(days):
    days.add("b.parquet", rows_of(*names(40, 60)))
    tuesday = days.recipe("tuesday", "monday")
    run(tuesday)
    out = days.folder / "out"
    publish(days.folder / "tuesday.toml", tuesday, out, progress=False)
    assert validate(out) == []
    lineage = json.loads((out / "curation.json").read_text())
    assert lineage["previous"] == "monday"
    assert lineage["stages"]["sample"]["notes"]["keys of the sample"] == {
        "previous run": "monday",
        "kept": 20,
        "gone": 0,
        "new": 10,
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"previous": "tuesday"}, "previous is tuesday, the folder of work of this recipe too"),
        ({"previous": "nowhere"}, "holds no finished run; expected the folder of work of an earlier run of this"),
        (
            {"stages": '[[stage]]\nuse = "thumbnail"\n' + STAGES},
            r"is a run of another recipe: it has a stage 'decode' \(decode\) where this one has 'thumbnail'",
        ),
        (
            {"stages": STAGES.replace("rate = 0.5", 'rate = 0.5\nkey = "category"')},
            "is a run of another recipe: its stage 'sample' has key = 'product_hint', and here it is 'category'",
        ),
        (
            {"pool": 'columns = { category = "text" }'},
            "is a run of another recipe: its .pool.columns. are {}, and here they are",
        ),
        (
            {"stages": STAGES + 'freeze_val = "out"'},
            "freeze_val and previous both say what stays in validation; leave one of them out",
        ),
    ],
)
def test_what_cannot_be_built_on_is_refused_in_one_sentence(change, said, days):
    if "freeze_val" in str(change):
        (days.folder / "out/products").mkdir(parents=True)
        pq.write_table(pa.table({"product_id": ["p1"]}), days.folder / "out/products/validation-0.parquet")
        change = {"stages": STAGES + f'freeze_val = "{days.folder / "out"}"'}
    with pytest.raises(UsageError, match=said) as refused:
        run(days.recipe("tuesday", **{"previous": "monday", **change}))
    assert "\n" not in str(refused.value)


def test_a_run_that_is_not_finished_cannot_be_built_on(days):
    shutil.copytree(days.folder / "monday", days.folder / "half")
    for path in (days.folder / "half/stages/split").iterdir():
        path.unlink()
    days.add("b.parquet", rows_of(*names(40, 50)))
    with pytest.raises(DatasetError, match=r"previous = .*half: stage 'split' is not whole; run its recipe again"):
        run(days.recipe("tuesday", "half"))


def test_damage_in_the_previous_run_is_not_taken_over(days):
    for path in (days.folder / "monday/stages/decode").glob("*.kept.parquet"):
        content = path.read_bytes()
        path.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
    days.add("b.parquet", rows_of(*names(40, 50)))
    with pytest.raises(DatasetError, match="of the previous run, has other bytes than were written"):
        run(days.recipe("tuesday", "monday"))


def test_a_plan_and_the_state_of_a_recipe_with_a_previous_run(days):
    days.add("b.parquet", rows_of(*names(40, 50)))
    tuesday = days.recipe("tuesday", "monday")
    states = {state.name: state.state for state in stage_states(tuesday)}
    assert states == {"pool": "stale", **dict.fromkeys(("decode", "sample", "answers", "merge", "split"), "waiting")}
    (days.folder / "part").mkdir()
    part = part_of(tuesday, pq.read_table(days.folder / "pool" / "b.parquet"), 1.0, days.folder / "part")
    made = dry_run(part, Timed(Watched({})), progress=False).made
    assert sum(manifest.rows_in for _, manifest in made["decode"]) == 30
