"""Any image, or image and text, embedding model of transformers, by its name on the Hub or its folder.

CLIP-like models (CLIP, SigLIP, SigLIP 2 ...) give their projected features; an image-only model (DINOv2 ...) its
pooled output, or what `tokens` says. Images are prepared by the model's own processor computed with Pillow, which
equals the originals bit for bit where theirs was written with Pillow.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.late_interaction import refuse_many_vectors
from baselines.options import EmbeddingOptions, read_options
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.vectors import POOLER, TOKENS, Tokens, choose_tokens, has_projection, one_vector
from rope.encoders.weights import loading, refuse_missing
from rope.errors import UsageError

__all__ = ["TransformersModel", "embedder", "load_transformers_model"]

Prepared = torch.Tensor | Mapping[str, torch.Tensor]
"""Of one image: float32 [3, height, width], or by name where the model takes more than pixels."""


class TransformersModel:
    """Image and text features as the model gives them, not normalised.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: whether the model has a text tower.
        thread_safe: True.

    Args:
        source: where it was loaded from, for error texts.
        model: of transformers.
        processor: of images.
        tokenizer: None without a text tower.
        tokens: which vector a model gives that does not give one of its own.
    """

    thread_safe: bool = True

    def __init__(self, source: str, model: Any, processor: Any, tokenizer: Any, tokens: Tokens) -> None:  # noqa: ANN401
        self._source = source
        self._model = model.eval()
        self._processor = processor
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._takes = frozenset(inspect.signature(self._encode).parameters)
        self.has_text = tokenizer is not None and hasattr(model, "get_text_features")
        self.fingerprint = fingerprint_of(self, without=["_source"])

    @property
    def _encode(self) -> Any:  # noqa: ANN401
        return getattr(self._model, "get_image_features", self._model.forward)

    def prepare(self, image: npt.NDArray[np.uint8]) -> Prepared:
        """uint8 [height, width, 3] to float32 [3, h, w], or to all that the processor gives and the model takes.

        Raises:
            UsageError: the processor gives several rows of one image, so that the model has no one vector of it.
        """
        found = self._processor(images=Image.fromarray(image), return_tensors="pt")
        taken = {name: torch.as_tensor(value) for name, value in found.items() if name in self._takes}
        if wrong := [name for name, value in taken.items() if value.ndim < 1 or len(value) != 1]:
            raise UsageError(
                f"{self._source}: its processor gives {wrong[0]} of the shape {list(taken[wrong[0]].shape)} for one "
                "image, so the model has no one vector of it; choose a model of image embeddings"
            )
        return taken["pixel_values"][0] if list(taken) == ["pixel_values"] else {n: v[0] for n, v in taken.items()}

    @torch.inference_mode()
    def encode_images(self, prepared: Sequence[Prepared]) -> torch.Tensor:
        """float32 [n, dim] of n prepared images.

        Raises:
            UsageError: the model gives several vectors of an image, and `tokens` does not say which to take.
        """
        named = [{"pixel_values": one} if isinstance(one, torch.Tensor) else one for one in prepared]
        shapes = {tuple((name, value.shape) for name, value in one.items()) for one in named}
        batches = [named] if len(shapes) == 1 else [[one] for one in named]
        return torch.cat([self._batch(batch) for batch in batches])

    def _batch(self, prepared: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        given = {name: torch.stack([one[name] for one in prepared]) for name in prepared[0]}
        like = {name: self._model.dtype if value.is_floating_point() else None for name, value in given.items()}
        placed = {name: value.to(self._model.device, like[name]) for name, value in given.items()}
        return one_vector(self._source, self._model, self._encode(**placed), self._tokens)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts, padded to the model's full length: SigLIP was trained so, CLIP does not care.

        Raises:
            UsageError: see `encode_images`.
        """
        length = getattr(self._model.config, "text_config", self._model.config).max_position_embeddings
        found = self._tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=min(length, self._tokenizer.model_max_length),
            return_tensors="pt",
        )
        given = self._model.get_text_features(**found.to(self._model.device))
        return one_vector(self._source, self._model, given, self._tokens)


def load_transformers_model(
    source: str, *, precision: str, device: str, tokens: Tokens | None = None
) -> TransformersModel:
    """Load a model, its image processor and, where it has a text tower, its tokenizer.

    Args:
        source: Hub id or folder.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `choose_device`.
        tokens: what of an image-only model becomes its vector: `pooler`, its own pooled output; `cls`, the last
            hidden state of the class token; `mean`, the mean of those of the patches. None is `pooler`, or, where the
            model has none with weights, `cls` or without such a token `mean`, which is said on stderr.

    Raises:
        UsageError: transformers cannot load it, weights are missing, `tokens` does not fit, or it gives many vectors.
    """
    refuse_many_vectors(source)
    place, dtype = choose_device(device), choose_dtype(precision)
    with loading(source, "AutoModel of transformers", may_lack=POOLER) as found:
        model: Any = AutoModel.from_pretrained(source, dtype=dtype).to(place)
        images: Any = AutoImageProcessor
        processor = images.from_pretrained(source, backend="pil")
        tokenizer = AutoTokenizer.from_pretrained(source) if hasattr(model, "get_text_features") else None
    if has_projection(model) or tokens == "pooler":
        refuse_missing(source, found.lacking)
    if getattr(model.config, "mask_ratio", 0):
        model.config.mask_ratio = 0.0  # a masked autoencoder would look at a random quarter of the image
    return TransformersModel(source, model, processor, tokenizer, tokens or choose_tokens(source, model, found.lacking))


def embedder(model: str, tokens: str = "", **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:transformers_model?model=google/siglip2-base-patch16-224`.

    Args:
        model: Hub id or folder.
        tokens: `pooler`, `cls` or `mean`, see `load_transformers_model`; empty for the model's own.
        **shared: see `baselines.options.EmbeddingOptions`; `text_weight` is 0 where the model has no text tower.
    """
    if tokens and tokens not in TOKENS:
        raise UsageError(f"tokens {tokens!r} is not one of {', '.join(TOKENS)}")
    options = read_options(shared, EmbeddingOptions())
    chosen: Tokens | None = next((name for name in TOKENS if name == tokens), None)
    encoder = load_transformers_model(model, precision=options.precision, device=options.device, tokens=chosen)
    if not encoder.has_text and "text_weight" not in shared:
        options = read_options(shared, EmbeddingOptions(text_weight=0))
    return FusedEmbedder(model.rstrip("/").rpartition("/")[2], PooledImages(encoder, options.pool), options)
