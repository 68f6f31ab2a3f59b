"""The commands `rope curate`: run a recipe, see how far it is, and ask what became of every row."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rope.console import output

if TYPE_CHECKING:
    from rope.curation.books import Step
    from rope.curation.runner import OpenEngine

__all__ = ["app"]

app = typer.Typer(help="Make a dataset of a raw pool, by a recipe.", no_args_is_help=True)

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML.", show_default=False)]


@app.command()
def run(
    recipe: RecipeFile,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Processes of this machine, or a Ray cluster; the same results.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Shards at a time.", show_default="one for each core")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, or auto.", show_default="a new one on this machine")
    ] = None,
    chaos: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="For tests: strike workers and files; the result is the same.", hidden=True),
    ] = None,
) -> None:
    """Run what is not up to date; repeat it to go on where it stopped. Ends with the funnel, and checks the books."""
    from rope.curation.books import audit as check_books
    from rope.curation.books import funnel
    from rope.curation.chaos import Chaos
    from rope.curation.recipe import read_recipe
    from rope.curation.report import funnel_table
    from rope.curation.runner import finished_stages, run_recipe

    checked = read_recipe(recipe)
    with _engines(engine, workers, address) as open_engine:
        run_recipe(checked, open_engine, chaos=None if chaos is None else Chaos(chaos))
    output().print(funnel_table(checked.name, funnel(finished_stages(checked))))
    _end_with(check_books(checked).problems, recipe)


@app.command()
def status(recipe: RecipeFile) -> None:
    """Say how far each stage is, and change nothing."""
    from rope.curation.recipe import read_recipe
    from rope.curation.runner import stage_states

    for state in stage_states(read_recipe(recipe)):
        shards = "" if state.state == "waiting" else f", {state.n_done:,} of {state.n_shards:,} shards are there"
        typer.echo(f"{state.name}: {state.state}{shards}")


@app.command()
def report(
    recipe: RecipeFile,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with scores and example images too.", show_default=False)
    ] = None,
) -> None:
    """Show how many rows each stage has kept, and why it has not kept the others."""
    from rope.curation.books import funnel
    from rope.curation.recipe import read_recipe
    from rope.curation.report import funnel_table, make_report
    from rope.curation.runner import finished_stages
    from rope.files import atomic_path

    checked = read_recipe(recipe)
    output().print(funnel_table(checked.name, funnel(finished_stages(checked))))
    if html is not None:
        from rope.curation.page import render_page

        page = render_page(make_report(checked))
        with atomic_path(html) as temporary:
            temporary.write_text(page, "utf-8")
        typer.echo(f"wrote {html}")


@app.command()
def why(
    recipe: RecipeFile,
    row_id: Annotated[str, typer.Argument(metavar="ID", help="Of a row of the pool.", show_default=False)],
) -> None:
    """Say what became of one row, stage by stage."""
    from rope.curation.books import trace
    from rope.curation.recipe import read_recipe

    for step in trace(read_recipe(recipe), row_id):
        typer.echo(_in_words(step))


@app.command()
def audit(recipe: RecipeFile) -> None:
    """Prove that every row of the pool is in exactly one of kept, rejected, quarantined and not sampled."""
    from rope.curation.books import audit as check_books
    from rope.curation.recipe import read_recipe

    found = check_books(read_recipe(recipe))
    if not found.problems:
        shown = ", ".join(f"{n:,} {fate}" for fate, n in found.fates.items())
        typer.echo(f"{recipe}: the books close; of {found.n_raw:,} rows: {shown}")
    _end_with(found.problems, recipe)


def _end_with(problems: tuple[str, ...], recipe: Path) -> None:
    for problem in problems:
        typer.echo(f"{recipe}: {problem}")
    if problems:
        raise typer.Exit(1)


def _in_words(step: "Step") -> str:
    if step.fate == "kept":
        values = ", ".join(f"{name} {value}" for name, value in step.values.items() if value is not None)
        return f"{step.stage}: kept" + (f"; {values}" if values else "")
    reason = "" if step.reason == step.fate else f": {step.reason}"
    score = "" if step.score is None else f", score {step.score:g}"
    return f"{step.stage}: {step.fate}{reason}{score}" + (f"; {step.detail}" if step.detail else "")


@contextmanager
def _engines(engine: str, workers: int | None, address: str | None) -> "Iterator[OpenEngine]":
    """The function that opens engines of a kind."""
    if engine == "local":
        from rope.curation.engines.local import local_engine

        yield lambda needs_gpu: local_engine(1 if needs_gpu else workers)
        return
    from rope.curation.engines.ray import ray_connection, ray_engine

    with ray_connection(address, workers):
        yield lambda needs_gpu: ray_engine(workers, needs_gpu=needs_gpu)
