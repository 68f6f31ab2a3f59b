"""Stages run in shards: the same bytes whatever happens, and every row accounted for."""

import json
import multiprocessing
import os
import signal
import time

import pytest
from filelock import FileLock

from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe, stage_states
from rope.errors import DatasetError, UsageError
from tests.curation.pools import HALF, POISON, QUICK, column, files_of, local, recipe_of, write_rows


def run(recipe, workers=2, fault_injection=None):
    return run_recipe(recipe, local(workers), fault_injection=fault_injection, progress=False)


def states(recipe):
    return {state.name: (state.state, state.n_done, state.n_shards) for state in stage_states(recipe)}


def test_rows_go_through_the_stages_and_the_counts_close(tmp_path):
    recipe = recipe_of(tmp_path, POISON + 'rejects = ["r03", "r04"]', HALF + "parts = 2")
    done = run(recipe)
    totals = {
        stage: [(m.rows_in, sum(c.rows for c in m.counts)) for m in manifests] for stage, manifests in done.items()
    }
    assert totals == {"pool": [(8, 8)] * 3, "poison": [(8, 8)] * 3, "half": [(22, 22)]}
    assert column(recipe, "poison", "reason", "rejects") == ["unwanted", "unwanted"]
    assert column(recipe, "half", "fate", "rejects") == ["not sampled"] * 10
    assert len(column(recipe, "half", "id")) == 12


@pytest.mark.parametrize(
    ("option", "fate", "reason"),
    [
        ("raises", "quarantined", "raised"),
        ("segfaults", "quarantined", "killed_its_worker"),
        ("hangs", "quarantined", "hung"),
        ("rejects", "rejected", "unwanted"),
        ("loses", "quarantined", "raised"),
    ],
)
def test_a_poison_row_is_isolated_and_only_it(option, fate, reason, tmp_path):
    recipe = recipe_of(
        tmp_path, POISON + f'{option} = ["r05"]', limits=QUICK if option == "hangs" else "", shard_rows=6
    )
    run(recipe)
    rejects = [column(recipe, "poison", name, "rejects") for name in ("id", "fate", "reason")]
    assert rejects == [["r05"], [fate], [reason]]
    assert column(recipe, "poison", "id") == [f"r{i:02d}" for i in range(24) if i != 5]


def test_an_exception_is_told_without_what_differs_between_runs(tmp_path):
    recipe = recipe_of(tmp_path, POISON + 'raises = ["r05"]')
    run(recipe)
    detail = "ValueError: cannot stand r05, <object object at 0x…>"
    assert column(recipe, "poison", "detail", "rejects") == [detail]


def test_the_number_of_workers_and_the_size_of_batches_change_no_byte(tmp_path):
    stages = (POISON + 'raises = ["r01"]\nsegfaults = ["r05", "r06"]', HALF)
    one = recipe_of(tmp_path, *stages, work="one", limits="deadline_s = 9")
    other = recipe_of(tmp_path, *stages, work="other", limits="deadline_s = 8")
    run(one, 1)
    run(other, 3)
    assert files_of(one) == files_of(other)


def test_a_second_run_makes_nothing(tmp_path):
    recipe = recipe_of(tmp_path, POISON, HALF)
    run(recipe)
    before = {path: path.stat().st_mtime_ns for path in recipe.work.rglob("*.parquet")}
    run_recipe(recipe, None, progress=False)  # it needs no engine
    assert {path: path.stat().st_mtime_ns for path in recipe.work.rglob("*.parquet")} == before


def test_a_change_of_options_makes_that_stage_and_those_after_it_stale(tmp_path):
    stages = [POISON + 'name = "a"', POISON + 'name = "b"', POISON + 'name = "c"']
    run(recipe_of(tmp_path, *stages))
    changed = recipe_of(tmp_path, stages[0], stages[1] + '\nrejects = ["r01"]', stages[2])
    assert states(changed) == {
        "pool": ("done", 3, 3),
        "a": ("done", 3, 3),
        "b": ("stale", 0, 3),
        "c": ("waiting", 0, 0),
    }
    before = files_of(changed)
    run(changed)
    after = files_of(changed)
    assert {name: before[name] for name in before if name[0] in "pa"} == {n: after[n] for n in after if n[0] in "pa"}
    shards_of_c = {name for name in after if name.startswith("c/")}
    assert len(shards_of_c) == 9
    # The shard that lost a row is another one for the last stage; the other two have the rows that they had.
    assert len({name for name in shards_of_c if name in before}) == 6


