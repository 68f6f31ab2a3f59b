"""The command `leaderboard`, and the commands `submit` and `leaderboard` of `rope-bench`.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rope.bench.shared_options import Data
from rope.console import dataset_of, new_app, run_app
from rope.errors import RopeError, UsageError

__all__ = ["add_commands", "main"]

app = new_app("Check submissions to the leaderboard, and build its site.")

Results = Annotated[Path, typer.Argument(metavar="[PATH]", help="A folder of results, or that of one model.")]
Datasets = Annotated[
    list[Path] | None,
    typer.Option(help="A dataset directory; may be given more than once.", show_default="$ROPE_DATA"),
]
LeaveOut = Annotated[
    bool,
    typer.Option(
        "--leave-out", help="Leave out refused rows and list them; without it, a refused row stops the build."
    ),
]
RESULTS = Path("leaderboard/results")


@app.command()
def verify(
    path: Results = RESULTS,
    data: Datasets = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="The results of the last release; none of its rows may be lost or changed.", show_default=False
        ),
    ] = None,
    allow_changed: Annotated[
        list[str] | None,
        typer.Option(help="A model whose rows of the last release may change; may be given more than once."),
    ] = None,
    allow_unscored: Annotated[
        bool,
        typer.Option("--allow-unscored", help="Count vectors of a dataset that is not given, rather than refuse them."),
    ] = False,
    public_log: Annotated[
        bool, typer.Option("--public-log", help="Print only the number and kinds of problems, no sample ids.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Worker threads.", show_default="one a processor")] = None,
) -> None:
    """Score every submission again and compare every number; nothing that was submitted is run."""
    from leaderboard.checked_board import check
    from leaderboard.entry import entry_paths
    from leaderboard.terminal import public_lines, verdict_lines
    from rope.bench.ranking.engine import ComputeSettings
    from rope.console import progress_bar

    compute = ComputeSettings(threads=threads)
    try:
        with progress_bar("verifying", len(entry_paths(path))) as advance:
            verdicts = check(
                path,
                _datasets(data),
                base=base,
                allow_changed=allow_changed or (),
                allow_unscored=allow_unscored,
                compute=compute,
                advance=advance,
            ).verdicts
    except Exception as error:
        if not public_log:
            raise
        raise RopeError(f"{path}: ended with {type(error).__name__}; without --public-log it says why") from None
    if not verdicts:
        raise UsageError(f"{path}: holds no result, so there is nothing to verify; rope-bench submit makes one")
    for line in (public_lines if public_log else verdict_lines)(verdicts):
        typer.echo(line)
    if any(verdict.problems for verdict in verdicts):
        raise RopeError(f"{path}: not all rows are what they say they are")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="The folder of the site.", show_default=False)],
    path: Results = RESULTS,
    data: Datasets = None,
    leave_out: LeaveOut = False,
    project: Annotated[
        str | None, typer.Option(metavar="URL", help="The repository that pages link to.", show_default="no link")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Worker threads.", show_default="one a processor")] = None,
) -> None:
    """Check the rows and write the site: static files that work from a folder or from any host."""
    from leaderboard.checked_board import check
    from leaderboard.entry import entry_paths
    from leaderboard.site import build_site
    from leaderboard.terminal import build_lines
    from rope.bench.ranking.engine import ComputeSettings
    from rope.console import progress_bar

    with progress_bar("building", 3 * len(entry_paths(path))) as advance:
        checked = check(
            path, _datasets(data), allow_unscored=True, compute=ComputeSettings(threads=threads), advance=advance
        )
        boards = build_site(checked, out, leave_out=leave_out, project=project, advance=advance)
    for line in build_lines(checked, leave_out=leave_out):
        typer.echo(line)
    n_rows = sum(len(board.rows) for board in boards)
    typer.echo(f"wrote {out / 'index.html'}: rows {n_rows}, boards {len(boards)}")


def submit(
    model_card: Annotated[Path, typer.Option(help="The model card, YAML.", show_default=False)],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[EMB...]", help="Files or folders of embeddings, as for rope-bench score.", show_default=False
        ),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="What rope-bench rerank kept of the stored vectors of a row in --out: a row of two stages.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="A folder of results; the model gets a folder in it.")] = RESULTS,
    data: Data = None,
    without_embeddings: Annotated[
        bool, typer.Option("--without-embeddings", help="Keep the vectors; the row is then claimed, not recomputed.")
    ] = False,
    dtype: Annotated[
        Literal["float16", "int8"],
        typer.Option(help="float16: two bytes for a number; int8: one, with a scale for each vector."),
    ] = "float16",
    dims: Annotated[
        int | None,
        typer.Option(
            min=1, help="Keep the first so many numbers of each vector, as Matryoshka models allow.", show_default="all"
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Worker threads.", show_default="one a processor")] = None,
) -> None:
    """Make a submission to the leaderboard: check, round, score as stored, and write a folder."""
    from leaderboard.card import read_card
    from leaderboard.entry import read_entry
    from leaderboard.second_stage import submit_candidates
    from leaderboard.submit import Storage
    from leaderboard.submit import submit as write_submission
    from rope.bench.ranking.engine import ComputeSettings

    card, directory = read_card(model_card), dataset_of(data)
    compute = ComputeSettings(threads=threads)
    storage = Storage(dtype, dims)
    if (candidates is None) == (not files):
        raise UsageError("give either embeddings or --candidates, which is a file of rope-bench rerank")
    if candidates is not None:
        entry = submit_candidates(candidates, card, directory, out)
    else:
        entry = write_submission(
            files or [], card, directory, out, compute=compute, with_embeddings=not without_embeddings, storage=storage
        )
    change = read_entry(entry).rounding_change
    told = "" if change is None else f"; {dtype} changes no metric by more than {100 * change:.3f} points"
    typer.echo(f"wrote {entry.parent}{told}")
    typer.echo(f"check it:   leaderboard verify {entry.parent} --data {directory}")
    typer.echo(
        f"submit it:  git checkout -b submit-{card['id']} && git add {entry.parent} && git commit, push, and open"
    )
    typer.echo("            a pull request; vectors are scored again, by a maintainer if the dataset is licensed")


def show(
    path: Results = RESULTS,
    metric: Annotated[str, typer.Option(help="R@1, R@5, R@10, R@20, R@50, MRR or mAP.")] = "R@1",
    data: Datasets = None,
    serve: Annotated[bool, typer.Option("--serve", help="Build the site and open it at 127.0.0.1.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of --serve; 0 takes a free one.")] = 8000,
    leave_out: LeaveOut = False,
) -> None:
    """Check the rows and print the leaderboard, or open its site."""
    from leaderboard.board import load_boards
    from leaderboard.checked_board import check
    from leaderboard.terminal import board_table, build_lines
    from rope.console import output

    checked = check(path, _datasets(data), allow_unscored=True)
    if not leave_out:
        checked.require_sound()
    boards = load_boards(checked)
    if not boards:
        raise UsageError(f"{path}: holds no result; rope-bench submit makes one")
    for board in boards:
        output().print(board_table(board, metric))
    for line in build_lines(checked, leave_out=leave_out):
        typer.echo(line)
    if serve:
        from leaderboard.serve import serve_site

        serve_site(checked, port, lambda at: typer.echo(f"{at} (end with Ctrl-C)"), leave_out=leave_out)


def _datasets(data: list[Path] | None) -> list[Path]:
    """The datasets that were given, or that of ROPE_DATA, which is said on stderr; else none.

    The choice of `rope use` and the dataset built last are left alone: rows are of datasets of their own, and what is
    not given is not looked at.
    """
    named = os.environ.get("ROPE_DATA")
    if data or not named:
        return data or []
    directory = dataset_of(None)
    if not isinstance(directory, Path):
        raise UsageError(f"ROPE_DATA={named}: this needs a dataset directory on this machine; copy it here first")
    return [directory]


def add_commands(bench: typer.Typer) -> None:
    """Add `submit` and `leaderboard` to the commands of `rope-bench`, which finds this as an entry point."""
    bench.command()(submit)
    bench.command("leaderboard")(show)


def main() -> None:
    """The console script `leaderboard`."""
    run_app(app)
