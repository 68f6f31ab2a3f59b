"""The command `cope`."""

from pathlib import Path
from typing import Annotated

import typer

from cope.onnx_cli import export
from rope.console import new_app, resumable, run_app
from rope.extras import needed_by

__all__ = ["app", "main"]

app = new_app("COPE: train, and print recipes.")


@app.command()
@resumable
def train(
    data: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset directory.", show_default=False)],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the run; a stopped run resumes.", show_default=False)
    ],
    preset: Annotated[str, typer.Option(help="A recipe that comes with cope: see `cope recipes`.")] = "paper",
    config: Annotated[
        Path | None, typer.Option("--recipe", help="Your own recipe, a YAML file.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Decoding processes.")] = 0,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Cache of the features of frozen towers; by default the user's cache folder.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="TRACKER", help="tensorboard, wandb, trackio, ...; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Train a model. On several GPUs: accelerate launch --multi-gpu -m cope train ..."""
    with needed_by("cope train", "cope"):
        from cope.recipe import read_recipe
        from cope.train import train as run

    recipe = read_recipe(str(config) if config else preset)
    report = run(data, out, recipe, num_workers=workers, trackers=tuple(log or ()), cache=cache)
    if report is not None:
        damaged = f"; {report.n_damaged:,} samples could not be decoded and were replaced" if report.n_damaged else ""
        typer.echo(f"{out}: {report.steps:,} steps, mean R@1 {report.headline:.2f} on the validation split{damaged}")
        typer.echo(f"Score it: rope-bench run --model cope:{out} --data {data} --out embeddings.parquet")


@app.command()
def recipes() -> None:
    """List the recipes that come with cope, and what each is for."""
    with needed_by("cope recipes", "cope"):
        from cope.recipe import PRESETS, preset_purpose

    for name in PRESETS:
        typer.echo(f"{name:24} {preset_purpose(name)}")


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="A preset, or a YAML file.", show_default=False)],
) -> None:
    """Print a recipe with every field, as a start for your own."""
    with needed_by("cope recipe", "cope"):
        from cope.recipe import read_recipe, recipe_text

    typer.echo(recipe_text(read_recipe(name)), nl=False)


app.command()(export)


def main() -> None:
    """Run `cope`; the process ends with its exit code."""
    run_app(app)
