"""The command `rope-bench`: score files of embeddings, or run an embedder and score what it gives.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rope.bench.attributes.cli import attributes, tail
from rope.bench.compute_options import Device, Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, put_answer, write_csv
from rope.bench.dims_option import file_of, read_dims
from rope.bench.failures.cli import gallery
from rope.bench.json_option import STDOUT, JsonFile, is_file, put
from rope.bench.queries.cli import queries
from rope.bench.recommend.cli import recommend
from rope.bench.rerank.cli import rerank
from rope.bench.shared_options import Data, Name, SplitOption
from rope.bench.transform_options import Centre, Csls, Whiten, read_transform
from rope.bench.tsne_cli import tsne
from rope.console import dataset_of, new_app, resumable, run_app
from rope.domain import Split
from rope.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from rope.bench.io.embeddings import Missing
    from rope.bench.one_shot import Draws
    from rope.bench.ranking.engine import ComputeSettings
    from rope.bench.result import Report
    from rope.bench.transform import VectorTransform
    from rope.files import AnyPath

__all__ = ["main"]

app = new_app("Score cross-domain product representations: retrieval between domains and one-shot classification.")

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="EMB...",
        help="Files or folders of embeddings: Parquet (domain, sample_id, embedding), .npy with ids, .npz, "
        ".safetensors, or the TSV dumps of COPE's infer.py.",
    ),
]
SeveralData = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR",
        help="Dataset directory, or its address, such as s3://bucket/OUT. May be given more than once; --out is then a "
        "folder with a folder for each, and a table of all follows.",
        show_default="$ROPE_DATA, else that of 'rope use', else the one built last",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the support sets of one-shot classification.")]
Trials = Annotated[int, typer.Option(min=1, help="Draws of the support set.")]
TrainingSeed = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Seed of the training run that made the model, which the result keeps.",
        show_default="as the model says",
    ),
]
MissingOption = Annotated[
    Literal["refuse", "last"],
    typer.Option(
        "--missing", help="Samples without a vector. refuse: end with an error; last: rank them last and say how many."
    ),
]
Dims = Annotated[
    str | None,
    typer.Option(
        metavar="N,...",
        help="Score the first N numbers of each vector (Matryoshka), each N as a row: 256,512,full.",
        show_default="full",
    ),
]
Shots = Annotated[int, typer.Option(min=1, help="Samples of each product in the support set.")]
ResultFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        dir_okay=False,
        help="Write the result as JSON here, and its ranks next to it; - is stdout, and the tables go to stderr.",
        show_default=False,
    ),
]
RanksFile = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="Write the rank of every query here, as Parquet.", show_default="beside --json"),
]


@app.command()
def score(
    files: Files,
    data: Data = None,
    split: SplitOption = "validation",
    name: Name = None,
    training_seed: TrainingSeed = None,
    seed: Seed = 0,
    trials: Trials = 20,
    shots: Shots = 1,
    memory: Memory = None,
    threads: Threads = None,
    device: Device = "cpu",
    missing: MissingOption = "refuse",
    centre: Centre = None,
    whiten: Whiten = None,
    csls: Csls = None,
    dims: Dims = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Print R@k, MRR and median rank of the cross-domain pairs and nothing else: several times as fast.",
        ),
    ] = False,
    share: Annotated[
        str | None,
        typer.Option(
            help="Score only one share of the queries, 0/8 to 7/8 for eight machines, into the folder --shares; when "
            "all are there, the same command without --share puts them together.",
            show_default="all",
        ),
    ] = None,
    shares: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Folder with what all shares scored.", show_default=False),
    ] = None,
    json: ResultFile = None,
    csv: CsvFile = None,
    save_ranks: RanksFile = None,
) -> None:
    """Score embeddings that are already on disk."""
    from rope.bench.evaluation import evaluate, score_one_share
    from rope.bench.one_shot import Draws
    from rope.bench.running.share import parse_share

    compute, rows = read_compute(memory, threads, device), read_dims(dims, json)
    transform = read_transform(centre, whiten, csls)
    if (share is not None or shares is not None) and (quick or len(rows) > 1):
        raise UsageError("--share and --shares: not with --quick, and with one number of --dims")
    if share is not None:
        parse_share(share)  # before a dataset is looked for
        if shares is None or json is not None or csv is not None or save_ranks is not None:
            raise UsageError("--share: writes to the folder --shares DIR and nothing else; give that alone")
        written = score_one_share(
            files,
            dataset_of(data),
            share=share,
            shares=shares,
            split=split,
            draws=Draws(seed, trials, shots),
            compute=compute,
            missing=missing,
            transform=transform,
            dims=rows[0],
            progress=True,
        )
        put([f"wrote {written}; when all shares are there, the same command without --share scores them"], None, {})
        return
    if not quick:
        draws, directory = Draws(seed, trials, shots), dataset_of(data)
        scored = _score(
            files,
            directory,
            split,
            name,
            draws,
            compute,
            json,
            save_ranks,
            training_seed,
            missing,
            rows,
            transform,
            shares,
            csv,
        )
        if csv is not None:
            write_csv(csv, [row for report in scored for row in report.to_rows()])
        return
    if save_ranks is not None:
        raise UsageError("--quick: a quick score has no ranks to keep; leave out --quick, or --save-ranks")
    quick_rows: list[dict[str, object]] = []
    for n in rows:
        report = evaluate(
            files,
            dataset_of(data),
            split=split,
            name=name,
            quick=True,
            compute=compute,
            training_seed=training_seed,
            missing=missing,
            transform=transform,
            dims=n,
        )
        put(report.tables(), file_of(json, n, rows), report.to_dict(), csv)
        quick_rows += report.to_rows()
    if csv is not None:
        write_csv(csv, quick_rows)


@app.command()
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
    from rope.bench.one_shot import Draws
    from rope.bench.queries.evaluation import evaluate_queries
    from rope.bench.queries.run import embed_queries
    from rope.bench.running.embedder import find_embedder
    from rope.bench.running.run import discard, run_embedder
    from rope.bench.running.share import parse_share
    from rope.bench.several_runs import RunFiles, check_several, embed_in_shares, summary_table
    from rope.dataset.manifest import read_manifest

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
            scored += _score(
                [file],
                directory,
                split,
                embedder.name,
                draws,
                compute,
                result,
                ranks,
                of_model,
                "given",
                rows,
                transform,
                csv=csv,
            )
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


def _score(
    files: list[Path],
    directory: "AnyPath",
    split: Split,
    model: str | None,
    draws: "Draws",
    compute: "ComputeSettings",
    json: Path | None,
    save_ranks: Path | None,
    training_seed: int | None,
    missing: "Missing",
    dims: list[int | None],
    transform: "VectorTransform | None" = None,
    shares: Path | None = None,
    csv: Path | None = None,
) -> "list[Report]":
    """Score, show and write; of `csv` only whether it is stdout counts."""
    from rope.bench.evaluation import evaluate

    reports = []
    for n in dims:
        report = evaluate(
            files,
            directory,
            split=split,
            name=model,
            draws=draws,
            compute=compute,
            training_seed=training_seed,
            missing=missing,
            transform=transform,
            dims=n,
            shares=shares,
            progress=True,
        )
        result = file_of(json, n, dims)
        ranks = file_of(save_ranks, n, dims) or (result.with_suffix(".ranks.parquet") if is_file(result) else None)
        shown = report.tables()
        if ranks is not None:
            shown.append(f"wrote {report.save_ranks(ranks)}")
        put(shown, result, report.to_dict(ranks), csv)
        reports.append(report)
    return reports


@app.command()
def compare(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RESULT...]", help="Files of score --json, each a model of one run.", show_default=False
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Several training runs of one model: NAME=FILE,FILE or NAME='runs/tiny-*.json', or just a pattern, "
            "'tiny-*', for the RESULTs whose model it matches. May be given more than once.",
            show_default=False,
        ),
    ] = None,
    pair_seeds: Annotated[
        bool,
        typer.Option(
            "--pair-seeds",
            help="Compare runs of the same seed with each other: for models that share the draws of their training.",
        ),
    ] = False,
    metric: Annotated[str, typer.Option(help="R@k, recall@k (k = 1, 5, 10, 20, 50), MRR or mAP.")] = "R@1",
    style: Annotated[
        Literal["table", "markdown", "latex", "json"],
        typer.Option(
            "--format",
            help="table: for a terminal; markdown: for a page; latex: for a paper; json: as --json. Bold only where "
            "the best is significantly better.",
        ),
    ] = "table",
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Compare models on one dataset: differences, intervals, tests paired by product, and ranks that ties share."""
    from dataclasses import replace

    from rope.bench.questions import compare as compare_results
    from rope.bench.stats.compare_tables import as_latex, as_markdown
    from rope.bench.stats.seed_groups import read_groups

    answer = compare_results(read_groups(results or [], group or []), metric, pair_seeds=pair_seeds)
    if style == "table":
        put_answer(answer, json, csv)
        return
    if style == "json":
        text = answer.to_json()
    else:
        text = as_markdown(answer.value) if style == "markdown" else as_latex(answer.value)
    typer.echo(text, nl=False, err=STDOUT in (json, csv))
    put_answer(replace(answer, shown=[]), json, csv)


