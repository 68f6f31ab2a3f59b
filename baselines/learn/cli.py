"""The command `python -m baselines.learn`: train on embeddings and interactions, then write vectors to score.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rope.bench.recommend.cli import ColumnsOption
from rope.console import new_app, resumable, run_app
from rope.errors import UsageError
from rope.extras import needed_by

if TYPE_CHECKING:
    from rope.bench.io.embeddings import DomainEmbeddings
    from rope.bench.recommend.interactions import Interactions
    from rope.domain import Domain

__all__ = ["app", "main"]

app = new_app("LEARN: recommendations from frozen embeddings.")

Files = Annotated[list[Path], typer.Argument(metavar="EMB...", help="Content embeddings of the items.")]
InteractionsFile = Annotated[
    Path,
    typer.Option(
        metavar="FILE", help="Interactions of users with items; see `rope-bench recommend`.", show_default=False
    ),
]
DomainOption = Annotated[
    str | None, typer.Option(help="Domain whose samples are the items.", show_default="the only one in EMB")
]


@app.command()
@resumable
def train(
    files: Files,
    interactions: InteractionsFile,
    recipe: Annotated[
        Path, typer.Option(metavar="JSON", help="Training recipe; docs/recommendation.md lists its fields.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; a stopped run resumes.")],
    begin_with: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A finished run to start from.", show_default="random weights")
    ] = None,
    columns: ColumnsOption = None,
    domain: DomainOption = None,
) -> None:
    """Train on all but the last two interactions of each user. On several GPUs: accelerate launch."""
    _needs_torch()
    from baselines.learn.config import load_recipe
    from baselines.learn.train import MODEL_NAME
    from baselines.learn.train import train as run
    from rope.bench.recommend.interactions import leave_one_out

    what = load_recipe(recipe)
    items, known, _ = _load(files, interactions, columns, domain)
    run(items.vectors, leave_one_out(known, "test").training, out, what, first_weights=begin_with)
    typer.echo(f"wrote {out / MODEL_NAME}; next: python -m baselines.learn embed {out} ...")


@app.command()
def embed(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    files: Files,
    interactions: InteractionsFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for items.npz and users.npz.")],
    stage: Annotated[
        Literal["validation", "test"],
        typer.Option(help="validation: histories end before a user's last two items; test: before the last."),
    ] = "test",
    columns: ColumnsOption = None,
    domain: DomainOption = None,
) -> None:
    """Write the vectors of items and users, for `rope-bench recommend items.npz --users users.npz`."""
    _needs_torch()
    import numpy as np

    from baselines.learn.embed import embed_items, embed_users
    from baselines.learn.train import load_trained
    from rope.bench.recommend.interactions import leave_one_out
    from rope.bench.recommend.users import write_user_vectors
    from rope.files import atomic_path

    model, recipe = load_trained(run)
    items, known, of = _load(files, interactions, columns, domain)
    if items.vectors.shape[1] != recipe.model.input_dim:
        raise UsageError(f"{run}: takes vectors of {recipe.model.input_dim} dimensions, got {items.vectors.shape[1]}")
    split = leave_one_out(known, stage)
    arrays = {of: embed_items(model, items.vectors), f"{of}_ids": np.array(items.sample_ids, np.str_)}
    with atomic_path(out / "items.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    vectors = embed_users(model, items.vectors, split.history, recipe.max_history)
    write_user_vectors(out / "users.npz", [known.user_ids[row] for row in split.users], vectors)
    typer.echo(f"wrote {out / 'items.npz'} and {out / 'users.npz'}")
    typer.echo(f"Score them: rope-bench recommend {out / 'items.npz'} --users {out / 'users.npz'} --stage {stage} ...")


def _load(
    files: list[Path], path: Path, columns: str | None, domain: str | None
) -> "tuple[DomainEmbeddings, Interactions, Domain]":
    """The items' content embeddings, the interactions in terms of their rows, and their domain."""
    from rope.bench.io.readers import read_embeddings
    from rope.bench.recommend.columns import parse_columns
    from rope.bench.recommend.gallery import align_items, choose_domain
    from rope.bench.recommend.readers import read_interactions

    interactions = read_interactions(path, None if columns is None else parse_columns(columns))
    embeddings = read_embeddings(files)
    of = choose_domain(embeddings, domain)
    items, known = align_items(embeddings[of], interactions, of)
    return items, known, of


def _needs_torch() -> None:
    with needed_by("LEARN", "cope"):
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401


def main() -> None:
    """Run `python -m baselines.learn`; the process ends with its exit code."""
    run_app(app)
