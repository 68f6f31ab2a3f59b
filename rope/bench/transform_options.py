"""The options `--centre`, `--whiten` and `--csls` of commands that score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rope.errors import UsageError

if TYPE_CHECKING:
    from rope.bench.transform import TransformKind, VectorTransform

__all__ = ["Centre", "Csls", "Whiten", "read_transform"]

Centre = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="TRAIN",
        help="Subtract from each domain the mean of these vectors, of the training split; may be repeated.",
        show_default=False,
    ),
]
Whiten = Annotated[
    list[Path] | None,
    typer.Option(metavar="TRAIN", help="Centre, and make all directions equally wide.", show_default=False),
]
Csls = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="TRAIN",
        help="Take from each similarity how near the sample of the gallery is to queries of training, against hubs.",
        show_default=False,
    ),
]


def read_transform(
    centre: list[Path] | None, whiten: list[Path] | None, csls: list[Path] | None
) -> "VectorTransform | None":
    """What is asked for; None where nothing is.

    Raises:
        UsageError: more than one is.
    """
    from rope.bench.transform import VectorTransform

    given: dict[TransformKind, list[Path] | None] = {"centre": centre, "whiten": whiten, "csls": csls}
    asked = [VectorTransform(kind, files) for kind, files in given.items() if files]
    if len(asked) > 1:
        listed = " and ".join(f"--{one.kind}" for one in asked)
        raise UsageError(f"{listed}: each says what is done to the vectors; give one of them")
    return asked[0] if asked else None
