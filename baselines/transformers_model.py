"""Any image, or image and text, embedding model of transformers, by its name on the Hub or its folder.

CLIP-like models (CLIP, SigLIP, SigLIP 2 ...) give their projected features; a model of images alone (DINOv2 ...) its
pooled output, or what `tokens` says. Images are prepared by the model's own processor computed with Pillow, which
equals the originals bit for bit where theirs was written with Pillow.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import Options, read_options
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading, note, refuse_missing
from rope.errors import UsageError

__all__ = ["TransformersModel", "embedder", "load_transformers_model"]

Tokens = Literal["pooler", "cls", "mean"]

TOKENS: Final[tuple[Tokens, ...]] = get_args(Tokens)

_POOLER: Final = r"(.*\.)?pooler\..*"
_CLASS_TOKENS: Final = ("cls_token", "class_embedding", "class_token")

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
        tokenizer: None where there is no text tower.
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
        return self._one_vector(self._encode(**placed))

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
        return self._one_vector(self._model.get_text_features(**found.to(self._model.device)))

    def _one_vector(self, found: Any) -> torch.Tensor:  # noqa: ANN401  a tensor, or an output with several fields
        """float32 [n, dim] of what a model gives."""
        given = found if isinstance(found, torch.Tensor) else getattr(found, "pooler_output", None)
        if given is None or (self._tokens != "pooler" and not _has_projection(self._model)):
            given = getattr(found, "last_hidden_state", None)
        if not isinstance(given, torch.Tensor):
            raise UsageError(f"{self._source}: gives no features of its inputs; choose a model of embeddings")
        if given.ndim == 2 and self._tokens != "pooler":
            raise UsageError(f"{self._source}: gives one vector of each input, so tokens={self._tokens} says nothing")
        if given.ndim == 4:  # channels first, of a convolutional network; its pooler leaves one place
            given = given.flatten(2).transpose(1, 2)
            if given.shape[1] == 1:
                given = given[:, 0]
        if given.ndim == 2:
            return given.float()
        if given.ndim != 3 or self._tokens == "pooler":
            raise UsageError(
                f"{self._source}: gives {list(given.shape[1:])} numbers of each input and not one vector; tokens=cls "
                "takes the first of several, tokens=mean their mean"
            )
        if self._tokens == "cls":
            return given[:, 0].float()
        return given[:, _n_not_patches(self._model) :].float().mean(dim=1)


def load_transformers_model(
    source: str, *, precision: str, device: str, tokens: Tokens | None = None
) -> TransformersModel:
    """Load a model, its image processor and, where it has a text tower, its tokenizer.

    Args:
        source: Hub id or folder.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `choose_device`.
        tokens: what of a model of images alone becomes its vector: `pooler`, its own pooled output; `cls`, the last
            hidden state of the class token; `mean`, the mean of those of the patches. None is `pooler`, or, where the
            model has none with weights, `cls` or without such a token `mean`, which is said on stderr.

    Raises:
        UsageError: transformers cannot load it, weights are missing, or `tokens` does not fit.
    """
    place, dtype = choose_device(device), choose_dtype(precision)
    with loading(source, "AutoModel of transformers", may_lack=_POOLER) as found:
        model: Any = AutoModel.from_pretrained(source, dtype=dtype).to(place)
        images: Any = AutoImageProcessor
        processor = images.from_pretrained(source, backend="pil")
        tokenizer = AutoTokenizer.from_pretrained(source) if hasattr(model, "get_text_features") else None
    if _has_projection(model) or tokens == "pooler":
        refuse_missing(source, found.lacking)
    if getattr(model.config, "mask_ratio", 0):
        model.config.mask_ratio = 0.0  # a masked autoencoder would look at a random quarter of the image
    return TransformersModel(source, model, processor, tokenizer, tokens or _choose(source, model, found.lacking))


def embedder(model: str, tokens: str = "", **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:transformers_model?model=google/siglip2-base-patch16-224`.

    Args:
        model: Hub id or folder.
        tokens: `pooler`, `cls` or `mean`, see `load_transformers_model`; empty for the model's own.
        **shared: see `baselines.options.Options`; `text_weight` is 0 where the model has no text tower.
    """
    if tokens and tokens not in TOKENS:
        raise UsageError(f"tokens {tokens!r} is not one of {', '.join(TOKENS)}")
    options = read_options(shared, Options())
    chosen: Tokens | None = next((name for name in TOKENS if name == tokens), None)
    encoder = load_transformers_model(model, precision=options.precision, device=options.device, tokens=chosen)
    if not encoder.has_text and "text_weight" not in shared:
        options = read_options(shared, Options(text_weight=0))
    return FusedEmbedder(model.rstrip("/").rpartition("/")[2], PooledImages(encoder, options.pool), options)


def _has_projection(model: Any) -> bool:  # noqa: ANN401
    """Whether a model gives features of its own, and not only the states of an image tower."""
    return hasattr(model, "get_image_features")


def _choose(source: str, model: Any, lacking: Sequence[str]) -> Tokens:  # noqa: ANN401
    """What becomes the vector where nobody says: the pooled output, unless its weights would be random."""
    if not lacking and not _never_pools(model):
        return "pooler"
    is_cls = _has_class_token(model)
    taken = "the class token, tokens=cls" if is_cls else "the mean of the patches, tokens=mean"
    other = "; tokens=mean takes the mean of the patches" if is_cls else ""
    why = f"lacks the weights of a pooler ({', '.join(lacking)})" if lacking else "has no pooler"
    note(f"{source} {why}, so its vector is {taken}{other}")
    return "cls" if is_cls else "mean"


def _never_pools(model: Any) -> bool:  # noqa: ANN401
    """Whether the output of a model of images alone has no pooled field, as that of a masked autoencoder."""
    if _has_projection(model):
        return False
    kind = inspect.signature(model.forward).return_annotation
    names = [getattr(part, "__dataclass_fields__", {}) for part in (*get_args(kind), kind)]
    known = [fields for fields in names if fields]
    return bool(known) and not any("pooler_output" in fields for fields in known)


def _has_class_token(model: Any) -> bool:  # noqa: ANN401
    return any(name.rpartition(".")[2] in _CLASS_TOKENS for name, _ in model.named_parameters())


def _n_not_patches(model: Any) -> int:  # noqa: ANN401
    """Tokens that stand before those of the patches: the class token and the registers."""
    return int(_has_class_token(model)) + int(getattr(model.config, "num_register_tokens", 0) or 0)
