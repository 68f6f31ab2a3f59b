"""The command `rope-bench product1m`.

Everything heavy is imported inside, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rope.bench.csv_option import CsvFile, write_csv
from rope.bench.json_option import JsonFile, put
from rope.errors import UsageError

__all__ = ["product1m"]


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
