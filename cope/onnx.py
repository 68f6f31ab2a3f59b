"""The encoders as ONNX files, for machines without torch; each is compared with the model before it is kept."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from cope.config import CopeConfig
from cope.model import Cope
from rope.domain import DOMAINS, Domain
from rope.errors import RopeError, UsageError
from rope.extras import needed_by
from rope.files import atomic_path

__all__ = ["ExportedEncoder", "export_onnx"]

_TOKEN_INPUTS: Final = ("input_ids", "attention_mask")
_OUTPUT: Final = "unit"
_SEED: Final = 0
"""Of the inputs that model and file are compared on."""


@dataclass(frozen=True, slots=True)
class ExportedEncoder:
    """One exported encoder, the ONNX file that holds it.

    Attributes:
        domain: whose samples it embeds.
        path: the file. Inputs are `pixels` and, where the domain has a text, `input_ids` and `attention_mask`, as the
            encoder of `Cope` takes them; the output is `unit`. Number of samples and length of texts are free.
        difference: the largest between the numbers of the file, run by onnxruntime, and those of the model.
    """

    domain: Domain
    path: Path
    difference: float


def export_onnx(
    model: Cope, out: Path, *, domains: Sequence[Domain] = DOMAINS, tolerance: float = 1e-4
) -> tuple[ExportedEncoder, ...]:
    """Write `page.onnx`, `video.onnx` and `live.onnx`, each with its weights inside, of 2 GB at most.

    Every file is run by onnxruntime on random samples, of more than one number and length, and has to give the unit
    vectors of the model.

    Args:
        model: in evaluation mode, on the CPU.
        out: folder to write.
        domains: whose encoders are written.
        tolerance: largest difference of a number that is accepted.

    Raises:
        UsageError: the model is in training mode, or the extra `onnx` is not installed.
        RopeError: a file gives other numbers than the model; it is not kept.
    """
    _require_onnx()
    if model.training:
        raise UsageError("a model in training mode drops at random: call eval() before the export")
    if model.config.vision is not None or model.config.text is not None:
        raise UsageError("a model on pretrained towers cannot be exported to ONNX yet; export one on COPE's own towers")
    return tuple(_export(model, domain, out / f"{domain}.onnx", tolerance) for domain in domains)


def _require_onnx() -> None:
    with needed_by("exporting to ONNX", "onnx"):
        for name in ("onnxruntime", "onnxscript"):
            import_module(name)


class _Encoder(nn.Module):
    """One encoder of a model, that gives only unit vectors."""

    def __init__(self, model: Cope, domain: Domain) -> None:
        super().__init__()
        self.model, self.domain = model, domain

    def forward(self, pixels: torch.Tensor, *tokens: torch.Tensor) -> torch.Tensor:
        match self.domain:
            case "page":
                return self.model.encode_pages(pixels, *tokens).unit
            case "video":
                return self.model.encode_videos(pixels, *tokens).unit
            case "live":
                return self.model.encode_lives(pixels, *tokens).unit


def _export(model: Cope, domain: Domain, path: Path, tolerance: float) -> ExportedEncoder:
    config, encoder = model.config, _Encoder(model, domain).eval()
    names = ("pixels", *_TOKEN_INPUTS) if domain in config.text_domains else ("pixels",)
    with atomic_path(path) as temporary:
        with _quiet():
            program = torch.onnx.export(
                encoder,
                _inputs(config, domain, 2, 5),
                input_names=names,
                output_names=[_OUTPUT],
                dynamic_shapes=_dynamic(names),
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        for node in program.model.graph:  # where in the exporting machine's files each came from
            node.metadata_props.clear()
        program.save(temporary, external_data=False)
        cases = (_inputs(config, domain, n, length) for n, length in ((1, 3), (3, 8)))
        difference = max(_difference(encoder, temporary, names, inputs) for inputs in cases)
        if not difference <= tolerance:
            raise RopeError(
                f"{path}: gives numbers that differ from the model's by up to {difference:.2g}, over {tolerance:.2g}; "
                "it was not kept: report it with the versions of torch, onnx and onnxruntime"
            )
    return ExportedEncoder(domain, path, difference)


def _inputs(config: CopeConfig, domain: Domain, n: int, length: int) -> tuple[torch.Tensor, ...]:
    """Random samples; the texts of all but the first end with padding."""
    generator = torch.Generator().manual_seed(_SEED)
    n_frames, side = 1 if domain == "page" else config.num_frames, config.image_size
    pixels = torch.randn(n, n_frames, 3, side, side, generator=generator)
    if domain not in config.text_domains:
        return (pixels,)
    tokens = torch.randint(config.vocabulary, (n, length), generator=generator)
    mask = torch.ones(n, length, dtype=torch.int64)
    mask[1:, -1] = 0
    return pixels, tokens, mask


def _dynamic(names: tuple[str, ...]) -> dict[str, Any]:
    """Which dimensions are free: samples, and tokens of a text."""
    free = torch.export.Dim.DYNAMIC
    tokens = tuple({0: free, 1: free} for _ in names[1:])
    return {"pixels": {0: free}, "tokens": tokens} if tokens else {"pixels": {0: free}}


@torch.no_grad()
def _difference(encoder: nn.Module, path: Path, names: tuple[str, ...], inputs: tuple[torch.Tensor, ...]) -> float:
    session: Any = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (got,) = session.run([_OUTPUT], {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    return float(np.abs(got - encoder(*inputs).numpy()).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are about its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
