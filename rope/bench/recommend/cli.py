"""The command `rope-bench recommend`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rope.bench.compute_options import Device, Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, put_answer
from rope.bench.json_option import JsonFile
from rope.bench.shared_options import Name

__all__ = ["ColumnsOption", "recommend"]

ColumnsOption = Annotated[
    str | None,
    typer.Option(
        metavar="USER,ITEM,TIME",
        help="Which columns hold users, items and times: names, or numbers from 1 in a file without a heading.",
        show_default="by their usual names",
    ),
]


def recommend(
    files: Annotated[
        list[Path], typer.Argument(metavar="EMB...", help="Embeddings of the items; see `rope-bench score`.")
    ],
    interactions: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="User-item interactions: Parquet, CSV, TSV, MovieLens's .dat or u.data, RecBole's .inter; or "
            "a folder with RecFormer's train.json, val.json, test.json and smap.json.",
            show_default=False,
        ),
    ],
    columns: ColumnsOption = None,
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="NPZ",
            help="User vectors from a model, .npz with the arrays user_ids and users.",
            show_default="the mean of what each took",
        ),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="Domain whose samples are the items.", show_default="the only one in EMB")
    ] = None,
    stage: Annotated[
        Literal["validation", "test"],
        typer.Option(help="validation: ask for a user's last item but one; test: for the last."),
    ] = "test",
    history: Annotated[
        Literal["exclude", "keep"],
        typer.Option(help="Items in the user's history. exclude: left out of the user's gallery; keep: part of it."),
    ] = "exclude",
    max_history: Annotated[
        int | None, typer.Option(min=1, help="Number of latest items that are averaged.", show_default="all")
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="Neighbours that item-kNN keeps for each item.")] = 50,
    name: Name = None,
    memory: Memory = None,
    threads: Threads = None,
    device: Device = "cpu",
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Score embeddings of items by how well they predict what each user takes next, among all items."""
    from rope.bench.recommend.columns import parse_columns
    from rope.bench.recommend.report import RecommendOptions
    from rope.bench.recommend.run import score_recommendations

    options = RecommendOptions(
        model=name or files[0].stem,
        domain=domain,
        stage=stage,
        exclude_history=history == "exclude",
        max_history=max_history,
        neighbours=neighbours,
    )
    answer = score_recommendations(
        files,
        interactions,
        columns=None if columns is None else parse_columns(columns),
        users=users,
        options=options,
        compute=read_compute(memory, threads, device),
        progress=True,
    )
    put_answer(answer, json, csv)
