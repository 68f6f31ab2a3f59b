"""The command `rope-bench`: score files of embeddings, or run an embedder and score what it gives.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rope.console import run_app
from rope.domain import Split

if TYPE_CHECKING:
    from rope.bench.one_shot import Draws
    from rope.bench.score import Score
    from rope.bench.subject import Subject

__all__ = ["main"]

app = typer.Typer(
    help="Score cross-domain product representations: six retrieval pairs and one-shot classification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[
    Path | None,
    typer.Option(help="Dataset directory.", show_default="$ROPE_DATA, else the one built last"),
]
SplitOption = Annotated[Split, typer.Option(help="The split to score.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the support sets of one-shot classification.")]
Trials = Annotated[int, typer.Option(min=1, help="Draws of the support set.")]
Shots = Annotated[int, typer.Option(min=1, help="Samples of each product in the support set.")]
Memory = Annotated[str, typer.Option(help="What similarity blocks may take beside the vectors: bytes, or 256M, 1G.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Worker threads.", show_default="one a processor")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON here.", show_default=False)]
RanksFile = Annotated[
    Path | None, typer.Option(help="Write the rank of every query here, as Parquet.", show_default=False)
]


@app.command()
def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="EMB...",
            help="Files or folders of embeddings: Parquet (domain, sample_id, embedding), .npy with ids, "
            ".npz, .safetensors, or the TSV dumps of COPE's infer.py.",
        ),
    ],
    data: Data = None,
    split: SplitOption = "validation",
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model.", show_default="that of the first file"),
    ] = None,
    seed: Seed = 0,
    trials: Trials = 20,
    shots: Shots = 1,
    memory: Memory = "256M",
    threads: Threads = None,
    json: JsonFile = None,
    save_ranks: RanksFile = None,
) -> None:
    """Score embeddings that are already on disk."""
    from rope.bench.one_shot import Draws
    from rope.dataset.locate import locate

    draws = Draws(seed, trials, shots)
    result = _evaluate(files, locate(data), split, name or files[0].stem, draws, memory, threads)
    _report(*result, json, save_ranks)


@app.command()
def run(
    model: Annotated[
        str,
        typer.Option(help="The embedder, as module:object, e.g. baselines:handcrafted or my_model:Model?size=large."),
    ],
    out: Annotated[Path, typer.Option(help="Keep the embeddings here, as Parquet.")],
    data: Data = None,
    split: SplitOption = "validation",
    batch_size: Annotated[int, typer.Option(min=1, help="Samples handed to the embedder at a time.")] = 64,
    seed: Seed = 0,
    trials: Trials = 20,
    shots: Shots = 1,
    memory: Memory = "256M",
    threads: Threads = None,
    json: JsonFile = None,
    save_ranks: RanksFile = None,
) -> None:
    """Embed every sample with a model, keep the vectors, and score them. Resumes where it was stopped."""
    from rope.bench.embedder import load_embedder
    from rope.bench.one_shot import Draws
    from rope.bench.run import run_embedder
    from rope.dataset.locate import locate

    directory, draws = locate(data), Draws(seed, trials, shots)
    embedder = load_embedder(model)
    run_embedder(embedder, directory, out, split=split, batch_size=batch_size)
    result = _evaluate([out], directory, split, embedder.name, draws, memory, threads)
    _report(*result, json, save_ranks)


def _evaluate(
    files: list[Path],
    directory: Path,
    split: Split,
    model: str,
    draws: "Draws",
    memory: str,
    threads: int | None,
) -> "tuple[Score, Subject]":
    from rope.bench.engine import Effort
    from rope.bench.evaluate import evaluate
    from rope.bench.score import count_similarities
    from rope.console import parse_bytes, progress_bar
    from rope.dataset.directory import read_labels

    memory_bytes = parse_bytes(memory, "--memory")
    total = count_similarities(read_labels(directory, split), draws.trials)
    with progress_bar("scoring", total) as advance:
        effort = Effort(memory_bytes, threads, advance)
        return evaluate(files, directory, split, model, draws, effort)


def _report(result: "Score", subject: "Subject", json: Path | None, save_ranks: Path | None) -> None:
    from rope.bench.report import as_json, one_shot_table, retrieval_table, write_json, write_ranks
    from rope.console import output

    console = output()
    console.print(f"{subject.model} on {subject.dataset}, {subject.split} split ({subject.fingerprint[:12]})")
    console.print(retrieval_table(result))
    console.print(one_shot_table(result))
    if json is not None:
        write_json(json, as_json(result, subject))
        console.print(f"wrote {json}")
    if save_ranks is not None:
        write_ranks(save_ranks, result)
        console.print(f"wrote {save_ranks}")


def main() -> None:
    """The console script `rope-bench`."""
    run_app(app)
