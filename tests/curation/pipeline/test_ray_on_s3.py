"""A pool and the work at S3, and a Ray cluster of two nodes: whatever is killed, the bytes are those of a local run."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from rope.curation.pipeline.recipe import read_recipe
from rope.dataset.locate import as_directory
from tests.curation.pools import HALF, POISON, write_rows
from tests.stores import store_of_s3, wait_for_files

ray = pytest.importorskip("ray", reason="Ray is not installed")

from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture(scope="module")
def store():
    """A bucket that is there before the nodes, whose workers take its address from the environment."""
    with store_of_s3() as address:
        yield address


@pytest.fixture
def cluster(store):
    """A head without cores, and two nodes with one each."""
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
    )
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    for node in [*made.worker_nodes, made.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


@pytest.fixture
def pool(store, tmp_path):
    """A place for the work, a pool beside it, and what a local run of it makes, undisturbed."""
    write_rows(tmp_path / "pool.parquet", [f"r{i:02d}" for i in range(24)])
    at = f"{store}/{tmp_path.name}"
    fsspec.filesystem("s3", skip_instance_cache=True).put(str(tmp_path / "pool.parquet"), f"{at}/pool/pool.parquet")
    (tmp_path / "gate").touch()
    run = start(recipe_at(tmp_path, f"{at}/pool", tmp_path / "calm"), "--workers", 1)
    told, _ = run.communicate()
    assert run.returncode == 0, told.decode()
    (tmp_path / "gate").unlink()  # until it is there again, no run ends before it has been disturbed
    return at, shards_of(tmp_path / "calm")


def recipe_at(folder, pool, work):
    """The file of a recipe with a shard for every two rows."""
    path = folder / f"{Path(work).name}.toml"
    head = f'work = "{work}"\n[pool]\npath = "{pool}"\nshard_rows = 2\n[limits]\nbatch_rows = 2\n'
    poison = POISON + f'rejects = ["r03", "r04"]\nraises = ["r07"]\ngate = "{folder / "gate"}"'
    path.write_text(head + "\n".join(f"[[stage]]\n{stage}" for stage in (poison, HALF + "parts = 2")))
    return path


def start(recipe, *options):
    """A driver in a process of its own."""
    command = [sys.executable, "-c", "from rope.cli import main; main()", "curate", "run", recipe, *options]
    return subprocess.Popen(
        [str(word) for word in command], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def shards_of(place):
    """Every file of the stages, by its name."""
    stages = place / "stages"
    return {f"{stage.name}/{file.name}": file.read_bytes() for stage in stages.iterdir() for file in stage.iterdir()}


def workers():
    """The processes of the actors, by their numbers."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                title = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::_Worker"):
                found.append(int(process.name))
    return found


def end_well(run, recipe, calm):
    told, _ = run.communicate(timeout=300)
    assert run.returncode == 0, told.decode()
    assert shards_of(read_recipe(recipe).work) == calm


def test_killed_drivers_and_workers_change_nothing(cluster, pool, tmp_path):
    at, calm = pool
    recipe = recipe_at(tmp_path, f"{at}/pool", f"{at}/killed")
    place, ray_cluster = as_directory(f"{at}/killed"), ("--engine", "ray", "--address", cluster.address)
    for n_files in (6, 30):
        run = start(recipe, *ray_cluster)
        wait_for_files(place, n_files, run)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    run = start(recipe, *ray_cluster)
    wait_for_files(place, 34, run)
    for worker in workers():
        os.kill(worker, signal.SIGKILL)
    (tmp_path / "gate").touch()
    end_well(run, recipe, calm)


def test_nodes_that_go_and_come_change_nothing(cluster, pool, tmp_path):
    """As on spot instances: each node is lost in the middle of its work, more often than a lethal row is tried."""
    at, calm = pool
    recipe = recipe_at(tmp_path, f"{at}/pool", f"{at}/spot")
    place = as_directory(f"{at}/spot")
    run = start(recipe, "--engine", "ray", "--address", cluster.address)
    for n_files in itertools.accumulate([12, 8, 8, 8]):
        wait_for_files(place, n_files, run)
        cluster.remove_node(sorted(cluster.worker_nodes, key=str)[0], allow_graceful=False)
        cluster.add_node(num_cpus=1)
    (tmp_path / "gate").touch()
    end_well(run, recipe, calm)
