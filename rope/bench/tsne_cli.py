"""The command `rope-bench tsne`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rope.domain import Split
from rope.errors import UsageError

__all__ = ["tsne"]


def tsne(
    files: Annotated[list[Path], typer.Argument(metavar="EMB...", help="Embeddings; see `rope-bench score`.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to write, .png or .svg.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Dataset directory, or its address, such as s3://bucket/OUT.",
            show_default="$ROPE_DATA, else that of 'rope use', else the one built last",
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="train: what models learn from; validation: what results are of.")
    ] = "validation",
    products: Annotated[int, typer.Option(min=2, help="Products to draw, all samples of each.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of products and of the map.")] = 0,
) -> None:
    """Draw a map of some products over the domains, by t-SNE; needs the extra 'figures'."""
    import numpy as np

    from rope.bench.questions import draw_map
    from rope.bench.tsne import FORMATS, save_map
    from rope.console import dataset_of

    if out.suffix.lower() not in FORMATS:  # before minutes of work
        raise UsageError(f"--out {out}: expected a name that ends in {' or '.join(FORMATS)}")
    figure = draw_map(files, dataset_of(data), split=split, products=products, seed=seed)
    save_map(figure, out)
    n_samples = sum(len(np.asarray(points.get_offsets())) for points in figure.axes[0].collections)
    typer.echo(f"{out}: {n_samples:,} samples of {products} products; a picture, no measurement")
