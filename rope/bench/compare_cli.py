"""The commands `rope-bench compare` and `rope-bench slices`, which read results.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rope.bench.csv_option import CsvFile, put_answer
from rope.bench.json_option import STDOUT, JsonFile
from rope.bench.shared_options import Data
from rope.console import dataset_of

__all__ = ["compare", "slices"]


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
