"""Whole runs of `cope train` by several versions of the code, in turns: steps a second, by the clock and by processor.

    git worktree add --detach ../before COMMIT
    python benchmarks/cope_train.py DATASET now=. before=../before [older=../older:RECIPE.yaml] [--rounds 2]

Each version is NAME=FOLDER or NAME=FOLDER:RECIPE, a checkout and what it trains, by default the preset `tiny`. All run
with the packages of this Python, one worker and one thread, and in an order that turns around with every round. Start,
decoding, scores and saved states count. The smallest of the rounds is shown.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Version:
    """Code and what it trains."""

    name: str
    folder: Path
    recipe: str


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a whole run, workers included; seconds."""

    steps: int
    clock: float
    processor: float
    headline: float


def version(text: str) -> Version:
    name, _, rest = text.partition("=")
    folder, _, recipe = rest.partition(":")
    return Version(name, Path(folder).resolve(), recipe or "tiny")


def run(code: Version, dataset: Path) -> Costs:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        arguments = [str(dataset.resolve()), "--preset", code.recipe, "--out", str(out), "--workers", "1"]
        environment = {**os.environ, "PYTHONPATH": str(code.folder), "OMP_NUM_THREADS": "1"}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cope", "train", *arguments],
            check=True, cwd=code.folder, env=environment, capture_output=True,
        )  # fmt: skip
        clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        last = json.loads((out / "log.jsonl").read_text("utf-8").splitlines()[-1])
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Costs(last["step"], clock, processor, last["mean R@1"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("versions", nargs="+", type=version)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    found: dict[str, list[Costs]] = {code.name: [] for code in given.versions}
    for round_number in range(given.rounds):
        for code in given.versions[:: -1 if round_number % 2 else 1]:
            found[code.name].append(run(code, given.dataset))
    table = Table("code", "s", "steps a s", "processor s", "ms of it a step", "mean R@1")
    for name, runs in found.items():
        clock, processor = min(one.clock for one in runs), min(one.processor for one in runs)
        steps = runs[0].steps
        table.add_row(
            name, f"{clock:.1f}", f"{steps / clock:.1f}", f"{processor:.1f}", f"{1000 * processor / steps:.1f}",
            f"{runs[0].headline:.2f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
