"""The command `rope-bench tsne`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rope.domain import Split, with_published
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
    split: Annotated[Split, typer.Option(help="The split that the embeddings are of.")] = "validation",
    products: Annotated[int, typer.Option(min=2, help="Products to draw, all samples of each.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of the products drawn, and of the map.")] = 0,
) -> None:
    """Draw a map of some products over the domains, by t-SNE; needs the extra 'figures'."""
    from rope.bench.io.readers import read_embeddings
    from rope.bench.tsne import FORMATS, choose_points, draw_map, lay_out, save_map
    from rope.console import dataset_of
    from rope.dataset.directory import read_labels

    if out.suffix.lower() not in FORMATS:  # before minutes of work
        raise UsageError(f"--out {out}: expected a name that ends in {' or '.join(FORMATS)}")
    labels = read_labels(dataset_of(data), split)
    embeddings = read_embeddings(files, with_published(labels))
    points = choose_points(embeddings, labels, n_products=products, seed=seed)
    save_map(draw_map(points, lay_out(points, seed=seed)), out)
    typer.echo(f"{out}: {len(points.domains):,} samples of {products} products; a picture, no measurement")
