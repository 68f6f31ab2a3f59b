"""Rows prepared ahead of a model: in time, in bounds, and without a trace in what comes out."""

import io
import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.operations import encode
from rope.curation.operations.encode import ENCODE
from rope.curation.pipeline import ahead
from rope.curation.pipeline.ahead import Ahead, model_at_work, waiting_since
from rope.curation.pipeline.costs import model_waits
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.curation.pipeline.supervisor import Ended
from rope.curation.pipeline.worker import execute
from tests.curation.pools import QUICK, column, local, recipe_of
from tests.encoders.onnx_files import save_means

SLOW_S = 0.02


def slow(row):
    time.sleep(SLOW_S)
    if row < 0:
        raise ValueError(f"cannot prepare {row}")
    return row * row


def feed(rows, *, announced):
    """What the model gets, and how long it waited."""
    before, taken = waiting_since(None), []
    prepared = Ahead(slow, lambda row: row, threads=2)
    if announced:
        prepared.announce(rows)
    for row in rows:
        taken.append(prepared.take(row))
        with model_at_work():
            time.sleep(SLOW_S)
    return taken, waiting_since(before)


def test_rows_that_were_announced_are_there_when_the_model_wants_them():
    rows = list(range(20))
    (plain, alone), (early, fed) = feed(rows, announced=False), feed(rows, announced=True)
    assert plain == early == [row * row for row in rows]
    assert alone.waited_s >= 20 * SLOW_S
    assert fed.waited_s < 0.5 * alone.waited_s
    assert fed.model_s >= 20 * SLOW_S


def test_a_row_that_raises_does_so_in_its_turn():
    prepared = Ahead(slow, lambda row: row, threads=2)
    prepared.announce([1, -2, 3])
    assert prepared.take(1) == 1
    with pytest.raises(ValueError, match="cannot prepare -2"):
        prepared.take(-2)
    assert prepared.take(3) == 9


def test_no_more_rows_are_in_memory_than_the_limit(monkeypatch):
    monkeypatch.setattr(ahead, "_LIMIT", 3)
    begun = []
    prepared = Ahead(lambda row: begun.append(row) or row, lambda row: row, threads=1)
    prepared.announce(range(10))
    time.sleep(0.05)
    assert begun == [0, 1, 2]
    assert [prepared.take(row) for row in range(10)] == list(range(10))
    assert sorted(begun) == list(range(10))


def test_rows_that_never_come_are_forgotten_and_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(ahead, "_LIMIT", 3)
    prepared = Ahead(slow, lambda row: row, threads=1)
    for rows in ([1, 2, 3], [4, 5], [6, 7], [8]):
        prepared.announce(rows)
    assert set(prepared._begun) <= {6, 7, 8}
    assert prepared.take(8) == 64


RECIPE = """
work = "{name}"
[pool]
path = "pool.parquet"
shard_rows = 5
[limits]
batch_rows = 2
[[stage]]
name = "vectors"
use = "{use}"
model = "m.onnx"
fit = "stretch"
mean = [0, 0, 0]
std = [1, 1, 1]
"""

PLAIN = replace(ENCODE, announce=None)


def picture(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 9, 3), np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def recipes(tmp_path):
    """The same recipe twice: with a stage that is told which rows come next, and with one that is not."""
    save_means(tmp_path / "m.onnx", side=4)
    rows = [{"id": f"r{i:02d}", "domain": "page", "frames": [picture(i)]} for i in range(23)]
    rows[7]["frames"] = [{"bytes": b"?", "path": None}]
    rows[8]["frames"] = rows[9]["frames"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    found = []
    for name, use in (("ahead", "encode"), ("plain", "tests.curation.pipeline.test_ahead:PLAIN")):
        (tmp_path / f"{name}.toml").write_text(RECIPE.format(name=name, use=use))
        found.append(read_recipe(tmp_path / f"{name}.toml"))
    return found


def test_looking_ahead_changes_no_byte_with_any_number_of_workers(recipes):
    made = []
    for recipe, workers in ((recipes[0], 1), (recipes[0], 2), (recipes[1], 1)):
        run_recipe(recipe, local(workers), progress=False)
        stage = recipe.work / "stages" / "vectors"
        made.append(sorted(path.read_bytes() for path in stage.glob("*.parquet")))
    assert made[0] == made[1] == made[2]
    assert column(recipes[0], "vectors", "reason", "rejects") == ["unreadable_media"]
    assert 0 < model_waits(recipes[0].work)["vectors"] < 1


class InThread:
    """An engine of one worker in this process that notes what it was given."""

    slots = 1

    def __init__(self):
        self.tasks = []

    def submit(self, task):
        self.tasks.append(task)
        execute(task)

    def wait(self):
        return [Ended(self.tasks[-1], "done")]


def test_the_first_rows_of_the_next_shard_are_prepared_while_the_last_of_this_one_are_encoded(recipes, monkeypatch):
    run_recipe(recipes[0], local(1), until="pool", progress=False)
    seen, prepared, main = [], encode._prepared, threading.get_ident()
    monkeypatch.setattr(encode, "_AHEAD", Ahead(encode._AHEAD._prepare, encode._AHEAD._key, threads=1))
    monkeypatch.setattr(
        encode, "_prepared", lambda row, o: seen.append((row["id"], threading.get_ident() != main)) or prepared(row, o)
    )
    engine = InThread()
    run_recipe(recipes[0], lambda _: nullcontext(engine), progress=False)
    shards = [task.job.n_rows for task in engine.tasks]
    assert shards == [5, 5, 5, 5, 3]
    assert [task.then is not None for task in engine.tasks] == [True] * 4 + [False]
    ahead_of_time = {row_id for row_id, in_thread in seen if in_thread}
    assert ahead_of_time >= {f"r{i:02d}" for i in range(23)} - {"r08", "r09"}


def test_a_row_that_kills_its_worker_when_it_is_prepared_is_found_in_its_own_shard(tmp_path):
    killed = 'use = "tests.curation.poisons:{}"\nname = "poison"\nsegfaults = ["r09"]'
    made = []
    for work, operation in (("a", "POISON_AHEAD"), ("b", "POISON")):
        recipe = recipe_of(tmp_path, killed.format(operation), work=work, limits=QUICK)
        run_recipe(recipe, local(1), progress=False)
        made.append([column(recipe, "poison", name, "rejects") for name in ("id", "reason")])
        made.append(column(recipe, "poison", "id"))
    assert made[:2] == made[2:]
    assert made[0] == [["r09"], ["killed_its_worker"]]
