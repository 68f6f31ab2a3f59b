"""The command `rope-bench recommend`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rope.bench.compute_options import Device, Memory, Threads, read_effort
from rope.bench.json_option import JsonFile, put

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
            help="Who took what: Parquet, CSV, TSV, MovieLens's .dat or u.data, RecBole's .inter; or a folder with "
            "RecFormer's train.json, val.json, test.json and smap.json.",
            show_default=False,
        ),
    ],
    columns: ColumnsOption = None,
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="NPZ",
            help="Vectors of the users, from a model: the arrays user_ids and users.",
            show_default="the mean of what each took",
        ),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="Whose samples the items are.", show_default="the only one in EMB")
    ] = None,
    stage: Annotated[
        Literal["validation", "test"], typer.Option(help="Ask for the last item of a user, or the one before.")
    ] = "test",
    history: Annotated[
        Literal["exclude", "keep"],
        typer.Option(help="What a user took before: left out of the user's gallery, or part of it."),
    ] = "exclude",
    max_history: Annotated[
        int | None, typer.Option(min=1, help="Latest items that the mean is made of.", show_default="all")
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="Neighbours of an item that item-kNN keeps.")] = 50,
    name: Annotated[str | None, typer.Option(help="Name of the model.", show_default="that of the first file")] = None,
    memory: Memory = None,
    threads: Threads = None,
    device: Device = "cpu",
    json: JsonFile = None,
) -> None:
    """Score embeddings of items by how well they foretell what each user takes next, among all items."""
    from rope.bench.recommend.columns import parse_columns
    from rope.bench.recommend.readers import read_interactions
    from rope.bench.recommend.report import Options, as_json, metric_table, slice_table
    from rope.bench.recommend.run import run

    effort = read_effort(memory, threads, device)
    options = Options(
        model=name or files[0].stem,
        domain=domain,
        stage=stage,
        exclude_history=history == "exclude",
        max_history=max_history,
        neighbours=neighbours,
    )
    known = read_interactions(interactions, None if columns is None else parse_columns(columns))
    score, task = run(files, known, interactions.name, users, options, effort)
    asked = next(iter(score.methods.values()))["all"].n_users
    shown = [f"{options.model}: {asked:,} of {task.n_users:,} users asked for 1 of {task.embeddings.n:,} items"]
    if known.columns is not None:
        user, item, time = known.columns
        shown.append(f"{interactions.name}: user, item and time are the columns {user}, {item} and {time}")
    if task.n_tied_targets:
        shown.append(
            f"{task.n_tied_targets:,} of {asked:,} users took the item asked for at the same time as another; which of "
            "them is asked for was chosen by a hash"
        )
    put([*shown, metric_table(score), slice_table(score, "NDCG@10")], json, as_json(score, task))
