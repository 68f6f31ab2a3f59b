"""The options that many commands have in common: the dataset, its split and the name of the model."""

from typing import Annotated

import typer

from rope.domain import Split

__all__ = ["Data", "Name", "SplitOption"]

Data = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Dataset directory, or its address, such as s3://bucket/OUT.",
        show_default="$ROPE_DATA, else that of 'rope use', else the one built last",
    ),
]
SplitOption = Annotated[Split, typer.Option(help="train: what models learn from; validation: what results are of.")]
Name = Annotated[str | None, typer.Option(help="Name of the model.", show_default="that of the first file")]
