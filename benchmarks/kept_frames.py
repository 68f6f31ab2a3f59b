"""What `keep_frames` saves: preparing the batches of `tiny`, with frames decoded at every visit and decoded once.

    python benchmarks/kept_frames.py DATASET [--preset tiny] [--epochs 6]

Processor time of the process that reads, in milliseconds a step, without workers and without a model; and what decoding
once costs, which a run pays at its beginning.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from cope.beginning import make_model, make_reader
from cope.data import training_products
from cope.kept_frames import keep_frames, read_kept
from cope.recipe import TrainingRecipe, read_recipe
from rope.feed import ClipReader, Feed, ProcessShare
from rope.feed.clips import SampleReader


def milliseconds_a_step(directory: Path, recipe: TrainingRecipe, reader: SampleReader, epochs: int) -> float:
    feed = Feed(training_products(directory, recipe, ProcessShare(0, 1), reader))
    started, steps = time.process_time(), 0
    for _ in range(epochs):
        steps += sum(1 for _ in feed)
    return 1000 * (time.process_time() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.preset)
    plain = make_reader(recipe, make_model(arguments.dataset, recipe)[0], None)
    assert isinstance(plain, ClipReader), "a pretrained tower prepares its own frames"
    with TemporaryDirectory() as folder:
        started = time.process_time()
        keep_frames(Path(folder) / "frames", arguments.dataset, plain)
        once = time.process_time() - started
        readers: dict[str, SampleReader] = {
            "decoded at every visit": plain,
            "decoded once": read_kept(Path(folder) / "frames", plain),
        }
        table = Table("frames", f"ms a step of {recipe.batch_size} products")
        for name, reader in readers.items():
            found = milliseconds_a_step(arguments.dataset, recipe, reader, arguments.epochs)
            table.add_row(name, f"{found:.1f}")
    console = Console()
    console.print(table)
    console.print(f"decoding once: {once:.1f} s")


if __name__ == "__main__":
    main()
