"""The command `rope-bench tsne`.

Everything heavy is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rope.bench.shared_options import Data, Name, SplitOption
from rope.errors import UsageError
from rope.files import atomic_path

__all__ = ["tsne"]


def tsne(
    files: Annotated[list[Path], typer.Argument(metavar="EMB...", help="Embeddings; see `rope-bench score`.")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="What to write: .png or .svg, a picture; .html, a page that names each sample.",
            show_default=False,
        ),
    ],
    data: Data = None,
    split: SplitOption = "validation",
    products: Annotated[
        int | None,
        typer.Option(min=2, help="Products to draw, all samples of each.", show_default="30, or all that there are"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of products and of the map.")] = 0,
    name: Name = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Show the samples on the page too; mind the licence of the images.")
    ] = False,
) -> None:
    """Draw a map of some products over the domains, by t-SNE; needs the extra 'figures'."""
    import numpy as np

    from rope.bench.questions import draw_map, map_page
    from rope.bench.tsne import FORMATS, save_map
    from rope.console import dataset_of

    suffix = out.suffix.lower()
    if suffix not in (*FORMATS, ".html"):  # before minutes of work
        raise UsageError(f"--out {out}: expected a name that ends in {', '.join(FORMATS)} or .html")
    if suffix == ".html":
        page = map_page(
            files, dataset_of(data), split=split, name=name, products=products, seed=seed, pictures=pictures
        )
        with atomic_path(out) as temporary:
            temporary.write_text(page, "utf-8")
        typer.echo(f"wrote {out}: a picture, no measurement")
        return
    if pictures or name is not None:
        raise UsageError(f"--pictures and --name: are of a page, and {out} is a picture; give a name in .html")
    figure = draw_map(files, dataset_of(data), split=split, products=products, seed=seed)
    save_map(figure, out)
    n_samples = sum(len(np.asarray(points.get_offsets())) for points in figure.axes[0].collections)
    of = f" of {products} products" if products is not None else ""
    typer.echo(f"{out}: {n_samples:,} samples{of}; a picture, no measurement")
