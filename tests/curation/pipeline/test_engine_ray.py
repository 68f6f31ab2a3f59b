"""A Ray cluster of two nodes on this machine: the bytes of the embedded engine, whatever dies."""

import threading
import time
from unittest.mock import Mock

import pytest

from rope.curation.pipeline.fault_injection import FaultInjection
from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.runner import run_recipe
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.errors import UsageError
from tests.curation.pools import HALF, POISON, files_of, local, recipe_of

ray = pytest.importorskip("ray", reason="Ray is not installed")

from ray.cluster_utils import Cluster  # noqa: E402

from rope.curation.pipeline.engine_ray import RayEngine, ray_connection, ray_engine  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

STAGES = (POISON + 'raises = ["r01"]\nsegfaults = ["r05"]\nrejects = ["r07"]', HALF + "parts = 2")
LIMITS = "deadline_s = 20.0\nrow_deadline_s = 0.0\nglobal_deadline_s = 30.0"


@pytest.fixture(scope="module")
def cluster():
    """A head without cores, and two nodes with one each; the driver is connected to it."""
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick}  # a node is soon known to be dead
    made = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    with ray_connection(made.address, None):
        yield made
    for node in [*made.worker_nodes, made.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with a pool, and what the embedded engine has made of it."""
    folder = tmp_path_factory.mktemp("pool")
    recipe = recipe_of(folder, *STAGES, n_rows=8, shard_rows=4, limits=LIMITS, work="calm")
    run_recipe(recipe, local(), progress=False)
    return folder, files_of(recipe)


def run(recipe, fault_injection=None):
    run_recipe(
        recipe, lambda needs_gpu: ray_engine(None, needs_gpu=needs_gpu), fault_injection=fault_injection, progress=False
    )


def test_ray_makes_the_same_bytes_with_rows_that_raise_and_kill(cluster, pool):
    folder, calm = pool
    recipe = recipe_of(folder, *STAGES, shard_rows=4, limits=LIMITS, work="ray")
    run(recipe)
    assert files_of(recipe) == calm


def test_ray_with_injected_faults_makes_the_same_bytes(cluster, pool):
    folder, calm = pool
    recipe = recipe_of(folder, *STAGES, shard_rows=4, limits=LIMITS, work="struck")
    run(recipe, FaultInjection(3, faults=("raise", "kill", "full_disk", "torn")))
    assert files_of(recipe) == calm


def test_a_task_that_hangs_ends_at_its_deadline_and_its_worker_is_replaced(cluster, tmp_path):
    job = ShardJob(
        "s", "0", "", "", {}, (PoolSlice(tmp_path / "x.parquet", 0, 1, ""),), tmp_path, 1, 0.5, 0.0, True, True
    )
    with ray_engine(1, needs_gpu=False) as engine:
        engine.submit(ShardAttempt(job, fault_injection=FaultInjection(0, rate=1.0, faults=("hang",))))
        began = time.monotonic()
        assert [ended.how for ended in engine.wait()] == ["hung"]
        n_seconds = time.monotonic() - began
        engine.submit(ShardAttempt(job))
        assert [type(ended.error) for ended in engine.wait()] == [UsageError]
    assert 0.5 <= n_seconds < 60


def test_a_task_that_ended_in_time_is_not_taken_for_hung_though_nobody_looked(cluster, tmp_path):
    job = ShardJob(
        "s", "0", "", "", {}, (PoolSlice(tmp_path / "x.parquet", 0, 1, ""),), tmp_path, 1, 2.0, 0.0, True, True
    )
    with ray_engine(2, needs_gpu=False) as engine:
        for _ in range(2):  # until both workers have started
            engine.submit(ShardAttempt(job))
            assert [ended.how for ended in engine.wait()] == ["failed"]
            time.sleep(1)
        for _ in range(2):
            engine.submit(ShardAttempt(job))
        time.sleep(2.2)
        hows: list[str] = []
        while len(hows) < 2:
            hows += [ended.how for ended in engine.wait()]
    assert hows == ["failed", "failed"]


@pytest.mark.parametrize("is_alive", [False, True])
def test_a_lost_node_is_not_held_against_the_rows(is_alive, monkeypatch, tmp_path):
    """Else three losses of spot instances under one row would quarantine it; ten are taken for its fault."""

    def died(_):
        raise ray.exceptions.RayActorError

    for name, stand_in in (
        ("get", died),
        ("kill", lambda _: None),
        ("nodes", lambda: [{"NodeID": "n", "Alive": is_alive}]),
        ("remote", lambda **_: lambda _: Mock()),
    ):
        monkeypatch.setattr(ray, name, stand_in)
    engine, n_lost = RayEngine(1, gpus=0), 0
    job = ShardJob("s", "0", "", "", {}, (), tmp_path, 1, 1.0, 0.0, True, True)
    engine.submit(ShardAttempt(job))
    while True:
        engine._idle.append((Mock(), "n"))
        engine._dispatch()
        if (ended := engine._end(next(iter(engine._running)))) is not None:
            break
        n_lost += 1
    assert (ended.how, n_lost) == ("died", 0 if is_alive else 10)


def test_options_that_cannot_be_are_refused(cluster):
    with pytest.raises(UsageError, match="workers is 0; expected at least 1"), ray_engine(0, needs_gpu=False):
        pass


def test_a_node_that_is_killed_in_the_middle_changes_nothing(cluster, pool):
    """The last test of this cluster: it has one node less then."""
    folder, calm = pool
    recipe = recipe_of(folder, *STAGES, shard_rows=4, limits=LIMITS, work="node")

    def kill_a_node() -> None:
        while not list((recipe.work / "stages").glob("poison/*.json")):
            time.sleep(0.05)
        cluster.remove_node(sorted(cluster.worker_nodes, key=str)[0], allow_graceful=False)

    killer = threading.Thread(target=kill_a_node, daemon=True)
    killer.start()
    run(recipe)
    killer.join(20)
    assert len(cluster.worker_nodes) == 1
    assert files_of(recipe) == calm
