"""What a step of COPE's training costs on one thread of a CPU, and how much of it are convolutions.

    python benchmarks/cope_step.py DATASET [--preset tiny] [--steps 60]

Processor time of the steps of a run, from the difference of a longer and a shorter one, and what torch's profiler says
of the operations. Batches are prepared by one worker meanwhile, whose time is not counted.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile

from cope.recipe import TrainingRecipe, read_recipe
from cope.train import train

BEFORE = 10
"""Steps of the shorter run."""

PARTS = {
    "convolutions, forward": ("aten::mkldnn_convolution", "aten::thnn_conv2d", "aten::_slow_conv2d_forward"),
    "convolutions, backward": ("aten::convolution_backward",),
    "optimiser": ("Optimizer.step#AdamW.step",),
}


def run(directory: Path, recipe: TrainingRecipe, steps: int) -> float:
    """Processor seconds of this process for so many steps, with what a run does before its first one."""
    with TemporaryDirectory() as folder:
        started = time.process_time()
        train(directory, Path(folder) / "run", recipe, num_workers=1, stop_after=steps, progress=False)
        return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe, steps = read_recipe(arguments.preset), arguments.steps
    run(arguments.dataset, recipe, 1)  # imports, and what is cached
    once, taken = run(arguments.dataset, recipe, BEFORE), run(arguments.dataset, recipe, BEFORE + steps)
    print(f"{arguments.preset}: {1000 * (taken - once) / steps:.1f} ms a step")
    with profile(activities=[ProfilerActivity.CPU]) as found:
        run(arguments.dataset, recipe, steps)
    times = {one.key: one.cpu_time_total for one in found.key_averages()}
    for part, names in PARTS.items():
        print(f"{part}: {sum(times.get(name, 0.0) for name in names) / 1000 / steps:.1f} ms a step, by the profiler")


if __name__ == "__main__":
    main()
