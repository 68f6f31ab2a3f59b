"""Any model of open_clip as an embedder: Marqo-FashionCLIP, Marqo-FashionSigLIP, SigLIP 2 ..."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import Options, read_options
from rope.encoders.running import choose_device, choose_dtype, fingerprint_model
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["OpenClip", "embedder", "load_open_clip"]


class OpenClip:
    """Image and text features as `encode_image` and `encode_text` of open_clip give them, not normalised.

    Attributes:
        fingerprint: changes with the weights, the precision, the transform and the name of the model.
        has_text: True.
        thread_safe: True.
    """

    has_text: bool = True
    thread_safe: bool = True

    def __init__(
        self,
        model: Any,  # noqa: ANN401  open_clip has no types
        transform: Callable[[Image.Image], torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
        facts: Sequence[str],
    ) -> None:
        self._model = model.eval()
        self._transform = transform
        self._tokenizer = tokenizer
        self._like = next(model.parameters())
        self.fingerprint = fingerprint_model(model, repr(transform), *facts)

    def prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """uint8 [height, width, 3] to float32 [3, h, w]."""
        return self._transform(Image.fromarray(image))

    @torch.inference_mode()
    def encode_images(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """float32 [n, dim] of n prepared images."""
        pixels = torch.stack(list(prepared)).to(self._like.device, self._like.dtype)
        return cast("torch.Tensor", self._model.encode_image(pixels)).float()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        ids = self._tokenizer(list(texts)).to(self._like.device)
        return cast("torch.Tensor", self._model.encode_text(ids)).float()


def load_open_clip(source: str, *, pretrained: str | None, precision: str, device: str) -> OpenClip:
    """Load a model of open_clip.

    Args:
        source: an architecture such as `ViT-B-16`, or `hf-hub:Marqo/marqo-fashionSigLIP`, or `local-dir:FOLDER`.
        pretrained: for an architecture, its weights: a name or a file. With None they are random, and so refused.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `choose_device`.

    Raises:
        UsageError: open_clip is not installed or cannot load it, or the weights would be random.
    """
    with needed_by("baselines:open_clip", "baselines"):
        import open_clip
    if pretrained is None and not source.startswith(("hf-hub:", "local-dir:")):
        raise UsageError(f"open_clip model {source}: name its weights with pretrained=, or the model by hf-hub:")
    try:
        model, transform = open_clip.create_model_from_pretrained(source, pretrained=pretrained)
        tokenizer = open_clip.get_tokenizer(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{source}: open_clip cannot load it: {str(error).splitlines()[0]}") from error
    model = model.to(choose_device(device), choose_dtype(precision))
    return OpenClip(model, transform, tokenizer, [precision, source])


def embedder(model: str, pretrained: str = "", **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:open_clip?model=hf-hub:Marqo/marqo-fashionSigLIP`.

    Args:
        model: see `load_open_clip`.
        pretrained: see `load_open_clip`.
        **shared: see `baselines.options.Options`.
    """
    options = read_options(shared, Options())
    encoder = load_open_clip(model, pretrained=pretrained or None, precision=options.precision, device=options.device)
    name = model.rstrip("/").rpartition("/")[2]
    return FusedEmbedder(name, PooledImages(encoder, options.pool), options)
