"""The commands `rope curate`: run a recipe, see its progress, and ask what happened to each row."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rope.console import output, resumable
from rope.curation.annotation.cli import app as annotate

if TYPE_CHECKING:
    from rope.curation.pipeline.accounting import RowFate
    from rope.curation.pipeline.runner import OpenEngine

__all__ = ["app"]

app = typer.Typer(help="Make a dataset from a raw pool with a recipe.", no_args_is_help=True)
app.add_typer(annotate, name="annotate")

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML.", show_default=False)]


AuditFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of an audit, for the precision.", show_default="not measured"),
]


@app.command()
@resumable
def run(
    recipe: RecipeFile,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="local: processes of this machine; ray: a Ray cluster; the same results."),
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Shards at a time.", show_default="one for each core")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Address of the Ray cluster, or auto.", show_default="a new one on this machine")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop after this stage.", show_default="the last")
    ] = None,
    inject_faults: Annotated[
        int | None,
        typer.Option(
            "--inject-faults",
            metavar="SEED",
            help="For tests: strike workers and files; the result is the same.",
            hidden=True,
        ),
    ] = None,
) -> None:
    """Run the stages that are not up to date; repeat it to resume. Ends with the funnel and the row accounting."""
    from rope.curation.pipeline.accounting import audit as check_accounting
    from rope.curation.pipeline.accounting import funnel
    from rope.curation.pipeline.fault_injection import FaultInjection
    from rope.curation.pipeline.places import refuse_memory
    from rope.curation.pipeline.recipe import cut_recipe, read_recipe
    from rope.curation.pipeline.runner import finished_stages, run_recipe
    from rope.curation.report import funnel_table

    checked = read_recipe(recipe)
    refuse_memory(checked.work, checked.pool_path)
    made = checked if until is None else cut_recipe(checked, until)
    with _engines(engine, workers, address) as open_engine:
        run_recipe(
            checked,
            open_engine,
            until=until,
            fault_injection=None if inject_faults is None else FaultInjection(inject_faults),
        )
    output().print(funnel_table(made.name, funnel(finished_stages(made))))
    _end_with(check_accounting(made).problems, recipe)


@app.command()
def status(recipe: RecipeFile) -> None:
    """Show the progress of each stage, and how long its model, if any, waited for rows; changes nothing."""
    from rope.curation.pipeline.costs import model_waits
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.pipeline.runner import stage_states

    checked = read_recipe(recipe)
    waited = model_waits(checked.work)
    for state in stage_states(checked):
        shards = "" if state.state == "waiting" else f", {state.n_done:,} of {state.n_shards:,} shards are there"
        model = f"; the model waited {waited[state.name]:.0%} of its time" if state.name in waited else ""
        typer.echo(f"{state.name}: {state.state}{shards}{model}")


@app.command()
def report(
    recipe: RecipeFile,
    html: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="Write a page with cuts, pictures, merging and the split.", show_default=False
        ),
    ] = None,
    audit: AuditFolder = None,
    leaks: Annotated[bool, typer.Option(help="With --html: look for leaks between the sides of a split.")] = True,
) -> None:
    """Show how many rows each stage has kept, and why it has not kept the others."""
    from rope.curation.pipeline.accounting import funnel
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.pipeline.runner import finished_stages
    from rope.curation.report import funnel_table, make_report
    from rope.files import atomic_path

    checked = read_recipe(recipe)
    output().print(funnel_table(checked.name, funnel(finished_stages(checked))))
    measured = None
    if audit is not None:
        from rope.curation.annotation.export import audited_precision

        measured = audited_precision(checked, audit)
        typer.echo(str(measured))
    if html is not None:
        from rope.curation.page import render_page

        page = render_page(make_report(checked, measured, leaks=leaks))
        with atomic_path(html) as temporary:
            temporary.write_text(page, "utf-8")
        typer.echo(f"wrote {html}")


@app.command()
def why(
    recipe: RecipeFile,
    row_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a row of the pool.", show_default=False)],
    merged_with: Annotated[
        str | None,
        typer.Option(
            metavar="PRODUCT", help="Say why the products ID and PRODUCT are one, or two.", show_default=False
        ),
    ] = None,
) -> None:
    """Show what happened to one row, stage by stage, with the evidence of merging; or why two products are one."""
    from rope.curation.dedup.told import merge_stages, ties_in_words, two_products_in_words
    from rope.curation.pipeline.accounting import trace
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.pipeline.runner import POOL_STAGE, finished_stages

    checked = read_recipe(recipe)
    if merged_with is not None:
        first, *rest = two_products_in_words(checked, row_id, merged_with)
        typer.echo("\n".join([first, *(f"  {line}" for line in rest)]))
        return
    merging = {stage.name for stage in merge_stages(checked)}
    steps = trace(checked, row_id)
    for step in steps:
        typer.echo(_in_words(step))
        if step.stage in merging and step.fate == "kept":
            for line in ties_in_words(finished_stages(checked, to_end=False), step.stage, row_id):
                typer.echo(f"  {line}")
    names = [POOL_STAGE, *(stage.name for stage in checked.stages), ""]
    due = names[names.index(steps[-1].stage) + 1]
    if steps[-1].fate == "kept" and due:
        typer.echo(f"{due}: is not up to date; run: rope curate run {recipe}")


@app.command()
def audit(recipe: RecipeFile) -> None:
    """Prove that every row of the pool is in exactly one of kept, rejected, quarantined and not sampled.

    Of rows that are split, show what leaks between the splits too; more of it than the recipe accepts is a problem.
    """
    from rope.curation.pipeline.accounting import audit as check_accounting
    from rope.curation.pipeline.places import here_of
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.pipeline.runner import finished_stages
    from rope.curation.splitting.leak_audit import to_markdown
    from rope.curation.splitting.recipe_leaks import audit_split, is_split, leaks_refused, write_leaks

    checked = read_recipe(recipe)
    found = check_accounting(checked)
    _end_with(found.problems, recipe)
    shown = ", ".join(f"{n:,} {fate}" for fate, n in found.fates.items())
    typer.echo(f"{recipe}: every row is accounted for; of {found.n_raw:,} rows: {shown}")
    stages = finished_stages(checked)
    if is_split(stages):
        leaks = audit_split(checked, stages)
        typer.echo(f"\n{to_markdown(leaks)}\nListed in {write_leaks(here_of(checked.work), leaks)}.")
        _end_with(tuple(leaks_refused(leaks, checked.leaks)), recipe)


@app.command()
def plan(
    recipe: RecipeFile,
    rows: Annotated[
        float | None, typer.Option(min=1, help="Rows of the pool to plan for, such as 2e9.", show_default="this pool's")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each as fast as one on this machine.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="Accelerators, each as fast as the one here.")] = 0,
    share: Annotated[float, typer.Option(help="Share of this pool to try; about 500 rows at least, or all.")] = 0.001,
    seconds_per_item: Annotated[
        float, typer.Option(min=0, help="Seconds that an annotator spends on a kept row.")
    ] = 20.0,
) -> None:
    """Try a small part of the pool in a temporary folder, and forecast rows, time, storage and annotators' hours.

    What is measured: the share of rows that each stage keeps; what a stage costs once, for each shard and for each row;
    and the size of files. Every interval is of 95 %.
    """
    from rope.curation.forecast import annotator_hours, costs_table, forecast, forecast_table, totals_in_words
    from rope.curation.measure import measure_stages
    from rope.curation.pipeline.recipe import read_recipe

    checked = read_recipe(recipe)
    measures = measure_stages(checked, share, rows)
    made = forecast(measures, workers=workers, gpus=gpus)
    output().print(forecast_table(checked.name, made))
    output().print(costs_table(checked.name, measures.stages))
    for line in totals_in_words(made, annotator_hours(made.stages[-1].kept, seconds_per_item)):
        typer.echo(line)
    for stage in made.stages:
        for what, told in (("not measured", stage.missing), ("assumed of its rows", stage.assumed)):
            if told:
                typer.echo(f"{stage.stage}: {what}: {told}")


@app.command()
def sweep(
    recipe: RecipeFile,
    stage: Annotated[str, typer.Option(help="A filter stage.")] = "filter",
    column: Annotated[str, typer.Option(help="Number that it filters by.")] = "similarity",
    step: Annotated[
        float | None, typer.Option(help="Step between two cuts.", show_default="0.02 of the power of ten above them")
    ] = None,
) -> None:
    """Show how many rows of each domain any cut would keep, from the scores of a run."""
    from rope.curation.filtering.sweep import scale_of, sketch_of, sweep_table
    from rope.curation.pipeline.recipe import read_recipe

    checked = read_recipe(recipe)
    scale = scale_of(checked, stage, column)
    options = next((one.options for one in checked.stages if one.name == stage), {})
    upper = "maximum" in options and "minimum" not in options
    sketch = sketch_of(checked, stage, column, scale)
    output().print(sweep_table(sketch, 0.02 * scale if step is None else step, scale, upper=upper))


@app.command()
def threshold(
    recipe: RecipeFile,
    labels: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Parquet of annotate labels, or CSV: item_id, label.", show_default=False),
    ],
    precision: Annotated[float, typer.Option(help="Share of matches among the rows that a cut keeps.")] = 0.95,
    stage: Annotated[str, typer.Option(help="A filter stage.")] = "filter",
    column: Annotated[str, typer.Option(help="Score that it filters by, from -1 to 1.")] = "similarity",
) -> None:
    """Find the lowest cut of each domain whose precision the labels confirm with 95 % confidence."""
    from rope.curation.annotation.label_files import read_labels
    from rope.curation.filtering.sweep import cuts_from_labels
    from rope.curation.pipeline.recipe import read_recipe

    read = read_labels(labels)
    found = cuts_from_labels(read_recipe(recipe), stage, column, read, precision=precision)
    for domain, cut in found.items():
        shown = "no cut" if cut.cut is None else f"{cut.cut:g}"
        counted = f"{cut.n_labels:,} labels of {cut.n_clusters:,} products, {cut.observed:.1%} of them match"
        typer.echo(f"{domain}: {shown}; {counted}; {cut.statement}")
    if any(one.label == "same" and one.probability is None for one in read):
        typer.echo("nothing judges these labels (no item is known or was answered twice): they are taken at their word")


@app.command()
def precision(
    recipe: RecipeFile,
    folder: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="Folder of the audit and its answers.", show_default=False)
    ],
) -> None:
    """Say how precise the dataset is, with its 95 % interval, from an audit (annotate export --question precision)."""
    from rope.curation.annotation.export import audited_precision
    from rope.curation.pipeline.recipe import read_recipe

    typer.echo(str(audited_precision(read_recipe(recipe), folder)))


@app.command()
def review(
    recipe: RecipeFile,
    folder: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="Folder of batches and the ledger.", show_default=False)
    ],
    annotator: Annotated[
        str, typer.Option(metavar="NAME", help="Who answers: the name in the ledger.", show_default=False)
    ],
    question: Annotated[
        Literal["merge", "same_product", "precision"],
        typer.Option(
            help="What to ask. merge: what a merge leaves open; same_product: a clip and the page of its hint; "
            "precision: an audit of what is published."
        ),
    ] = "merge",
    below: Annotated[
        float | None, typer.Option(help="Of a merge: ask about merged ties below it too.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="At the end write the labels, as annotate labels does.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
) -> None:
    """Ask about pairs on a page of this machine: what a merge leaves open or tied weakly. Ctrl-C ends it.

    Each answer goes into the ledger at once, and the same command continues with the open ones.
    """
    from rope.curation.annotation.batches import BatchOptions, read_batches, write_batch
    from rope.curation.annotation.export import LEDGER, ExportOptions, plan_export
    from rope.curation.annotation.labels import label_table, write_labels
    from rope.curation.annotation.ledger import read_ledger
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.review import ReviewServer, evidence_of, open_review
    from rope.errors import DatasetError

    checked, options = read_recipe(recipe), BatchOptions(overlap=0.0, gold=0.0)
    try:
        due = plan_export(checked, folder, ExportOptions(question=question, below=below, batches=options))
    except DatasetError as error:
        if not any(batch.question == question for batch in read_batches(folder)):
            raise
        due = []
        typer.echo(f"{error}; until then these are the pairs that were exported before")
    for batch in due:
        write_batch(folder, batch, options)
    items = {task.item.item_id for batch in read_batches(folder) for task in batch.tasks}
    opened = open_review(folder, question, annotator, evidence_of(checked, items) if question == "merge" else None)
    typer.echo(f"{opened.n_tasks - opened.n_answered:,} of {opened.n_tasks:,} pairs are open for {opened.annotator}")
    with ReviewServer(opened, port) as server:
        typer.echo(f"open {server.address} and end with Ctrl-C")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    typer.echo(f"\n{opened.n_answered:,} of {opened.n_tasks:,} pairs are answered in {folder / LEDGER}")
    if out is not None:
        write_labels(label_table(read_batches(folder), read_ledger(folder / LEDGER)), out)
        typer.echo(f"wrote {out}")


@app.command()
@resumable
def publish(
    recipe: RecipeFile,
    out: Annotated[
        str,
        typer.Option(
            metavar="DATASET",
            help="Dataset directory to write, or an address such as s3://bucket/spring.",
            show_default=False,
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over where an unfinished output of something else is in the way.")
    ] = False,
    audit: AuditFolder = None,
    accept_unsound: Annotated[
        bool, typer.Option("--accept-unsound", help="Build although audit fails; the card will say why it did.")
    ] = False,
) -> None:
    """Audit what a recipe has kept, build a dataset directory of it, and validate that; repeat it to resume."""
    from rope.curation.pipeline.places import place_of, refuse_memory
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.publish import publish as build
    from rope.dataset.validate import validate

    checked, place = read_recipe(recipe), place_of(out, Path(), is_written=True)
    refuse_memory(place)
    built = build(recipe, checked, place, audit_folder=audit, overwrite=overwrite, accept_unsound=accept_unsound)
    for fault in built.faults:
        typer.echo(f"{out}: {fault.kind}: {fault.count:,}, {fault.rule}")
    if isinstance(place, Path):  # elsewhere it was validated before it was sent
        _end_with(tuple(f"{problem.where}: {problem.what}" for problem in validate(place)), place)
    sizes = [f"{split} {counts['products']:,} products" for split, counts in built.manifest.counts.items()]
    typer.echo(f"{out}: published; {', '.join(sizes)}")


@app.command()
def queries(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="What curate publish has written.", show_default=False)
    ],
    labels: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Parquet of annotate labels, or CSV: item_id, label, question. Answers to product_name become texts; "
            "those about pairs become grades and hard negatives.",
            show_default=False,
        ),
    ],
    split: Annotated[
        Literal["train", "validation"],
        typer.Option(help="train: what models learn from; validation: what results are of."),
    ] = "validation",
) -> None:
    """Make search queries from what annotators called products, and put them beside the samples of a dataset."""
    from rope.curation.queries import make_queries

    table, made = make_queries(dataset, split, labels)
    typer.echo(
        f"{dataset}/{table.name}: {len(table.queries):,} queries; left out: {made.n_elsewhere:,} names of samples "
        f"elsewhere, {made.n_alone:,} of the only sample of a product"
    )


def _end_with(problems: tuple[str, ...], place: Path) -> None:
    for problem in problems:
        typer.echo(f"{place}: {problem}")
    if problems:
        raise typer.Exit(1)


def _in_words(step: "RowFate") -> str:
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
        from rope.curation.pipeline.engine_local import local_engine

        yield lambda needs_gpu: local_engine(1 if needs_gpu else workers)
        return
    from rope.curation.pipeline.engine_ray import ray_connection, ray_engine

    with ray_connection(address, workers):
        yield lambda needs_gpu: ray_engine(workers, needs_gpu=needs_gpu)
