"""Forecasts from what a small part has cost."""

import numpy as np
import pytest

from rope.curation.forecast import Measure, annotator_hours, forecast, wilson
from rope.errors import UsageError


def measure(stage, *, n_in=1000, n_kept=1000, rate=1.0, count=None, seconds=(0.01,), n_bytes=1000, needs_gpu=False):
    return Measure(stage, 1000, n_in, n_kept, rate, count, seconds, n_bytes, needs_gpu)


def test_rows_time_and_storage_grow_with_the_pool():
    made = forecast([measure("a", n_kept=500), measure("b", n_in=500, n_kept=250)], 36e6, workers=10, gpus=0)
    first, second = made.stages
    assert [stage.kept.value for stage in made.stages] == [18e6, 9e6]
    assert (first.worker_hours.value, first.hours.value) == pytest.approx((100, 10))
    assert second.hours.value == pytest.approx(5)
    assert made.hours.value == pytest.approx(15)
    assert made.gigabytes.value == pytest.approx(0.036 * 2)


def test_a_sampling_stage_keeps_what_its_options_say_and_those_after_it_get_as_much():
    by_rate = [measure("s", rate=0.01, seconds=()), measure("b")]
    by_count = [measure("s", n_in=500, n_kept=500, count=2000, seconds=()), measure("b", n_in=500, n_kept=500)]
    assert [stage.kept.value for stage in forecast(by_rate, 1e6, workers=1, gpus=0).stages] == [10_000, 10_000]
    assert [stage.kept.value for stage in forecast(by_count, 1e6, workers=1, gpus=0).stages] == [2000, 2000]
    assert forecast(by_rate, 1e6, workers=1, gpus=0).stages[0].hours is None


@pytest.mark.parametrize(("gpus", "hours"), [(0, 10.0), (1, 10.0), (4, 2.5)])
def test_a_stage_for_accelerators_is_not_divided_among_workers(gpus, hours):
    made = forecast([measure("embed", needs_gpu=True)], 3.6e6, workers=100, gpus=gpus)
    assert made.stages[0].hours.value == pytest.approx(hours)


def test_times_that_differ_widen_the_interval():
    made = forecast([measure("a", seconds=(0.01, 0.03)), measure("b", seconds=(0.02, 0.02))], 1e6, workers=1, gpus=0)
    wide, narrow = (stage.hours for stage in made.stages)
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high > 2 * narrow.high
    assert narrow.low < narrow.value == pytest.approx(narrow.high)


def test_the_interval_of_a_share_covers_it_in_95_of_100_samples():
    hits = np.random.default_rng(0).binomial(500, 0.03, 2000)
    covered = [wilson(int(n), 500).low <= 0.03 <= wilson(int(n), 500).high for n in hits]
    assert 0.93 <= np.mean(covered) <= 0.98


def test_people_look_at_each_row():
    assert annotator_hours(wilson(5, 10) * 3600, 2).value == pytest.approx(1.0)


def test_a_pool_without_rows_and_no_workers_are_refused():
    with pytest.raises(UsageError, match="expected at least 1, 1 and 0, and a pool with rows"):
        forecast([Measure("a", 0, 0, 0, 1.0, None, (), 0, False)], 10, workers=1, gpus=0)
    with pytest.raises(UsageError, match="workers 0"):
        forecast([measure("a")], 10, workers=0, gpus=0)
