"""The contrastive part of the objective: pairs of views, pulled together where they show one product."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import torch
from torch.nn.functional import cross_entropy, normalize

from cope.config import AlignmentWeights, ContrastiveWeights
from cope.views import AmpereViews, Views

__all__ = ["ALIGNMENT_PAIRS", "CONTRASTIVE_PAIRS", "contrastive_loss", "contrastive_losses", "weighted_sum"]

CONTRASTIVE_PAIRS: Final = {
    "page_visual_video": ("page_visual", "video"),
    "page_visual_live": ("page_visual", "live"),
    "video_live": ("video", "live"),
    "page_video": ("page", "video"),
    "page_live": ("page", "live"),
    "page_text_video": ("page_text", "video"),
    "page_text_live": ("page_text", "live"),
}
"""Name of a term, as in `ContrastiveWeights` -> the two views that it compares."""

ALIGNMENT_PAIRS: Final = {
    "page_text_page_visual": ("page_text", "page_visual"),
    "video_text_video_visual": ("video_text", "video_visual"),
    "live_text_live_visual": ("live_text", "live_visual"),
    "page_visual_video_visual": ("page_visual", "video_visual"),
    "page_visual_live_visual": ("page_visual", "live_visual"),
    "video_visual_live_visual": ("video_visual", "live_visual"),
    "page_text_video_text": ("page_text", "video_text"),
    "page_text_live_text": ("page_text", "live_text"),
    "video_text_live_text": ("video_text", "live_text"),
}
"""Name of a term, as in `AlignmentWeights` -> the two views that it compares."""


def contrastive_loss(a: torch.Tensor, b: torch.Tensor, temperature: float, smoothing: float) -> torch.Tensor:
    """How badly each row of one view finds its product among the rows of another, and the reverse: their mean.

    The cross entropy of the rows, and of the columns, of the cosines divided by the temperature. A share of `smoothing`
    of the target is spread evenly over all products, the right one too. Different rows are taken for different
    products; one that is twice in the batch is its own negative.

    Args:
        a: [n, dim], one product a row; lengths do not matter.
        b: [n, dim], the same products in the same order.
        temperature: above 0.
        smoothing: from 0 up to but not 1.

    Returns:
        A number of at least 0.

    >>> right, up = [1.0, 0.0], [0.0, 1.0]
    >>> a = torch.tensor([right, up])
    >>> round(contrastive_loss(a, a, 1.0, 0.0).item(), 4)  # log(e^1 + e^0) - 1
    0.3133
    >>> round(contrastive_loss(a, a.flip(0), 1.0, 0.0).item(), 4)  # log(e^1 + e^0) - 0
    1.3133
    """
    similarities = normalize(a) @ normalize(b).T / temperature  # [n, n]
    products = torch.arange(len(a), device=a.device)
    forward = cross_entropy(similarities, products, label_smoothing=smoothing)
    back = cross_entropy(similarities.T, products, label_smoothing=smoothing)
    return (forward + back) / 2


def contrastive_losses(
    views: Views | AmpereViews,
    temperature: float,
    smoothing: float,
    pairs: Mapping[str, tuple[str, str]] = CONTRASTIVE_PAIRS,
) -> dict[str, torch.Tensor]:
    """Contrastive terms, by name, without weights.

    Args:
        views: of the global batch.
        temperature: see `contrastive_loss`.
        smoothing: see `contrastive_loss`.
        pairs: name of a term -> the two views that it compares; by default the seven terms of COPE.

    Raises:
        ValueError: a pair has a view that this model does not have.

    >>> list(contrastive_losses(Views(*torch.eye(2).expand(5, 2, 2)), 0.05, 0.1))[:3]
    ['page_visual_video', 'page_visual_live', 'video_live']
    """
    given = views._asdict()
    if missing := sorted({view for pair in pairs.values() for view in pair} - given.keys()):
        raise ValueError(f"a term compares {missing[0]}, which this model does not have; set text_domains, or weight 0")
    return {name: contrastive_loss(given[a], given[b], temperature, smoothing) for name, (a, b) in pairs.items()}


def weighted_sum(
    losses: Mapping[str, torch.Tensor],
    weights: ContrastiveWeights,
    alignment: AlignmentWeights = AlignmentWeights(),  # noqa: B008  frozen
) -> torch.Tensor:
    """The terms times their weights, added up.

    One of COPE's terms of weight 0 stays in the graph with a gradient of 0, so that every parameter has a gradient on
    every rank. Those of `alignment` may be missing then: their views have a gradient by way of the fused ones.
    """
    weight_of = asdict(weights) | {name: weight for name, weight in asdict(alignment).items() if weight}
    return torch.stack([weight * losses[name] for name, weight in weight_of.items()]).sum()
