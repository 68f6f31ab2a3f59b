import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation import dry_run
from rope.curation.dry_run import draw_rows, measure_stages
from rope.curation.pipeline.pool import open_pool
from rope.errors import UsageError
from tests.curation.pools import HALF, POISON, recipe_of, write_rows

N_ROWS = 4000


@pytest.fixture
def pool(tmp_path):
    write_rows(tmp_path / "pool.parquet", [f"r{i:05d}" for i in range(N_ROWS)])
    return open_pool(tmp_path / "pool.parquet", {}, tmp_path / "cache")


def test_a_larger_share_contains_a_smaller_one_and_order_does_not_matter(pool, tmp_path):
    few, many = (draw_rows(pool, share)["id"].to_pylist() for share in (0.2, 0.4))
    assert set(few) < set(many)
    assert len(few) == pytest.approx(0.2 * N_ROWS, rel=0.15)
    table = pq.read_table(tmp_path / "pool.parquet")
    turned = tmp_path / "turned.parquet"
    pq.write_table(table.take(pa.array(range(N_ROWS - 1, -1, -1))), turned)
    assert draw_rows(open_pool(turned, {}, tmp_path / "cache2"), 0.2)["id"].to_pylist() == few[::-1]


def test_a_small_share_draws_the_least_number_of_rows_with_absolute_paths(pool, tmp_path):
    rows = draw_rows(pool, 1e-6).to_pylist()
    assert len(rows) == pytest.approx(dry_run.MIN_ROWS, rel=0.15)
    assert rows[0]["frames"] == [str(tmp_path / f"{rows[0]['id']}.jpg")]


def test_stages_are_measured_one_by_one_and_those_that_see_all_rows_are_left_out(tmp_path):
    rejects = [f"r{i:02d}" for i in range(0, 40, 4)]
    sample = 'use = "sample"\nseed = 0\ncount = 7'
    recipe = recipe_of(tmp_path, POISON + f'name = "a"\nrejects = {rejects}', sample, HALF, POISON, n_rows=40)
    found = {one.stage: one for one in measure_stages(recipe, 0.5, progress=False)}
    assert {name: (one.n_in, one.n_kept, one.rate, one.count) for name, one in found.items()} == {
        "pool": (40, 40, 1.0, None),
        "a": (40, 30, 1.0, None),
        "sample": (30, 30, 1.0, 7),
        "half": (30, 30, 1.0, None),
        "poison": (30, 30, 1.0, None),
    }
    assert [len(one.seconds) for one in found.values()] == [9, 9, 0, 0, 9]
    assert all(one.bytes_in_work > 0 for one in found.values())
    assert not recipe.work.exists()


def test_a_row_that_kills_its_worker_does_not_end_the_dry_run(tmp_path):
    recipe = recipe_of(tmp_path, POISON + 'segfaults = ["r05"]', n_rows=20)
    assert [(one.n_in, one.n_kept) for one in measure_stages(recipe, 1.0, progress=False)] == [(20, 20), (20, 19)]


def test_a_share_of_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="share is 0; expected above 0 and at most 1"):
        measure_stages(recipe_of(tmp_path, POISON), 0, progress=False)


def test_the_total_names_the_stages_that_it_leaves_out(tmp_path, curate):
    recipe_of(tmp_path, POISON, HALF)
    code, out, _ = curate("plan", tmp_path / "work.toml")
    assert (code, "hours in all, without half, which must see all rows: " in out) == (0, True)
    recipe_of(tmp_path, POISON)
    assert "hours in all: " in curate("plan", tmp_path / "work.toml")[1]
