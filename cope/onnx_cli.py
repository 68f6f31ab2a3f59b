"""The command `cope export`."""

from pathlib import Path
from typing import Annotated

import typer

from rope.extras import needed_by

__all__ = ["export"]


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder with a model, or its name on the Hub.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder.", show_default=False)],
) -> None:
    """Write the encoders as ONNX files, each compared with the model; needs the extra 'onnx'."""
    with needed_by("cope export", "onnx"):
        from cope.model import Cope
        from cope.onnx import export_onnx

    for encoder in export_onnx(Cope.from_pretrained(model), out):
        typer.echo(f"{encoder.path}: differs from the model by at most {encoder.difference:.1g}")
