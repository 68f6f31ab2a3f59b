"""The commands `rope-bench attributes` and `rope-bench tail`; everything heavy is imported inside them."""

from pathlib import Path
from typing import Annotated

import typer

from rope.bench.csv_option import CsvFile, put_answer
from rope.bench.json_option import JsonFile
from rope.bench.shared_options import Data, Name
from rope.domain import Split
from rope.errors import UsageError

__all__ = ["attributes", "tail"]


def attributes(
    files: Annotated[
        list[Path], typer.Argument(metavar="EMB...", help="Embeddings of the split to test, as for rope-bench score.")
    ],
    column: Annotated[str, typer.Option(help="What to predict: a column of the products table, or of --labels.")],
    data: Data = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet with product_id and the column.", show_default="the products table"),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(help="Separator of the tags in a text cell, e.g. '|'.", show_default="one class a cell"),
    ] = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(
            help="Embeddings of the split train, to learn from; may be repeated.",
            show_default="cross-validation over the products of EMB",
        ),
    ] = None,
    name: Name = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of cross-validation.")] = 5,
    neighbours: Annotated[int, typer.Option("-k", "--neighbours", min=1, help="Nearest examples that vote.")] = 10,
    shots: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Products of each class in few-shot classification.", show_default="1, 5 and 20"),
    ] = None,
    draws: Annotated[int, typer.Option("--trials", min=1, help="Draws of few-shot classification.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and draws.")] = 0,
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Predict a column of the products from the vectors: linear probe, neighbours, few-shot; or tags.

    Learned from each domain and tested on each, always on products that were not learned from.
    """
    from rope.bench.attributes.predict import predict_attribute
    from rope.bench.attributes.score import Settings
    from rope.console import dataset_of

    chosen = tuple(shots or (1, 5, 20))
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--shots: {', '.join(map(str, chosen))} has a number twice; give each once")
    answer = predict_attribute(
        files,
        column,
        dataset_of(data),
        train=train or None,
        labels=labels,
        separator=separator,
        settings=Settings(seed, folds, neighbours, chosen, draws),
        name=name,
        progress=True,
    )
    put_answer(answer, json, csv)


def tail(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A file of score --json.")],
    data: Data = None,
    metric: Annotated[str, typer.Option(help="R@k, recall@k (k = 1, 5, 10, 20, 50), MRR or mAP.")] = "R@1",
    pair: Annotated[str, typer.Option(help="P2V and so on, or mean of the cross-domain pairs.")] = "mean",
    counted_in: Annotated[
        Split | None,
        typer.Option(
            help="Where categories are counted. train: what models learn from; validation: what results are of.",
            show_default="the one that was scored",
        ),
    ] = None,
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Compare head, torso and tail: categories by products or samples, products by samples."""
    from rope.bench.questions import tail as tail_of_result
    from rope.bench.stats.query_ranks import load_ranks
    from rope.console import dataset_of

    ranks = load_ranks(result)
    answer = tail_of_result(ranks, dataset_of(data), metric=metric, pair=pair, counted_in=counted_in)
    put_answer(answer, json, csv)
