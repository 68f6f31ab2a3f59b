"""The commands `rope curate annotate`: batches out, answers in, labels made."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rope.curation.annotation.labels import QuestionSummary
    from rope.curation.pipeline.recipe import CurationRecipe

__all__ = ["app"]

app = typer.Typer(help="Export annotation tasks and import the answers.", no_args_is_help=True)

Folder = Annotated[
    Path, typer.Option("--in", metavar="DIR", help="Folder of batches and the ledger.", show_default=False)
]


@app.command()
def export(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe that was run.", show_default=False)],
    folder: Folder,
    question: Annotated[
        Literal["same_product", "product_name", "merge", "precision"],
        typer.Option(
            help="same_product: a clip beside the page of its hint. product_name: one row. merge: what a merge leaves "
            "open. precision: an audit of what is published."
        ),
    ] = "same_product",
    stage: Annotated[
        str | None,
        typer.Option(help="Stage whose kept rows are asked about.", show_default="the one before answers, or the last"),
    ] = None,
    media_prefix: Annotated[
        str, typer.Option("--prefix", metavar="URL", help="URL prefix that is put before the paths of media.")
    ] = "/data/local-files/?d=",
    media_root: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Paths begin below it, a folder or an address.",
            show_default="what the folders of media lie in",
        ),
    ] = None,
    gold: Annotated[
        Path | None, typer.Option(help="CSV of known answers: item_id, answer.", show_default=False)
    ] = None,
    near: Annotated[
        float | None, typer.Option(metavar="CUT", help="Ask about rows near a cut first.", show_default=False)
    ] = None,
    width: Annotated[float, typer.Option(min=0, help="With --near: all rows as near as this.")] = 0.05,
    far: Annotated[float, typer.Option(max=1, help="With --near: share of the other rows, above 0.")] = 0.1,
    column: Annotated[str, typer.Option(help="With --near: the column of the cut.")] = "similarity",
    below: Annotated[
        float | None, typer.Option(help="Of a merge: ask about merged ties below it too.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Items of an audit.")] = 400,
    people: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Who is asked: ann,bob.", show_default="anybody")
    ] = None,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks in a batch.")] = 2000,
    overlap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of items that two people see.", show_default="0.1, of an audit 1"),
    ] = None,
    gold_share: Annotated[float, typer.Option(min=0, max=0.5, help="Share of a batch with known answers.")] = 0.03,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw of overlap and known items.")] = 0,
) -> None:
    """Write what has not been asked yet, and what is open, as batches: for Label Studio, as CSV, and as JSON lines."""
    from rope.curation.annotation.again import exhausted
    from rope.curation.annotation.batches import BatchOptions, NearCut, read_batches, write_batch
    from rope.curation.annotation.export import LEDGER, ExportOptions, plan_export
    from rope.curation.annotation.exports import write_exports
    from rope.curation.annotation.ledger import read_ledger
    from rope.curation.pipeline.recipe import read_recipe

    checked = read_recipe(recipe)
    share = overlap if overlap is not None else (1.0 if question == "precision" else 0.1)
    named = tuple(name.strip() for name in (people or "").split(",") if name.strip())
    cut = BatchOptions(tasks=tasks, overlap=share, gold=gold_share, seed=seed, people=named)
    options = ExportOptions(
        question=question,
        stage=stage,
        gold=gold,
        near=None if near is None else NearCut(near, width, far),
        column=column,
        below=below,
        count=count,
        batches=cut,
    )
    batches, root = plan_export(checked, folder, options), media_root or _media_root(checked, folder)
    for batch in batches:
        write_exports(folder, batch, media_prefix, root)
        write_batch(folder, batch, cut)
        what = ", asked before: open ones, and settled ones to judge somebody new by" if batch.is_again else ""
        typer.echo(f"{folder / batch.name}: {len(batch.tasks):,} tasks{what}; media are below {root}")
    if not batches:
        n_asked = len({task.item.task_id for batch in read_batches(folder) for task in batch.tasks})
        typer.echo(f"{folder}: nothing new to ask; {n_asked:,} tasks were exported before")
    if stuck := exhausted(read_batches(folder), read_ledger(folder / LEDGER), question, named):
        typer.echo(
            f"  {len(stuck):,} items are open though all of {', '.join(named)} have answered them, such as {stuck[0]}; "
            "name somebody else"
        )


@app.command(name="import")
def import_answers(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Answers.", show_default=False)],
    folder: Folder,
    annotators: Annotated[
        str,
        typer.Option(
            metavar="USER=NAME,...",
            help="Who the users of the tool are: 2=ann,3=bob.",
            show_default="users are called as the tasks are assigned",
        ),
    ] = "",
) -> None:
    """Add answers to the ledger: exports of Label Studio (.json), filled-in tables (.csv) or lines (.jsonl)."""
    from rope.curation.annotation.annotators import name_annotators, read_names
    from rope.curation.annotation.batches import read_batches
    from rope.curation.annotation.exports import read_any_answers
    from rope.curation.annotation.ledger import add_answers

    batches, names = read_batches(folder), read_names(annotators)
    for path in files:
        answers = name_annotators(read_any_answers(path), names, batches, path)
        report = add_answers(folder / "ledger", answers, batches)
        typer.echo(f"{path}: {report.n_added:,} answers are new, {report.n_known:,} were known")
        for what, tasks in (
            ("revised", report.revised),
            ("left out, of no batch", report.unknown),
            ("left out, since the media are not those that were exported", report.changed_media),
            ("left out, since the question does not allow the answer", report.not_allowed),
        ):
            if tasks:
                typer.echo(f"  {len(tasks):,} {what}: {', '.join(tasks[:3])}{', ...' if len(tasks) > 3 else ''}")


@app.command()
def labels(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the labels as Parquet.", show_default=False)
    ] = None,
    min_probability: Annotated[
        float, typer.Option(min=0.5, max=1, help="A label with a lower probability stays open.")
    ] = 0.8,
) -> None:
    """Show the progress of annotation and how well people agree; make one label from the answers to each task."""
    from rope.curation.annotation.batches import read_batches
    from rope.curation.annotation.labels import label_table, summarize, write_labels
    from rope.curation.annotation.ledger import read_ledger

    batches, answers = read_batches(folder), read_ledger(folder / "ledger")
    for question, found in summarize(batches, answers).items():
        states = [f"{list(found.batches.values()).count(s)} {s}" for s in sorted(set(found.batches.values()))]
        typer.echo(f"{question}: batches: {', '.join(states)}; {found.n_answers:,} answers; {_alpha(found)}")
        for annotator, score in found.gold.items():
            typer.echo(f"  {annotator}: {score.n_right} of {score.n} known items right")
        for annotator, share in found.accuracy.items():
            typer.echo(f"  {annotator}: about {share:.0%} right, judged by the others")
        if found.n_answers and not found.accuracy and not found.gold:
            typer.echo("  no item was known or answered twice, so answers are taken as they are")
    table = label_table(batches, answers, min_probability)
    n_open = table["label"].null_count
    typer.echo(f"{table.num_rows - n_open:,} labels, {n_open:,} open")
    if out is not None:
        write_labels(table, out)
        typer.echo(f"wrote {out}")


def _media_root(recipe: "CurationRecipe", folder: Path) -> Path:
    """The folder around those that hold media: the pool's, those of `download`, and `MEDIA` for what the pool holds."""
    import os

    from rope.curation.annotation.export import MEDIA
    from rope.curation.pipeline.recipe import stages_of

    pool = recipe.pool_path
    media = [pool if pool.is_dir() else pool.parent] if isinstance(pool, Path) else []
    media += [Path(stage.options["folder"]) for stage in stages_of(recipe, "download")]
    media += [folder / MEDIA] if (folder / MEDIA).is_dir() or not media else []
    return Path(os.path.commonpath([one.absolute().parent for one in media]))


def _alpha(found: "QuestionSummary") -> str:
    return "alpha undefined: nothing to compare" if found.alpha is None else f"alpha {found.alpha:.3f}"
