"""The command `rope-bench rerank`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rope.bench.compute_options import Device, Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, write_csv
from rope.bench.json_option import JsonFile, is_file, put
from rope.bench.shared_options import Data
from rope.bench.transform_options import Centre, Csls, Whiten, read_transform
from rope.console import dataset_of, resumable
from rope.errors import UsageError

__all__ = ["rerank"]


@resumable
def rerank(
    result: Annotated[
        Path | None,
        typer.Argument(metavar="[RESULT]", help="The first stage: a file of score --json.", show_default=False),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[EMB...]", help="The embeddings that it is of.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The re-ranker, as module:object, e.g. baselines:evidence or my_model:Reranker?size=large.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the candidates and their scores here, as Parquet.", show_default=False)
    ] = None,
    rescore: Annotated[
        Path | None,
        typer.Option(
            help="Score candidates that are kept already; of all else, only --data is needed.", show_default=False
        ),
    ] = None,
    data: Data = None,
    depth: Annotated[int, typer.Option(min=1, help="Candidates of each query: the first so many of the result.")] = 100,
    dims: Annotated[
        int | None,
        typer.Option(min=1, help="Where the result is of the first N numbers of each vector.", show_default="all"),
    ] = None,
    centre: Centre = None,
    whiten: Whiten = None,
    csls: Csls = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the two stages.", show_default="rerank of FIRST at k=DEPTH by MODEL")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs of samples per call of the re-ranker.")] = 64,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over: delete the candidates of an earlier run first.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Don't score a few pairs again to see that their scores stay the same.")
    ] = False,
    memory: Memory = None,
    threads: Threads = None,
    device: Device = "cpu",
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Put the first candidates of a result in the order of a re-ranker, and score that. Resumes where it stopped."""
    from rope.bench.rerank.reranker import find_reranker
    from rope.bench.rerank.run import rerank_result, rescore_candidates

    if rescore is not None:
        if result is not None or model is not None or out is not None:
            raise UsageError("--rescore: the candidates say what they are of; leave out RESULT, EMB, --model and --out")
        report = rescore_candidates(rescore, dataset_of(data))
    elif result is None or not files or model is None or out is None:
        raise UsageError("expected RESULT EMB... --model MODEL --out CANDIDATES.parquet, or --rescore CANDIDATES")
    else:
        reranker, origin = find_reranker(model)
        report = rerank_result(
            result,
            files,
            reranker,
            dataset_of(data),
            out=out,
            depth=depth,
            dims=dims,
            transform=read_transform(centre, whiten, csls),
            batch_size=batch_size,
            name=name,
            compute=read_compute(memory, threads, device),
            overwrite=overwrite,
            check=not no_check,
            origin=origin,
            progress=True,
        )
    shown = report.tables()
    ranks = json.with_suffix(".ranks.parquet") if is_file(json) else None
    if ranks is not None:
        shown.append(f"wrote {report.save_ranks(ranks)}")
    put(shown, json, report.to_dict(ranks), csv)
    if csv is not None:
        write_csv(csv, report.to_rows())
