"""Any image, or image and text, embedding model of transformers, by its name on the Hub or its folder.

CLIP-like models (CLIP, SigLIP, SigLIP 2 ...) give their projected features; a model of images alone (DINOv2 ...) its
pooled output. Images are prepared by the model's own processor computed with Pillow, which equals the originals bit for
bit where theirs was written with Pillow.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import Options, read_options
from rope.encoders.running import choose_device, choose_dtype, fingerprint_model, without_bars
from rope.errors import UsageError

__all__ = ["TransformersModel", "embedder", "load_transformers_model"]


class TransformersModel:
    """Image and text features as the model gives them, not normalised.

    Attributes:
        fingerprint: changes with the weights, the precision, the image processor and the tokenizer.
        has_text: whether the model has a text tower.
        thread_safe: True.
    """

    thread_safe: bool = True

    def __init__(self, model: Any, processor: Any, tokenizer: Any, precision: str) -> None:  # noqa: ANN401
        self._model = model.eval()
        self._processor = processor
        self._tokenizer = tokenizer
        self.has_text = tokenizer is not None and hasattr(model, "get_text_features")
        words = repr(sorted(tokenizer.get_vocab().items())) if tokenizer is not None else ""
        self.fingerprint = fingerprint_model(model, precision, processor.to_json_string(), words)

    def prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """uint8 [height, width, 3] to float32 [3, h, w]."""
        pixels: torch.Tensor = self._processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"][0]
        return pixels

    @torch.inference_mode()
    def encode_images(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """float32 [n, dim] of n prepared images."""
        pixels = torch.stack(list(prepared)).to(self._model.device, self._model.dtype)
        encode = getattr(self._model, "get_image_features", self._model)
        return _features(encode(pixel_values=pixels))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts, padded to the model's full length: SigLIP was trained so, CLIP does not care."""
        length = getattr(self._model.config, "text_config", self._model.config).max_position_embeddings
        found = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        return _features(self._model.get_text_features(**found.to(self._model.device)))


def load_transformers_model(source: str, *, precision: str, device: str) -> TransformersModel:
    """Load a model, its image processor and, where it has a text tower, its tokenizer.

    Raises:
        UsageError: transformers cannot load it.
    """
    place, dtype = choose_device(device), choose_dtype(precision)
    try:
        with without_bars():
            model = AutoModel.from_pretrained(source, dtype=dtype).to(place)
        images: Any = AutoImageProcessor
        processor = images.from_pretrained(source, backend="pil")
        tokenizer = AutoTokenizer.from_pretrained(source) if hasattr(model, "get_text_features") else None
    except (OSError, ValueError) as error:
        raise UsageError(f"{source}: transformers cannot load it: {str(error).splitlines()[0]}") from error
    return TransformersModel(model, processor, tokenizer, precision)


def embedder(model: str, **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:transformers_model?model=google/siglip2-base-patch16-224`.

    Args:
        model: Hub id or folder.
        **shared: see `baselines.options.Options`; `text_weight` is 0 where the model has no text tower.
    """
    options = read_options(shared, Options())
    encoder = load_transformers_model(model, precision=options.precision, device=options.device)
    if not encoder.has_text and "text_weight" not in shared:
        options = read_options(shared, Options(text_weight=0))
    return FusedEmbedder(model.rstrip("/").rpartition("/")[2], PooledImages(encoder, options.pool), options)


def _features(found: Any) -> torch.Tensor:  # noqa: ANN401  a tensor, or an output of which one field is wanted
    features: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return features.float()
