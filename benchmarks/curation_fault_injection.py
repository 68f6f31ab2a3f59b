"""Runs of a recipe with injected faults, each of which must end with the bytes of an undisturbed run.

    python -m benchmarks.curation_fault_injection [--runs 100] [--engine local|ray]

Workers raise, segfault, hang and are killed; files are torn, get a wrong byte, or meet a full disk: three tasks in ten
are struck, in their first and second attempts. The recipe has a stage that quarantines a row, one that rejects one, a
row that kills its worker, and a stage that must see all rows. On Ray the workers are on a cluster of two nodes of one
core, on this machine.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rope.curation.pipeline.fault_injection import FAULTS, FaultInjection
from rope.curation.pipeline.runner import OpenEngine, run_recipe
from rope.curation.pipeline.shard_job import ShardAttempt
from rope.curation.pipeline.supervisor import Ended, Engine
from tests.curation.pools import HALF, POISON, files_of, local, recipe_of

STAGES = (POISON + 'raises = ["r01"]\nrejects = ["r11"]\nsegfaults = ["r08"]', HALF + "parts = 2")
LIMITS = "deadline_s = {0}\nglobal_deadline_s = {0}\nrow_deadline_s = 0.0"


class Counted:
    """An engine that counts how tasks ended; see `rope.curation.pipeline.supervisor.Engine`."""

    def __init__(self, engine: Engine, ends: Counter[str]) -> None:
        self._engine, self._ends = engine, ends

    @property
    def slots(self) -> int:
        return self._engine.slots

    def submit(self, task: ShardAttempt) -> None:
        self._engine.submit(task)

    def wait(self) -> list[Ended]:
        ended = self._engine.wait()
        self._ends.update(one.how for one in ended)
        return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--deadline", type=float, default=2.0, help="Seconds of a task's first attempt.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, engines(options.engine) as open_engine:
        repeat(Path(folder), open_engine, options.runs, LIMITS.format(options.deadline))


def repeat(folder: Path, open_engine: OpenEngine, n_runs: int, limits: str) -> None:
    """Run the recipe undisturbed and then `n_runs` times with injected faults, and print how many ended alike."""
    calm = recipe_of(folder, *STAGES, n_rows=12, shard_rows=6, limits=limits, work="calm")
    run_recipe(calm, local(), progress=False)
    expected, began = files_of(calm), time.perf_counter()
    ends = Counter[str]()

    @contextlib.contextmanager
    def counted(needs_gpu: bool) -> Iterator[Counted]:
        with open_engine(needs_gpu) as engine:
            yield Counted(engine, ends)

    n_same = 0
    for seed in range(n_runs):
        recipe = recipe_of(folder, *STAGES, limits=limits, work=f"struck{seed}", shard_rows=6)
        run_recipe(recipe, counted, fault_injection=FaultInjection(seed, faults=FAULTS), progress=False)
        is_same = files_of(recipe) == expected
        n_same += is_same
        if not is_same:
            print(f"seed {seed}: other bytes", flush=True)
        if seed % 10 == 9:
            print(f"{n_same} of {seed + 1}", file=sys.stderr, flush=True)
    seconds = (time.perf_counter() - began) / max(n_runs, 1)
    how = ", ".join(f"{n:,} {word}" for word, n in sorted(ends.items()))
    print(f"{n_same} of {n_runs} runs end with the bytes of the calm run; {seconds:.1f} s a run; tasks: {how}")


@contextlib.contextmanager
def engines(name: str) -> Iterator[OpenEngine]:
    """The function that opens engines of a kind, of two workers."""
    if name == "local":
        yield local()
        return
    from ray.cluster_utils import Cluster

    from rope.curation.pipeline.engine_ray import ray_connection, ray_engine

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        with ray_connection(cluster.address, None):
            yield lambda needs_gpu: ray_engine(None, needs_gpu=needs_gpu)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
