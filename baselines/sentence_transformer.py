"""Any multimodal model of sentence-transformers as an embedder, such as CLIP or Qwen3-VL-Embedding."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import Options, read_options
from rope.encoders.running import choose_device, choose_dtype, fingerprint_model, without_bars
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["SentenceTransformerModel", "embedder", "load_sentence_transformer"]


class SentenceTransformerModel:
    """Images and texts through `SentenceTransformer.encode`.

    Attributes:
        fingerprint: changes with the weights, the precision, the modules and the name of the model.
        has_text: True.
        thread_safe: False, as nothing promises it of every model.
    """

    has_text: bool = True
    thread_safe: bool = False

    def __init__(self, model: Any, facts: Sequence[str], batch_size: int) -> None:  # noqa: ANN401
        self._model = model.eval()
        self._batch_size = batch_size
        self.fingerprint = fingerprint_model(model, *facts)

    def prepare(self, image: npt.NDArray[np.uint8]) -> Image.Image:
        """The image for Pillow; the model prepares it itself."""
        return Image.fromarray(image)

    def encode_images(self, prepared: Sequence[Image.Image]) -> torch.Tensor:
        """float32 [n, dim] of n images."""
        return self._encode(prepared)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        return self._encode(texts)

    def _encode(self, inputs: Sequence[object]) -> torch.Tensor:
        found = self._model.encode(
            list(inputs), batch_size=self._batch_size, convert_to_tensor=True, show_progress_bar=False
        )
        return cast("torch.Tensor", found).float()


def load_sentence_transformer(source: str, *, precision: str, device: str, images: int) -> SentenceTransformerModel:
    """Load a model from the Hub or a folder; `images` is how many it sees at a time.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load it.
    """
    with needed_by("baselines:sentence_transformer", "baselines"):
        from sentence_transformers import SentenceTransformer
    dtype = choose_dtype(precision)
    try:
        with without_bars():
            model = SentenceTransformer(source, device=str(choose_device(device)), model_kwargs={"dtype": dtype})
    except (OSError, ValueError) as error:
        raise UsageError(f"{source}: sentence-transformers cannot load it: {str(error).splitlines()[0]}") from error
    return SentenceTransformerModel(model, [precision, source], images)


def embedder(model: str, **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:sentence_transformer?model=sentence-transformers/clip-ViT-B-32`.

    Args:
        model: Hub id or folder.
        **shared: see `baselines.options.Options`.
    """
    options = read_options(shared, Options())
    encoder = load_sentence_transformer(
        model, precision=options.precision, device=options.device, images=options.images
    )
    name = model.rstrip("/").rpartition("/")[2]
    return FusedEmbedder(name, PooledImages(encoder, options.pool), options)
