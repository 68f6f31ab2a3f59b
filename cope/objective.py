"""The training loss: contrastive terms and product classification over one global batch."""

from dataclasses import asdict, dataclass

import torch

from cope.classification import ProductCentres, capped, sample_classes
from cope.config import LossConfig
from cope.losses import ALIGNMENT_PAIRS, CONTRASTIVE_PAIRS, contrastive_losses, weighted_sum
from cope.ranks import ALONE, ProcessRank, gather_for_copies, undo_average
from cope.views import AmpereViews, Views
from rope.domain import DOMAINS

__all__ = ["Losses", "objective"]


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of one global batch; the same on each rank.

    Attributes:
        total: what to call `backward` on.
        terms: by name and without weights: the seven contrastive ones, those of `config.alignment` that have a
            weight, and `classify_page`, `classify_video` and `classify_live`
            where there is a classification. They have no gradient.
    """

    total: torch.Tensor
    terms: dict[str, torch.Tensor]


def objective(
    views: Views | AmpereViews,
    labels: torch.Tensor,
    centres: ProductCentres | None,
    config: LossConfig,
    *,
    seed: int,
    step: int,
    ranks: ProcessRank = ALONE,
) -> Losses:
    """The weighted sum of the contrastive terms and the product classification, computed in float32.

    On several ranks its gradients are meant for a model whose gradients are averaged over them (data parallelism): the
    average is then the gradient of one process with the whole batch, for both parts alike. Those of the centres are
    whole as they are.

    Args:
        views: b products of this rank, as many as on each other; no product twice in the global batch.
        labels: integers [b], the products.
        centres: of the classification, shared by the domains; None leaves it out, as a weight of 0 does.
        config: weights and constants.
        seed: of the whole training; matters where `config.class_share` is below 1.
        step: its number.
        ranks: who takes part; the same as the centres'.

    >>> views = Views(*torch.eye(2).expand(5, 2, 2))
    >>> centres = ProductCentres(4, 2, seed=0)
    >>> sorted(objective(views, torch.tensor([3, 1]), centres, LossConfig(), seed=0, step=0).terms)[:3]
    ['classify_live', 'classify_page', 'classify_video']
    """
    with torch.autocast(views.page.device.type, enabled=False):
        rows = undo_average(torch.stack([*views], dim=1).float(), ranks)  # [b, 5 or 9, dim]
        everyone = type(views)(*gather_for_copies(rows, ranks).unbind(1))
        aligned = {name: ALIGNMENT_PAIRS[name] for name, weight in asdict(config.alignment).items() if weight}
        terms = contrastive_losses(everyone, config.temperature, config.smoothing, {**CONTRASTIVE_PAIRS, **aligned})
        total = weighted_sum(terms, config.weights, config.alignment)
        if centres is not None and config.classification_weight:
            by_domain = _classification(type(views)(*rows.unbind(1)), labels, centres, config, seed, step)
            total = total + config.classification_weight * by_domain.sum()
            terms |= {f"classify_{domain}": loss for domain, loss in zip(DOMAINS, by_domain, strict=True)}
    return Losses(total, {name: term.detach() for name, term in terms.items()})


def _classification(
    views: Views | AmpereViews, labels: torch.Tensor, centres: ProductCentres, config: LossConfig, seed: int, step: int
) -> torch.Tensor:
    """The mean loss over the global batch of pages, videos and live clips, [3], in one pass over the centres."""
    ranks = centres.ranks
    classes = None
    if config.class_share < 1:
        everyone = gather_for_copies(labels, ranks)
        classes = sample_classes(everyone, centres.n_products, config.class_share, seed, step)
    embeddings = torch.cat([views.page, views.video, views.live])  # [3 * b, dim]
    losses: torch.Tensor = centres(embeddings, labels.repeat(3), classes, scale=config.scale, margin=config.margin)
    return capped(losses, config.value_cap).reshape(ranks.size, 3, len(labels)).mean(dim=(0, 2))
