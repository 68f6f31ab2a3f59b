from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rope.curation.annotation.stage import ApplyAnswers
from rope.curation.dry_run import Timed, dry_run, on_a_part, part_of
from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.recipe import Stage
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.curation.pipeline.supervisor import Ended
from rope.curation.pipeline.worker import execute
from tests.curation.pools import HALF, POISON, recipe_of


class InProcess:
    """An engine that does its one task in this process."""

    def __init__(self):
        self.slots, self.tasks = 1, []

    def submit(self, task):
        self.tasks.append(task)

    def wait(self):
        task = self.tasks.pop()
        try:
            return [Ended(task, "done", cost=execute(task))]
        except Exception as error:
            return [Ended(task, "failed", error)]


@pytest.fixture
def timed():
    return Timed(InProcess())


def part(folder, *stages, n_rows=40, shard_rows=1000):
    recipe = recipe_of(folder, *stages, n_rows=n_rows, shard_rows=shard_rows)
    return part_of(recipe, pq.read_table(folder / "pool.parquet"), 1.0, folder / "part")


@pytest.fixture(autouse=True)
def folder_of_the_part(tmp_path):
    (tmp_path / "part").mkdir()


@pytest.mark.parametrize(("shard_rows", "shards"), [(1000, [9, 9, 10, 4, 3, 2, 1, 1, 1]), (3, [3] * 12 + [1, 1, 1, 1])])
def test_a_part_has_the_recipes_shard_size_or_six_shards_the_largest_first_and_three_of_a_row(
    shard_rows, shards, tmp_path, timed
):
    run = dry_run(part(tmp_path, POISON, shard_rows=shard_rows), timed, progress=False)
    assert [cost.rows for cost in run.costs["pool"]] == shards
    assert [cost.rows for cost in run.costs["poison"]] == shards
    assert all(cost.processor_seconds > 0 for cost in run.costs["poison"])


def test_a_stage_that_must_see_all_rows_and_cannot_see_a_part_is_named_and_left_out(tmp_path, timed):
    run = dry_run(part(tmp_path, POISON, 'use = "split"\nn_validation = 2\nseed = 0', HALF), timed, progress=False)
    assert list(run.made) == ["pool", "poison", "half"]
    assert list(run.missing) == ["split"]
    assert "no column 'product_id'" in run.missing["split"]


def test_a_stage_that_takes_rows_and_fails_is_an_error(tmp_path, timed):
    with pytest.raises(Exception, match="fails on a batch without rows"):
        dry_run(part(tmp_path, 'use = "tests.curation.poisons:BROKEN"'), timed, progress=False)


def test_options_that_are_about_the_whole_pool_are_those_of_a_part(tmp_path):
    sample = Stage("sample", "sample", {"seed": 1, "count": 7, "floor": 3})
    assert on_a_part(sample, 0.1) == {"seed": 1, "floor": 3, "rate": 1.0}
    split = Stage("split", "split", {"n_validation": 95, "seed": 0, "freeze_val": "old"})
    assert on_a_part(split, 0.1) == {"n_validation": 10, "seed": 0}
    answers = Stage("answers", "answers", {"labels": tmp_path, "different": "reject", "unclear": "reject"})
    assert ApplyAnswers(**on_a_part(answers, 0.1)) == ApplyAnswers(tmp_path)


def test_only_first_attempts_at_whole_shards_are_measured(timed):
    cost = ShardCost("a", "s", 4, 1.0, 0.5)
    job = ShardJob("a", "s", "", "", {}, (), Path(), 1, 1.0, 0.0, True, True)
    tries = (ShardAttempt(job), ShardAttempt(job, attempt=1), ShardAttempt(job, rows=(0, 2)))
    done = [Ended(task, "done", cost=cost) for task in tries]
    timed.engine = nullcontext()
    timed.engine.wait = lambda: done
    timed.wait()
    assert [replace(one, seconds=1.0) for one in timed.costs["a"]] == [cost]
