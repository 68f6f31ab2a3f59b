"""The search for lethal rows, on an engine that is a table of what kills."""

import random
from pathlib import Path

import pytest

from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.curation.pipeline.supervisor import Ended, supervise
from rope.errors import DatasetError, UsageError


class Imagined:
    """An engine whose workers die of some rows; tasks end in any order.

    Attributes:
        lethal: (shard, row) -> how a task with this row in it ends.
        mishaps: tasks that end in some other way, by their words and attempt.
        log: every task that ended.
    """

    def __init__(self, lethal=None, mishaps=None, seed=0):
        self.lethal, self.mishaps = lethal or {}, mishaps or {}
        self.log: list[Ended] = []
        self.slots = 3
        self._open: list[ShardAttempt] = []
        self._rng = random.Random(seed)

    def submit(self, task):
        assert len(self._open) < self.slots
        self._open.append(task)

    def wait(self):
        task = self._open.pop(self._rng.randrange(len(self._open)))
        ended = self.mishaps.get((str(task), task.attempt)) or self._end(task)
        self.log.append(Ended(task, *ended))
        return self.log[-1:]

    def _end(self, task):
        start, stop = task.rows or (0, task.job.n_rows)
        rows = [row for row in range(start, stop) if row not in task.lethal]
        kinds = [self.lethal[task.job.name, row] for row in rows if (task.job.name, row) in self.lethal]
        return (kinds[0],) if kinds else ("done",)


def job(name, n_rows=10, is_divisible=True):
    return ShardJob("s", name, "", "", {}, (PoolSlice(Path(), 0, n_rows, ""),), Path(), 4, 1.0, 0.0, is_divisible, True)


def make(engine, *jobs, max_lethal=10):
    """Supervise; returns what each shard was finally made without."""
    supervise(engine, jobs, first_attempt=0, max_lethal=max_lethal, fault_injection=None, advance=lambda _: None)
    return {e.task.job.name: dict(e.task.lethal) for e in engine.log if e.task.rows is None and e.how == "done"}


def test_without_a_fault_every_shard_is_made_once():
    engine = Imagined()
    assert make(engine, job("a"), job("b"), job("c"), job("d")) == {"a": {}, "b": {}, "c": {}, "d": {}}
    assert len(engine.log) == 4


@pytest.mark.parametrize("seed", range(5))
def test_lethal_rows_are_found_and_only_they(seed):
    engine = Imagined({("a", 0): "died", ("a", 7): "hung", ("c", 9): "died"}, seed=seed)
    found = make(engine, job("a"), job("b"), job("c"), job("one", 1))
    assert found == {"a": {0: "killed_its_worker", 7: "hung"}, "b": {}, "c": {9: "killed_its_worker"}, "one": {}}


def test_one_lethal_row_of_a_thousand_costs_few_workers():
    engine = Imagined({("a", 700): "died"})
    assert make(engine, job("a", 1000)) == {"a": {700: "killed_its_worker"}}
    assert sum(ended.how == "died" for ended in engine.log) <= 13


@pytest.mark.parametrize("how", ["died", "hung", "failed"])
@pytest.mark.parametrize("mishaps", [1, 2])
def test_a_passing_mishap_of_a_shard_quarantines_nothing(how, mishaps):
    faults = {("s/a", attempt): (how, OSError("full")) for attempt in range(mishaps)}
    assert make(Imagined(mishaps=faults), job("a"), job("b")) == {"a": {}, "b": {}}


def test_a_passing_mishap_of_a_single_row_quarantines_nothing_more():
    faults = {("s/a[4:5]", 0): ("died",), ("s/a[4:5]", 1): ("failed", OSError()), ("s/a[0:5]", 0): ("died",)}
    assert make(Imagined({("a", 3): "died"}, faults), job("a")) == {"a": {3: "killed_its_worker"}}


def test_a_lethal_row_that_shows_after_mishaps_is_still_searched_for():
    faults = {("s/a", attempt): ("failed", OSError("full")) for attempt in range(2)}
    assert make(Imagined({("a", 3): "died"}, faults), job("a")) == {"a": {3: "killed_its_worker"}}


@pytest.mark.parametrize("how", ["died", "failed"])
def test_a_shard_that_never_succeeds_is_given_up_in_a_sentence(how):
    faults = {("s/a", attempt): (how, OSError("no space")) for attempt in range(9)}
    with pytest.raises(DatasetError, match=r"s/a: .* in each of 3 attempts"):
        make(Imagined(mishaps=faults), job("a"))


def test_what_trying_again_cannot_mend_ends_at_once():
    engine = Imagined(mishaps={("s/a", 0): ("failed", UsageError("no column 'similarity'"))})
    with pytest.raises(UsageError, match="no column"):
        make(engine, job("a"))
    assert len(engine.log) == 1


def test_a_stage_that_sees_all_rows_is_tried_again_and_not_halved():
    engine = Imagined(mishaps={("s/a", 0): ("died",)})
    assert make(engine, job("a", is_divisible=False)) == {"a": {}}
    assert [ended.task.rows for ended in engine.log] == [None, None]


def test_too_many_lethal_rows_stop_the_stage():
    lethal = {("a", row): "died" for row in range(8)}
    with pytest.raises(DatasetError, match="4 rows kill or hang their worker, more than the 3 that the recipe allows"):
        make(Imagined(lethal), job("a"), max_lethal=3)
