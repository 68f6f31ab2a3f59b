"""The command `rope-bench gallery`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rope.bench.compute_options import Device, Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, put_answer
from rope.bench.json_option import JsonFile
from rope.bench.shared_options import Data, Name, SplitOption
from rope.bench.transform_options import Centre, Csls, Whiten, read_transform

__all__ = ["gallery"]


def gallery(
    files: Annotated[list[Path], typer.Argument(metavar="EMB...", help="Embeddings; see `rope-bench score`.")],
    data: Data = None,
    split: SplitOption = "validation",
    name: Name = None,
    choose: Annotated[
        Literal["worst", "near", "hubs", "random", "lost"],
        typer.Option(
            help="worst: of the products that do worst; near: misses by a place or two; hubs: misses with a hub among "
            "the nearest; random: a sample of all queries; lost: misses that --against finds first."
        ),
    ] = "worst",
    pair: Annotated[
        str | None, typer.Option(help="P2V and so on.", show_default="all pairs of two domains, or of the only one")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Queries of each pair; 200 on a page at most.")] = 6,
    part: Annotated[
        str | None,
        typer.Option(
            "--slice", metavar="KIND=NAME", help="Of this slice alone: category=shoes, 'text length=no text', ..."
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="EMB", help="Embeddings of another model; may be repeated.", show_default="none"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample that random draws.")] = 0,
    centre: Centre = None,
    whiten: Whiten = None,
    csls: Csls = None,
    memory: Memory = None,
    threads: Threads = None,
    device: Device = "cpu",
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the page with pictures here.", show_default=False)
    ] = None,
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Show failures with pictures: queries, what was found first for them, and what should have been."""
    from rope.bench.evaluation import evaluate
    from rope.bench.failures.find import FailureOptions
    from rope.bench.one_shot import Draws
    from rope.console import dataset_of

    options = FailureOptions(choose, pair, queries, seed, part)
    compute, directory, draws = read_compute(memory, threads, device), dataset_of(data), Draws(seed=0, trials=1)
    transform = read_transform(centre, whiten, csls)
    report = evaluate(
        files, directory, split=split, name=name, draws=draws, compute=compute, transform=transform, progress=True
    )
    other = None
    if against:
        other = evaluate(against, directory, split=split, draws=draws, compute=compute, progress=True)
    answer = report.failures(files, directory, options, against=other, transform=transform, compute=compute)
    console = put_answer(answer, json, csv)
    if html is not None:
        answer.save_page(html)
        console.print(f"wrote {html}", markup=False)
