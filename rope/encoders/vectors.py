"""Which of the things that a model of transformers returns is the one vector of its input."""

import inspect
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import torch

from rope.encoders.weights import note
from rope.errors import UsageError

__all__ = ["POOLER", "TOKENS", "Tokens", "choose_tokens", "has_projection", "one_vector"]

Tokens = Literal["pooler", "cls", "mean"]

TOKENS: Final[tuple[Tokens, ...]] = get_args(Tokens)

POOLER: Final = r"(.*\.)?pooler\..*"
"""Weights that a checkpoint may lack where its pooled output is not used; see `rope.encoders.weights.loading`."""

_CLASS_TOKENS: Final = ("cls_token", "class_embedding", "class_token")


def one_vector(source: str, model: Any, found: Any, tokens: Tokens) -> torch.Tensor:  # noqa: ANN401
    """float32 [n, dim] of what a model gives of n images.

    Args:
        source: where the model came from, for error texts.
        model: of transformers.
        found: its output: a tensor, or a record with several fields.
        tokens: which of several vectors is taken.

    Raises:
        UsageError: it gives none, or `tokens` does not say which of several to take.
    """
    given = found if isinstance(found, torch.Tensor) else getattr(found, "pooler_output", None)
    if given is None or (tokens != "pooler" and not has_projection(model)):
        given = getattr(found, "last_hidden_state", None)
    if not isinstance(given, torch.Tensor):
        raise UsageError(f"{source}: gives no features of its inputs; choose a model of embeddings")
    if given.ndim == 2 and tokens != "pooler":
        raise UsageError(f"{source}: gives one vector of each input, so tokens={tokens} says nothing")
    if given.ndim == 4:  # channels first, of a convolutional network; its pooler leaves one place
        given = given.flatten(2).transpose(1, 2)
        if given.shape[1] == 1:
            given = given[:, 0]
    if given.ndim == 2:
        return given.float()
    if given.ndim != 3 or tokens == "pooler":
        raise UsageError(
            f"{source}: gives {list(given.shape[1:])} numbers of each input and not one vector; tokens=cls "
            "takes the first of several, tokens=mean their mean"
        )
    if tokens == "cls":
        return given[:, 0].float()
    return given[:, _n_not_patches(model) :].float().mean(dim=1)


def has_projection(model: Any) -> bool:  # noqa: ANN401
    """Whether a model gives features of its own, and not only the states of an image tower."""
    return hasattr(model, "get_image_features")


def choose_tokens(source: str, model: Any, lacking: Sequence[str]) -> Tokens:  # noqa: ANN401
    """What becomes the vector where nobody says: the pooled output, unless its weights would be random.

    Args:
        source: where the model came from, for what is said on stderr.
        model: of transformers.
        lacking: weights of a pooler that its checkpoint lacks.
    """
    if not lacking and not _never_pools(model):
        return "pooler"
    is_cls = _has_class_token(model)
    taken = "the class token, tokens=cls" if is_cls else "the mean of the patches, tokens=mean"
    other = "; tokens=mean takes the mean of the patches" if is_cls else ""
    why = f"lacks the weights of a pooler ({', '.join(lacking)})" if lacking else "has no pooler"
    note(f"{source} {why}, so its vector is {taken}{other}")
    return "cls" if is_cls else "mean"


def _never_pools(model: Any) -> bool:  # noqa: ANN401
    """Whether the output of an image-only model has no pooled field, as that of a masked autoencoder."""
    if has_projection(model):
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
