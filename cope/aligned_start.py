"""Heads on frozen towers that begin as one random projection for all domains, instead of one for each.

Projections that are drawn independently for each domain leave the domains unaligned: what pretrained towers know across
domains has to be learned again from the training products. With the same projection for all, a product is found across
domains before the first step.
"""

from typing import Final

import torch
from torch import nn

from cope.model import Cope
from cope.tower_cache import TowerCache
from rope.domain import DOMAINS
from rope.errors import UsageError

__all__ = ["align_heads"]

_TEXT_SHARE: Final = 0.5
"""What the text counts where the frames count 1."""


@torch.no_grad()
def align_heads(model: Cope, towers: TowerCache | None, seed: int) -> None:
    """Give the heads of all domains the same weights.

    Features of frames and of texts are centred and brought to one scale by their mean and deviation over the dataset,
    and projected at random, alike in each domain; fusions begin as the sum of frames and half of the text.

    Args:
        model: changed in place.
        towers: features of the dataset.
        seed: of the projections.

    Raises:
        UsageError: a tower has no features of its own, since it is not frozen or its images are augmented.
    """
    if towers is None or towers.frames is None or towers.texts is None:
        raise UsageError(
            "heads: aligned begins with the features of two frozen towers: set `tuning: frozen` for model.vision and "
            "model.text, `crop: 1`, `flip: 0` and `jitter: 0`, or choose `heads: random`"
        )
    generator = torch.Generator().manual_seed(seed)
    frames = torch.cat(
        [model.vision(torch.stack([*rows.values()]).to(_device(model))) for rows in towers.frames.values() if rows]
    )
    texts = torch.stack([*towers.texts.values()]).to(frames)
    dim = model.config.embedding_dim
    visual, text = (_projection(features, dim, generator) for features in (frames, texts))
    both = torch.cat([_TEXT_SHARE * torch.eye(dim), torch.eye(dim)], dim=1)
    for domain in DOMAINS:
        _set(model.get_submodule("page_visual" if domain == "page" else domain), *visual)
        if domain in model.config.text_domains:
            _set(model.get_submodule(f"{domain}_text"), *text)
            _set(model.get_submodule(f"{domain}_fusion"), both, torch.zeros(dim))


def _projection(features: torch.Tensor, dim: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [dim, width] and biases [dim] that centre features [n, width], scale them, and project them at random."""
    mean = features.mean(dim=0)
    weights = torch.randn(dim, features.shape[1], generator=generator).to(features)
    weights /= (features - mean).std() * features.shape[1] ** 0.5
    return weights, -weights @ mean


def _set(layer: nn.Module, weights: torch.Tensor, biases: torch.Tensor) -> None:
    for name, value in (("weight", weights), ("bias", biases)):
        layer.get_parameter(name).copy_(value)


def _device(model: Cope) -> torch.device:
    return model.page_fusion.weight.device
