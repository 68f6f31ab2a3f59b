"""The command `rope-bench doctor`.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rope.bench.compute_options import Memory, Threads, read_compute
from rope.bench.csv_option import CsvFile, put_answer
from rope.bench.json_option import JsonFile
from rope.bench.score_cli import Files
from rope.bench.shared_options import Data, Name, SplitOption
from rope.console import dataset_of

__all__ = ["doctor"]


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