@app.command()
def slices(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A file of score --json.")],
    data: Data = None,
    pair: Annotated[str, typer.Option(help="P2V and so on, or mean for the mean of the cross-domain pairs.")] = "mean",
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Show R@k by category, text length, number of positives, and size of the product."""
    from rope.bench.questions import slices as slice_result
    from rope.bench.stats.query_ranks import load_ranks

    ranks = load_ranks(result)  # before a dataset is looked for, which is of no use to a file that is not a result
    answer = slice_result(ranks, dataset_of(data), pair=pair)
    put_answer(answer, json, csv)


@app.command()
def doctor(
    files: Files,
    data: Data = None,
    split: SplitOption = "validation",
    name: Name = None,
    memory: Memory = None,
    threads: Threads = None,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the page here.", show_default=False)] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Show the worst hubs on the page; mind the licence of the images.")
    ] = False,
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Diagnose embeddings: faulty rows, hubs, the gap between domains, bottlenecks, what smaller vectors cost."""
    from rope.bench.questions import diagnose

    compute = read_compute(memory, threads, "cpu")
    answer = diagnose(files, dataset_of(data), split=split, name=name, compute=compute, progress=True)
    console = put_answer(answer, json, csv)
    if html is not None:
        answer.save_page(html, pictures=pictures)
        console.print(f"wrote {html}", markup=False)


@app.command()
def product1m(
    release: Annotated[
        Path, typer.Argument(metavar="RELEASE", help="Folder with the text files of Product1M.", show_default=False)
    ],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[EMB...]", help="Embeddings of its pages.", show_default=False)
    ] = None,
    ranking: Annotated[
        Path | None,
        typer.Option(
            help="One line per query: its id, then the retrieved ids, separated by commas.", show_default=False
        ),
    ] = None,
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Count mAP, Prec and mAR of a ranking, or of embeddings, as the authors of Product1M count them."""
    from rope.bench.io.readers import read_embeddings
    from rope.bench.product1m import (
        count_strange,
        evaluate_ranking,
        figures_json,
        figures_table,
        rank_embeddings,
        read_ranking,
        read_truth,
    )
    from rope.bench.rows import flat

    if (ranking is None) == (not files):
        raise UsageError("give either embeddings or --ranking, which is a file of ids")
    truth = read_truth(release)
    if ranking is not None:
        lines = read_ranking(ranking)
    else:
        embeddings = read_embeddings(files or [])
        if "page" not in embeddings:
            raise UsageError(f"{files[0] if files else ''}: no embeddings of pages; Product1M has nothing else")
        lines = rank_embeddings(embeddings["page"], truth)
    figures = evaluate_ranking(lines, truth)
    strange = [f"{n:,} {what}" for what, n in count_strange(lines, truth).items() if n]
    told = {"of": str(ranking or (files or [release])[0]), "release": str(release)}
    numbers = figures_json(figures)
    plain = {"schema_version": 1, "figures": numbers}
    put([figures_table(figures), *strange], json, plain, csv)
    if csv is not None:
        write_csv(csv, [told | flat(numbers)])


app.command()(rerank)
app.command()(queries)
app.command()(recommend)
app.command()(attributes)
app.command()(tail)
app.command()(gallery)
app.command()(tsne)


def main() -> None:
    """The console script `rope-bench`, with the commands that packages above this one add to it."""
    from importlib.metadata import entry_points

    for commands in entry_points(group="rope_bench.commands"):
        commands.load()(app)
    run_app(app)
