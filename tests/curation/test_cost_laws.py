"""Costs told apart: once, a shard, a row, and laws of stages that must see all rows."""

import io

import numpy as np
import pyarrow as pa
import pytest

from rope.curation.cost_laws import REACH, Measured, ScaledCost, ScaledPoint, file_size, mean_of, row_cost
from rope.curation.pipeline.shard_files import write_rows


def rng():
    return np.random.default_rng(0)


def test_what_is_paid_once_for_a_shard_and_for_a_row_is_told_apart():
    cost = row_cost([(100, 5.0 + 0.2 + 1.0)], [(100, 1.2), (50, 0.7), (100, 1.2), (1, 0.21), (0, 0.2)])
    assert (cost.once, cost.shard.value, cost.row.value) == pytest.approx((5.0, 0.2, 0.01), rel=1e-3)
    assert cost.draws(np.full(3, 1000.0), 40, rng())[0] == pytest.approx(40 * 0.2 + 1000 * 0.01, rel=1e-3)


def test_what_the_second_shard_of_a_worker_still_pays_is_paid_once():
    cost = row_cost([(160, 1.8), (160, 0.4)], [(160, 0.3), (80, 0.2), (1, 0.1), (1, 0.1), (0, 0.1)])
    assert (cost.once, cost.shard.value) == pytest.approx((1.6, 0.1), rel=0.02)


def test_shards_that_differ_widen_the_interval():
    even = row_cost([], [(10, 0.1), (10, 0.1), (10, 0.1)])
    uneven = row_cost([], [(10, 0.05), (10, 0.15), (10, 0.1)])
    spreads = [np.std(cost.draws(np.full(500, 1e4), 1.0, rng())[1:]) for cost in (even, uneven)]
    assert spreads[0] == pytest.approx(0)
    assert spreads[1] > 10


def test_the_interval_of_a_rate_holds_it_in_95_of_100():
    generator, hits = np.random.default_rng(0), []
    for _ in range(400):
        shards = [(50, 50 * max(generator.normal(0.01, 0.003), 0.0)) for _ in range(7)]
        draws = row_cost([], shards).draws(np.full(201, 1000.0), 0.0, generator)[1:]
        low, high = np.quantile(draws, (0.025, 0.975))
        hits.append(low <= 10.0 <= high)
    assert 0.91 <= np.mean(hits) <= 0.99


def test_no_time_is_negative():
    assert (Measured(1.0, 5.0, 2).draws(100, rng()) >= 0).all()
    assert mean_of([-1.0, -2.0]).value == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(lambda n: 2 + 0.01 * n, 2 + 20.0), (lambda n: 1e-4 * n * n, 400.0)],
    ids=["a line", "a square"],
)
def test_a_law_is_drawn_on(seconds, expected):
    cost = ScaledCost(0.0, tuple(ScaledPoint(n, 1, (seconds(n), seconds(n))) for n in (100, 200, 400)))
    draws = cost.draws(np.full(200, 2000.0), 1, rng())
    assert draws[0] == pytest.approx(expected, rel=0.01)
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    assert low < expected < high


def test_what_a_file_costs_is_not_taken_for_a_cost_of_rows():
    """A second file makes a step in the times, which a law of rows alone takes for a square."""
    points = [(630, 8), (630, 2), (200, 1), (80, 1)]
    cost = ScaledCost(0.0, tuple(ScaledPoint(n, f, (0.001 + 0.007 * f + 1e-5 * n,) * 3) for n, f in points))
    draws = cost.draws(np.full(200, 3900.0), 8, rng())
    assert draws[0] == pytest.approx(0.001 + 0.007 * 8 + 0.039, rel=0.01)
    assert np.quantile(draws[1:], 0.975) < 1.5 * draws[0]


def test_a_law_ends_where_it_has_not_been_measured():
    cost = ScaledCost(0.0, (ScaledPoint(100, 1, (1.0,)), ScaledPoint(200, 1, (2.0,))))
    assert cost.reaches(200 * REACH)
    assert not cost.reaches(200 * REACH + 1)


def words(n, seed=0):
    generator = np.random.default_rng(seed)
    return pa.table(
        {"id": [f"r{i}" for i in range(n)], "word": generator.choice(["a", "b"], n), "x": generator.random(n)}
    )


def stored(rows):
    file = io.BytesIO()
    write_rows(rows, file)
    return file.tell()


@pytest.mark.parametrize("per_file", [1, 3, 20, 300, 900])
def test_files_are_as_large_as_files_of_so_many_rows(per_file):
    n = max(300, 4 * per_file)
    files = [words(n).slice(start, per_file) for start in range(0, n, per_file)]
    truth = sum(stored(file) for file in files)
    draws = file_size(words(600, seed=1), per_file).draws(np.full(300, float(n)), len(files), rng())
    assert draws[0] == pytest.approx(truth, rel=0.03)


def test_a_stage_that_keeps_nothing_has_empty_files():
    size = file_size(words(10).slice(0, 0), 0.0)
    assert size.draws(np.zeros(2), 5, rng())[0] == 5 * stored(words(10).slice(0, 0))
