"""The command `rope-bench score`, and what it shares with the others that score.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rope.bench.compute_options import Device, Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, write_csv
from rope.bench.dims_option import file_of, read_dims
from rope.bench.json_option import is_file, put
from rope.bench.shared_options import Data, Name, SplitOption
from rope.bench.transform_options import Centre, Csls, Whiten, read_transform
from rope.console import dataset_of
from rope.errors import UsageError

if TYPE_CHECKING:
    from rope.bench.result import QuickReport, Report

__all__ = [
    "Dims",
    "Files",
    "RanksFile",
    "ResultFile",
    "Seed",
    "Shots",
    "TrainingSeed",
    "Trials",
    "score",
    "show_reports",
]

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="EMB...",
        help="Files or folders of embeddings: Parquet (domain, sample_id, embedding), .npy with ids, .npz, "
        ".safetensors, or the TSV dumps of COPE's infer.py.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the support sets of one-shot classification.")]
Trials = Annotated[int, typer.Option(min=1, help="Draws of the support set.")]
Shots = Annotated[int, typer.Option(min=1, help="Samples of each product in the support set.")]
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
    transform, draws = read_transform(centre, whiten, csls), Draws(seed, trials, shots)
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
            draws=draws,
            compute=compute,
            missing=missing,
            transform=transform,
            dims=rows[0],
            progress=True,
        )
        put([f"wrote {written}; when all shares are there, the same command without --share scores them"], None, {})
        return
    if quick and save_ranks is not None:
        raise UsageError("--quick: a quick score has no ranks to keep; leave out --quick, or --save-ranks")
    evaluated: Callable[..., Any] = partial(
        evaluate,
        files,
        dataset_of(data),
        split=split,
        name=name,
        draws=draws,
        compute=compute,
        training_seed=training_seed,
        missing=missing,
        transform=transform,
    )
    scored: Sequence[QuickReport | Report]
    if quick:
        scored = [_show_quick(evaluated(quick=True, dims=n), file_of(json, n, rows), csv) for n in rows]
    else:
        scored = show_reports(lambda n: evaluated(dims=n, shares=shares, progress=True), rows, json, save_ranks, csv)
    if csv is not None:
        write_csv(csv, [row for report in scored for row in report.to_rows()])


def show_reports(
    evaluated: "Callable[[int | None], Report]",
    dims: list[int | None],
    json: Path | None,
    save_ranks: Path | None,
    csv: Path | None,
) -> "list[Report]":
    """Score each number of dimensions, show the tables, and write result and ranks; rows of `csv` are the caller's."""
    reports = []
    for n in dims:
        report, result = evaluated(n), file_of(json, n, dims)
        ranks = file_of(save_ranks, n, dims) or (result.with_suffix(".ranks.parquet") if is_file(result) else None)
        shown = report.tables()
        if ranks is not None:
            shown.append(f"wrote {report.save_ranks(ranks)}")
        put(shown, result, report.to_dict(ranks), csv)
        reports.append(report)
    return reports


def _show_quick(report: "QuickReport", json: Path | None, csv: Path | None) -> "QuickReport":
    put(report.tables(), json, report.to_dict(), csv)
    return report
