"""Forecasts from what a small part has cost."""

import numpy as np
import pytest

from rope.curation.cost_laws import Measured, RowCost, ScaledCost, ScaledPoint
from rope.curation.forecast import Range, annotator_hours, forecast, range_of
from rope.curation.measure import Measure, Measures
from rope.errors import UsageError

DRAWS = 400


def rows(n, spread=0.0):
    return n * (1 + spread * np.concatenate([[0.0], np.random.default_rng(0).standard_normal(DRAWS)]))


def cost(once=0.0, shard=0.0, row=0.0, error=0.0):
    return RowCost(once, Measured(shard), Measured(row, error, 6 if error else 0))


ROW = cost(row=0.01)


def measure(stage, n=3600.0, *, cost=ROW, n_shards=10.0, n_bytes=1e9, idle_s=0.0, needs_gpu=False):
    return Measure(stage, rows(n), rows(n), n_shards, cost, cost, rows(n_bytes), idle_s, needs_gpu)


def planned(*stages, workers=1, gpus=0):
    return forecast(Measures(3600, 500, stages), workers=workers, gpus=gpus)


def test_what_is_paid_once_for_a_shard_and_for_a_row_adds_up():
    made = planned(measure("a", cost=cost(360, 36, 0.1), idle_s=18), workers=2)
    assert made.processor_hours.value == pytest.approx((2 * 360 + 10 * 36 + 3600 * 0.1) / 3600)
    assert made.hours.value == pytest.approx((18 + 360 + 5 * (36 + 36)) / 3600)


def test_more_workers_than_shards_help_no_further():
    ten, thousand = (planned(measure("a"), workers=workers).hours.value for workers in (10, 1000))
    assert ten == pytest.approx(thousand)
    assert planned(measure("a"), workers=9).hours.value == pytest.approx(2 * ten)  # the tenth shard waits


@pytest.mark.parametrize(("gpus", "hours"), [(0, 0.01), (1, 0.01), (5, 0.002)])
def test_a_stage_for_accelerators_is_not_divided_among_workers(gpus, hours):
    made = planned(measure("embed", needs_gpu=True), workers=100, gpus=gpus)
    assert made.stages[0].hours.value == pytest.approx(hours)


def test_a_stage_that_was_not_measured_is_named_and_not_counted_as_nothing():
    lost = Measure("split", rows(10), rows(10), 1, None, None, None, missing="too few products")
    made = planned(measure("a"), lost)
    assert made.lacking("hours") == {"split": "too few products"} == made.lacking("gigabytes")
    assert (made.stages[1].hours, made.stages[1].gigabytes) == (None, None)
    assert made.hours.value == pytest.approx(0.01)


def test_a_law_is_one_task_however_many_workers():
    law = ScaledCost(36.0, (ScaledPoint(1800, 1, (18.0, 18.0)), ScaledPoint(3600, 1, (36.0, 36.0))))
    made = planned(measure("merge", cost=law), workers=100)
    assert made.hours.value == pytest.approx(0.02, rel=0.01)
    assert made.hours.low < 0.0195
    assert made.hours.high > 0.0205


def test_the_interval_of_a_total_is_that_of_the_sum_and_not_the_sum_of_the_ends():
    stages = [measure(name, cost=cost(row=0.01, error=0.002)) for name in "abcd"]
    made = planned(*stages)
    ends = sum(stage.hours.high - stage.hours.value for stage in made.stages)
    assert 0.35 * ends < made.hours.high - made.hours.value < 0.7 * ends  # half, of four


def test_rows_that_vary_move_time():
    one = measure("a")
    varied = Measure("a", rows(3600, 0.1), rows(3600, 0.1), 10, one.seconds, one.seconds, one.n_bytes)
    made = planned(varied)
    assert made.hours.low < 0.9 * made.hours.value < made.hours.value < 1.1 * made.hours.value < made.hours.high


def test_the_best_guess_is_never_outside_of_its_interval():
    assert range_of(np.array([9.0, 1.0, 2.0])).high == 9.0
    assert range_of(np.array([4.0])) == Range(4.0, 4.0, 4.0)


def test_people_look_at_each_row():
    assert annotator_hours(Range(1800, 900, 3600), 2).value == pytest.approx(1.0)


def test_no_workers_are_refused():
    with pytest.raises(UsageError, match="workers is 0 and gpus 0; expected at least 1 and 0"):
        planned(measure("a"), workers=0)
