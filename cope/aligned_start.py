"""Heads that begin as one random projection for all domains, instead of one for each.

Projections that are drawn independently for each domain leave the domains unaligned: what pretrained towers know across
domains has to be learned again from the training products. With the same projection for all, a product is found across
domains before the first step. On towers of random weights there is little to know; but there all embeddings begin near
one direction, which centring takes away, and training leaves the plateau of an untrained batch sooner.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Final

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from cope.model import Cope
from cope.pixels import normalised
from cope.text import embed_texts
from cope.titles import tokenize
from cope.tower_cache import TowerCache
from rope.domain import DOMAINS, Domain
from rope.errors import UsageError
from rope.feed import BalancedProducts

__all__ = ["align_heads", "align_untrained_heads"]

_Layer = tuple[torch.Tensor, torch.Tensor]
"""Weights and biases."""

_LEAST_DEVIATION: Final = 1e-4
"""Of features that are brought to one scale; those of texts that are all empty have none, and keep theirs."""

_N_BATCHES: Final = 8
"""Training batches that the features of untrained towers are centred by."""

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
    _begin_alike(model, dict.fromkeys(DOMAINS, visual), dict.fromkeys(DOMAINS, text))


@torch.no_grad()
def align_untrained_heads(
    model: Cope, tokenizer: PreTrainedTokenizerBase, products: BalancedProducts, seed: int, *, use_text: bool = True
) -> None:
    """As `align_heads`, on COPE's own towers: features of a few training batches are centred, in each domain by itself.

    Args:
        model: changed in place.
        tokenizer: of the texts.
        products: to train on; those that are visited first count.
        seed: of the projections.
        use_text: whether texts are read.

    Raises:
        DatasetError: a sample cannot be decoded, and there is none in its stead.
    """
    draws = [draw for batch, _ in islice(products.steps(0, 0), _N_BATCHES) for draw in batch]
    items = [products[draw] for draw in draws]
    model.eval()
    frames, texts = {}, {}
    for domain in DOMAINS:
        clips = [item.clips[domain] for item in items]
        frames[domain] = model.vision(normalised(torch.stack([clip.frames for clip in clips]).to(_device(model))))
        if domain in model.config.text_domains:
            tokens = tokenize(tokenizer, [clip.text if use_text else None for clip in clips])
            texts[domain] = embed_texts(model.text, *(part.to(_device(model)) for part in tokens))
    generator = torch.Generator().manual_seed(seed)
    _begin_alike(model, *(_by_domain(features, model.config.embedding_dim, generator) for features in (frames, texts)))
    model.train()


def _by_domain(features: Mapping[Domain, torch.Tensor], dim: int, generator: torch.Generator) -> dict[Domain, _Layer]:
    """One projection of the features [n, width] of all domains, that centres each by itself."""
    means = {domain: rows.mean(dim=0) for domain, rows in features.items()}
    weights, _ = _projection(torch.cat([rows - means[domain] for domain, rows in features.items()]), dim, generator)
    return {domain: (weights, -weights @ mean) for domain, mean in means.items()}


def _begin_alike(model: Cope, visual: Mapping[Domain, _Layer], text: Mapping[Domain, _Layer]) -> None:
    eye = torch.eye(model.config.embedding_dim)
    both = torch.cat([_TEXT_SHARE * eye, eye], dim=1)
    for domain in DOMAINS:
        _set(model.get_submodule("page_visual" if domain == "page" else domain), *visual[domain])
        if domain in model.config.text_domains:
            _set(model.get_submodule(f"{domain}_text"), *text[domain])
            _set(model.get_submodule(f"{domain}_fusion"), both, torch.zeros(len(eye)))


def _projection(features: torch.Tensor, dim: int, generator: torch.Generator) -> _Layer:
    """Weights [dim, width] and biases [dim] that centre features [n, width], scale them, and project them at random."""
    mean = features.mean(dim=0)
    weights = torch.randn(dim, features.shape[1], generator=generator).to(features)
    deviation = (features - mean).std()
    weights /= (deviation if deviation > _LEAST_DEVIATION else 1.0) * features.shape[1] ** 0.5
    return weights, -weights @ mean


def _set(layer: nn.Module, weights: torch.Tensor, biases: torch.Tensor) -> None:
    for name, value in (("weight", weights), ("bias", biases)):
        layer.get_parameter(name).copy_(value)


def _device(model: Cope) -> torch.device:
    return model.page_fusion.weight.device
