"""The command `rope-bench queries`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rope.bench.compute_options import Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, put_answer
from rope.bench.json_option import JsonFile
from rope.bench.shared_options import Name, SplitOption
from rope.console import dataset_of

__all__ = ["queries"]


def queries(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="EMB...",
            help="Embeddings of the samples and of the queries, these with the domain query; see `rope-bench score`.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Dataset directory with a table of queries, or its address.",
            show_default="$ROPE_DATA, else that of 'rope use', else the one built last",
        ),
    ] = None,
    split: SplitOption = "validation",
    name: Name = None,
    memory: Memory = None,
    threads: Threads = None,
    missing: Annotated[
        Literal["refuse", "last"],
        typer.Option(
            "--missing", help="Without a vector. refuse: end with an error; last: rank last and say how many."
        ),
    ] = "refuse",
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Score search queries: text or images to pages, videos, lives and all together, with grades and hard negatives."""
    from rope.bench.queries.evaluation import evaluate_queries

    compute = read_compute(memory, threads, "cpu")
    scored = evaluate_queries(
        files, dataset_of(data), split=split, name=name, compute=compute, missing=missing, progress=True
    )
    put_answer(scored, json, csv)
