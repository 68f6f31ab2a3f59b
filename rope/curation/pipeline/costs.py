"""What each shard has cost: time, processor time and, of a stage with a model, how long the model waited for rows.

A log in the folder of work, a line a shard, in the order in which they were done. It decides nothing: a run without it
makes the same files.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final, TextIO

from rope.curation.pipeline.places import here_of
from rope.files import AnyPath

__all__ = ["ShardCost", "costs_log", "model_waits", "read_costs", "write_cost"]

_LOG: Final = "costs.jsonl"


@dataclass(frozen=True, slots=True)
class ShardCost:
    """What it has cost to make a shard.

    Attributes:
        stage: name of the stage.
        shard: name of the shard.
        rows: that went in.
        seconds: from the beginning of the worker's task to its end.
        processor_seconds: of all threads of the worker meanwhile.
        model_seconds: that the model computed; None of a stage that says nothing about a model.
        waited_seconds: that the model waited for prepared rows; None as before.
    """

    stage: str
    shard: str
    rows: int
    seconds: float
    processor_seconds: float
    model_seconds: float | None = None
    waited_seconds: float | None = None


@contextmanager
def costs_log(work: AnyPath) -> Iterator[TextIO]:
    """The log of a folder of work, open to add lines; of a folder elsewhere it is on this machine."""
    folder = here_of(work)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOG).open("a", encoding="utf-8") as file:
        yield file


def write_cost(file: TextIO, cost: ShardCost) -> None:
    """Add a shard to a log at once, as a run may be killed at any moment."""
    file.write(json.dumps(asdict(cost)) + "\n")
    file.flush()


def read_costs(work: AnyPath, shards: Collection[str] | None = None) -> dict[str, ShardCost]:
    """The last cost of each shard, or of some, by their names; those made before there was a log, or elsewhere, lack.

    A line that was cut off by the end of a run is left out.
    """
    path = here_of(work) / _LOG
    found: dict[str, ShardCost] = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            cost = ShardCost(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if shards is None or cost.shard in shards:
            found[cost.shard] = cost
    return found


def model_waits(work: AnyPath) -> dict[str, float]:
    """Stage with a model -> the share of its time in which the model waited for rows, over shards that are there."""
    model, waited = defaultdict[str, float](float), defaultdict[str, float](float)
    for cost in read_costs(work).values():
        is_there = (work / "stages" / cost.stage / f"{cost.shard}.json").is_file()
        if is_there and cost.model_seconds is not None and cost.waited_seconds is not None:
            model[cost.stage] += cost.model_seconds
            waited[cost.stage] += cost.waited_seconds
    return {stage: waited[stage] / (model[stage] + waited[stage]) for stage in model}