def test_a_change_of_the_pool_makes_again_what_depends_on_it(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    run(recipe)
    write_rows(tmp_path / "pool.parquet", ["x1", "x2"])
    assert states(recipe)["pool"] == ("stale", 0, 1)
    run(recipe)
    assert column(recipe, "poison", "id") == ["x1", "x2"]


def test_a_pool_without_rows_runs_to_an_end_without_rows(tmp_path):
    write_rows(tmp_path / "pool.parquet", ["r0"])
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(tmp_path / "pool.parquet").slice(0, 0), tmp_path / "pool.parquet")
    recipe = recipe_of(tmp_path, POISON, HALF)
    assert {stage: [m.rows_in for m in found] for stage, found in run(recipe).items()} == {
        "pool": [0],
        "poison": [0],
        "half": [0],
    }


@pytest.mark.parametrize("damage", ["torn", "flipped", "gone", "torn manifest"])
def test_a_damaged_file_is_made_again(damage, tmp_path):
    recipe = recipe_of(tmp_path, POISON, HALF)
    run(recipe)
    before = files_of(recipe)
    kept = sorted((recipe.work / "stages" / "half").glob("*.kept.parquet"))[0]
    path = kept.with_name(kept.name.replace(".kept.parquet", ".json")) if damage == "torn manifest" else kept
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:40] + (b"\0" + whole[41:] if damage == "flipped" else b""))
    run(recipe)
    assert files_of(recipe) == before


def test_a_damaged_shard_in_the_middle_is_found_by_the_stage_that_reads_it(tmp_path):
    recipe = recipe_of(tmp_path, POISON + 'name = "a"', HALF)
    run(recipe)
    kept = sorted((recipe.work / "stages" / "a").glob("*.kept.parquet"))[1]
    whole = kept.read_bytes()
    kept.write_bytes(whole[:40] + b"\0" + whole[41:])
    changed = recipe_of(tmp_path, POISON + 'name = "a"', HALF + "parts = 2")
    run(changed)
    assert kept.read_bytes() == whole
    assert len(column(changed, "half", "id")) == 12


def test_what_nobody_needs_is_removed(tmp_path):
    recipe = recipe_of(tmp_path, POISON, HALF)
    run(recipe)
    (recipe.work / "stages" / "poison" / ".00000.kept.parquet.77.part").write_text("left by a killed worker")
    run(recipe_of(tmp_path, POISON + 'rejects = ["r01"]'))
    names = sorted(path.name for path in (recipe.work / "stages").iterdir())
    assert names == ["poison", "pool"]
    assert len(list((recipe.work / "stages" / "poison").iterdir())) == 9


