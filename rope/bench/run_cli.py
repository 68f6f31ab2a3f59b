"""The command `rope-bench run`.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rope.bench.compute_options import Device, Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, write_csv
from rope.bench.dims_option import read_dims
from rope.bench.json_option import put
from rope.bench.score_cli import Dims, RanksFile, ResultFile, Seed, Shots, TrainingSeed, Trials, show_reports
from rope.bench.shared_options import SplitOption
from rope.bench.transform_options import Centre, Csls, Whiten, read_transform
from rope.console import dataset_of, resumable
from rope.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from rope.bench.result import Report

__all__ = ["run"]

SeveralData = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR",
        help="Dataset directory, or its address, such as s3://bucket/OUT. May be given more than once; --out is then a "
        "folder with a folder for each, and a table of all follows.",
        show_default="$ROPE_DATA, else that of 'rope use', else the one built last",
    ),
]


@resumable
def run(
    model: Annotated[
        list[str],
        typer.Option(
            help="The embedder, as module:object, e.g. baselines:handcrafted or my_model:Model?size=large. May be "
            "given more than once; --out is then a folder, and files of results get the names of the models.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Keep the embeddings here, as Parquet.")],
    data: SeveralData = None,
    split: SplitOption = "validation",
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per call of the embedder.")] = 64,
    share: Annotated[
        str | None,
        typer.Option(
            help="Embed only one share, 0/2 or 1/2 for two processes, and score nothing; when all have ended, the "
            "same command without --share joins and scores.",
            show_default="all",
        ),
    ] = None,
    gpus: Annotated[
        str | None,
        typer.Option(
            metavar="all|N,...", help="Divide the embedding among these GPUs, a process each.", show_default="one"
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Divide the embedding among so many processes of this machine.", show_default="1"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over: delete the vectors of an earlier run first.")
    ] = False,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Don't embed a few samples again in another batch to see that their vectors stay the same.",
        ),
    ] = False,
    training_seed: TrainingSeed = None,
    seed: Seed = 0,
    trials: Trials = 20,
    shots: Shots = 1,
    memory: Memory = None,
    threads: Threads = None,
    device: Device = "cpu",
    centre: Centre = None,
    whiten: Whiten = None,
    csls: Csls = None,
    dims: Dims = None,
    json: ResultFile = None,
    csv: CsvFile = None,
    save_ranks: RanksFile = None,
    with_queries: Annotated[
        Path | None,
        typer.Option(
            "--queries",
            metavar="JSON",
            dir_okay=False,
            help="Embed the search queries of the dataset too, next to OUT, and write what they score here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Embed every sample with a model, keep the vectors, and score them. Resumes where it was stopped."""
    from rope.bench.evaluation import evaluate
    from rope.bench.one_shot import Draws
    from rope.bench.queries.evaluation import evaluate_queries
    from rope.bench.queries.run import embed_queries
    from rope.bench.running.embedder import find_embedder
    from rope.bench.running.run import discard, run_embedder
    from rope.bench.running.share import parse_share
    from rope.bench.several_runs import RunFiles, check_several, embed_in_shares, summary_table
    from rope.dataset.manifest import read_manifest
    from rope.dataset.queries import read_queries

    own = None if share is None else parse_share(share)
    transform = read_transform(centre, whiten, csls)
    if transform is not None and (len(model) > 1 or len(data or []) > 1):
        raise UsageError("--centre, --whiten and --csls: take vectors of one model on one dataset; run each apart")
    if with_queries is not None and (transform is not None or dims is not None):
        raise UsageError(
            "--queries: scores the vectors as they are; leave out --centre, --whiten, --csls and --dims, or --queries"
        )
    check_several(model, data or [], out, json, share=share, gpus=gpus, processes=processes)
    draws, compute, rows = Draws(seed, trials, shots), read_compute(memory, threads, device), read_dims(dims, json)
    directories = [dataset_of(each) for each in data] if data else [dataset_of(None)]
    names = [read_manifest(directory).name for directory in directories]
    if with_queries is not None:  # a model may take hours; what it is to embed last is looked for first
        for directory in directories:
            read_queries(directory, split)
    files, scored = RunFiles(out, len(model), names), list["Report"]()
    for one, (directory, name) in product(model, zip(directories, names, strict=True)):
        embedder, origin = find_embedder(one)
        file = files.vectors(embedder.name, name)
        if gpus is not None or processes is not None:
            words = ["--data", str(directory), "--split", split, "--batch-size", str(batch_size)]
            words += ["--no-check"] if no_check else []
            if overwrite:
                discard(embedder, directory, file, split, batch_size, origin)
            embed_in_shares(one, file, directory, split, batch_size, words, gpus=gpus, processes=processes)
        run_embedder(
            embedder,
            directory,
            file,
            split=split,
            batch_size=batch_size,
            share=own,
            overwrite=overwrite and gpus is None and processes is None,
            check=not no_check,
            origin=origin,
            report=lambda done, name=embedder.name: typer.echo(done.sentence(name), err=True),  # type: ignore[misc]
        )
        if spent := getattr(embedder, "spent", ""):
            typer.echo(spent, err=True)
        if own is not None:
            typer.echo(
                f"share {share} is embedded; when all are, join and score them: the same command without --share"
            )
            continue
        of_model = getattr(embedder, "training_seed", None) if training_seed is None else training_seed
        result, ranks = (files.result(path, embedder.name, name) for path in (json, save_ranks))
        try:
            evaluated: Callable[..., Report] = partial(
                evaluate,
                [file],
                directory,
                split=split,
                name=embedder.name,
                draws=draws,
                compute=compute,
                training_seed=of_model,
                missing="given",
                transform=transform,
                progress=True,
            )
            scored += show_reports(lambda n, one=evaluated: one(dims=n), rows, result, ranks, csv)  # type: ignore[misc]
        except DatasetError as error:
            if with_queries is None:
                raise
            typer.echo(f"no pairs are scored: {error}", err=True)  # a dataset may be there for its queries alone
        if with_queries is not None:
            asked = embed_queries(
                embedder,
                directory,
                file.with_suffix(".queries.parquet"),
                split=split,
                batch_size=batch_size,
                origin=origin,
                overwrite=overwrite,
                check=not no_check,
            )
            found = evaluate_queries(
                [file, asked], directory, split=split, name=embedder.name, compute=compute, missing="given"
            )
            put(found.shown, files.result(with_queries, embedder.name, name), found.plain, csv)
    if csv is not None and own is None:
        write_csv(csv, [row for report in scored for row in report.to_rows()])
    if len(directories) > 1 and scored:
        put([summary_table(scored)], None, {}, csv)