def test_half_written_files_of_killed_writers_are_removed_and_those_of_others_are_not(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    run(recipe)
    old, new, named_alike = (
        recipe.work / "media" / "ab" / name for name in (".x.jpg.77.part", ".y.jpg.78.part", ".z.part")
    )
    old.parent.mkdir(parents=True)
    for path in (old, new, named_alike):
        path.write_text("half")
    os.utime(old, (0, 0))
    os.utime(named_alike, (0, 0))
    os.utime(new, (time.time() + 60,) * 2)  # as one that is being written to
    run(recipe)
    assert [path.exists() for path in (old, new, named_alike)] == [False, True, True]


@pytest.mark.parametrize(
    ("stages", "limits", "sentence"),
    [
        (
            ['use = "tests.curation.poisons:BROKEN"'],
            "",
            "fails on a batch without rows, so it is not the data: KeyError",
        ),
        (['use = "filter"\nminimum = 0.5'], "", "no column 'similarity'; the rows have id, domain"),
        (
            [POISON + f"raises = {[f'r{i:02d}' for i in range(11)]}"],
            "",
            "11 of 24 rows are quarantined, more than max_quarantined = 0.01",
        ),
        ([POISON + f"segfaults = {[f'r{i:02d}' for i in range(11)]}"], "", "11 rows kill or hang their worker"),
    ],
)
def test_what_is_not_the_rows_fault_stops_the_run(stages, limits, sentence, tmp_path):
    with pytest.raises((DatasetError, UsageError), match=sentence):
        run(recipe_of(tmp_path, *stages, limits=limits))


def test_two_runs_in_one_folder_are_refused(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    recipe.work.mkdir()
    with FileLock(recipe.work / ".lock"), pytest.raises(UsageError, match="another run is in progress here"):
        run(recipe)


def test_a_stage_that_is_not_finished_is_named(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    with pytest.raises(DatasetError, match="stage 'pool' of work is not up to date; run: rope curate run"):
        finished_stages(recipe)


def _run_in_its_own_group(recipe):
    os.setsid()
    run(recipe)


KILLED = (POISON + 'segfaults = ["r05"]\nrejects = ["r11"]', HALF + "parts = 3")


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A folder with a pool, and what a run that is not killed makes of it."""
    folder = tmp_path_factory.mktemp("pool")
    recipe = recipe_of(folder, *KILLED, work="calm", shard_rows=6, n_rows=18)
    run(recipe)
    return folder, files_of(recipe)


@pytest.mark.parametrize("delay_s", [0.2, 0.4, 0.7])
def test_killed_at_any_moment_and_run_again_gives_the_same_bytes(delay_s, calm):
    folder, expected = calm
    recipe = recipe_of(folder, *KILLED, work=f"killed{delay_s * 10:.0f}", shard_rows=6)
    process = multiprocessing.get_context("spawn").Process(target=_run_in_its_own_group, args=(recipe,))
    process.start()
    deadline = time.monotonic() + 20
    while not recipe.work.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay_s)
    os.kill(process.pid, signal.SIGKILL)  # the process alone: its workers must end by themselves
    process.join()
    run(recipe)
    assert files_of(recipe) == expected


@pytest.mark.parametrize("name", ["0-before.parquet", "5-between.parquet", "9-after.parquet"])
def test_a_file_that_is_added_to_a_pool_makes_nothing_again(name, tmp_path):
    pool = tmp_path / "pool"
    write_rows(pool / "1.parquet", [f"a{i}" for i in range(6)])
    write_rows(pool / "8.parquet", [f"b{i}" for i in range(6)])
    (tmp_path / "pool.toml").write_text(
        f'[pool]\npath = "pool"\nshard_rows = 4\n[[stage]]\n{POISON}\n[[stage]]\n{HALF}\n'
    )
    recipe = read_recipe(tmp_path / "pool.toml")
    run(recipe)
    before = files_of(recipe)
    write_rows(pool / name, ["c0", "c1", "c2"])
    assert states(recipe)["pool"] == ("stale", 4, 5)
    run(recipe)
    after = files_of(recipe)
    for stage in ("pool", "poison"):
        new = {name: content for name, content in after.items() if name.startswith(f"{stage}/") and name not in before}
        assert {json.loads(content)["rows_in"] for name, content in new.items() if name.endswith(".json")} == {3}
        assert all(after[name] == content for name, content in before.items() if name.startswith(f"{stage}/"))
    assert len(column(recipe, "poison", "id")) == 15


def test_rows_that_are_added_to_a_file_change_the_last_shard_of_later_stages_alone(tmp_path):
    recipe = recipe_of(tmp_path, POISON)
    write_rows(tmp_path / "pool.parquet", [f"r{i:02d}" for i in range(20)])
    run(recipe)
    before = {name for name in files_of(recipe) if name.startswith("poison/") and name.endswith(".json")}
    write_rows(tmp_path / "pool.parquet", [f"r{i:02d}" for i in range(22)])
    run(recipe)
    after = {name for name in files_of(recipe) if name.startswith("poison/") and name.endswith(".json")}
    assert (len(before), len(after), len(before & after)) == (3, 3, 2)


def test_a_pool_with_the_same_rows_twice_is_two_shards(tmp_path):
    write_rows(tmp_path / "pool" / "a.parquet", ["a", "b"])
    write_rows(tmp_path / "pool" / "b.parquet", ["a", "b"])
    (tmp_path / "pool.toml").write_text(f'[pool]\npath = "pool"\n[[stage]]\n{POISON}\n')
    recipe = read_recipe(tmp_path / "pool.toml")
    assert [manifest.rows_in for manifest in run(recipe)["poison"]] == [2, 2]
    assert column(recipe, "poison", "id") == ["a", "b", "a", "b"]
