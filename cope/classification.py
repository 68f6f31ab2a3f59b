"""Product classification: one centre per product, shared by the domains, and a margin that the right one must win by.

CosFace (Wang et al., 2018) with the centres shared out over the ranks, and optionally a sample of them a step, as in
Partial FC (An et al., 2022).
"""

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.functional import normalize

from cope.long_tail import Tail
from cope.ranks import ALONE, ProcessRank, gather_for_copies, gather_for_parts, shard_bounds

__all__ = ["ProductCentres", "capped", "margin_logits", "sample_classes", "shard_statistics", "sharded_cross_entropy"]

_CENTRE_DEVIATION = 0.01


def margin_logits(
    embeddings: torch.Tensor, centres: torch.Tensor, targets: torch.Tensor, scale: float, margin: float
) -> torch.Tensor:
    """Scaled cosines of embeddings with centres; the margin is taken from that of the true one.

    Cosines are not clamped to [-1, 1]: rounding takes them out by 1e-7 at most, and a clamp would stop their gradient.

    Args:
        embeddings: [n, dim], of any length.
        centres: [c, dim], of any length.
        targets: integers [n], the row of the true centre, or -1 where it is not among these.
        scale: multiplies the cosines.
        margin: taken from the cosine of the true centre.

    Returns:
        [n, c].

    >>> axes = torch.eye(2)
    >>> margin_logits(axes[:1], axes, torch.tensor([0]), scale=10.0, margin=0.5)
    tensor([[5., 0.]])
    """
    logits = (scale * normalize(embeddings)) @ normalize(centres).T
    rows = torch.nonzero(targets >= 0).flatten()
    logits[rows, targets[rows]] -= scale * margin
    return logits


def shard_statistics(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """What the other shards need to know of this one: [2, n], the logarithm of the sum of exp, and the true logit.

    Args:
        logits: [n, c], of the classes of one shard, of which there may be none.
        targets: integers [n], the column of the true class, or -1 where another shard has it; its logit is then 0.
    """
    # No class at all gives -inf, whose products with 0 would be NaN.
    log_sums = logits.logsumexp(dim=1).clamp(min=torch.finfo(logits.dtype).min / 4)
    rows = torch.nonzero(targets >= 0).flatten()
    true_logits = torch.zeros_like(log_sums).index_put((rows,), logits[rows, targets[rows]])
    return torch.stack([log_sums, true_logits])


def sharded_cross_entropy(own: torch.Tensor, everyone: torch.Tensor) -> torch.Tensor:
    """Cross entropy over the classes of all shards, [n]; backward, its whole gradient for the logits of one shard.

    The value is that of all shards. The gradient goes through `own` alone: the logarithm of the sum over all shards
    moves with that of one shard in proportion to the shard's part of the sum, which multiplies it here as a constant.

    Args:
        own: `shard_statistics` of this shard.
        everyone: those of all shards, [shards, 2, n], without a gradient.

    >>> logits, targets = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([0])
    >>> left = shard_statistics(logits[:, :2], targets)
    >>> right = shard_statistics(logits[:, 2:], torch.tensor([-1]))
    >>> sharded_cross_entropy(left, torch.stack([left, right])), nn.functional.cross_entropy(logits, targets)
    (tensor([1.4644]), tensor(1.4644))
    """
    log_sums, true_logits = everyone[:, 0].logsumexp(dim=0), everyone[:, 1].sum(dim=0)
    share = (own[0].detach() - log_sums).exp()
    with_gradient = share * own[0] - own[1]
    return with_gradient + (log_sums - true_logits - with_gradient).detach()


def capped(losses: torch.Tensor, cap: float | None) -> torch.Tensor:
    """Losses of at most `cap` in value; their gradients are those of the losses as they were.

    >>> loss = torch.tensor([70.0], requires_grad=True)
    >>> shown = capped(loss, 69.0)
    >>> shown.backward()
    >>> shown.item(), loss.grad.item()
    (69.0, 1.0)
    """
    if cap is None:
        return losses
    return losses - (losses.detach() - cap).clamp(min=0)


def sample_classes(labels: torch.Tensor, n_products: int, share: float, seed: int, step: int) -> torch.Tensor:
    """The products that one step classifies among: all those of the batch, and others drawn at random; sorted.

    The same on every rank and for every number of ranks; it depends only on the arguments.

    Args:
        labels: integers [n], the products of the global batch.
        n_products: how many there are in all.
        share: how many of them to take, as a share; more where the batch alone has more.
        seed: of the whole training.
        step: its number.

    Returns:
        Different integers below `n_products`, on the device of the labels.

    >>> sample_classes(torch.tensor([7, 7, 2]), n_products=10, share=0.4, seed=0, step=0)
    tensor([1, 2, 3, 7])
    """
    in_batch = np.unique(labels.cpu().numpy())
    size = max(round(share * n_products), len(in_batch))
    order = np.random.default_rng([seed, step]).random(n_products)
    order[in_batch] = -1.0
    chosen = np.sort(np.argpartition(order, size - 1)[:size])
    return torch.from_numpy(chosen).to(labels.device)


class ProductCentres(nn.Module):
    """The centres of one rank's share of the products.

    Not to be wrapped in data parallelism: each rank has other centres, and their gradients are already whole. Its
    `state_dict` holds the rank's own centres; `whole` and `load_whole` are for checkpoints, which then fit any number
    of ranks.

    Args:
        n_products: classes in all.
        dim: dimension of the embeddings.
        seed: of the initial centres, normal with deviation 0.01; each is the same for any number of ranks.
        ranks: who shares them.
        tail: how rare products are made up for; None treats all alike.

    Raises:
        ValueError: there are fewer products than ranks.
    """

    def __init__(
        self, n_products: int, dim: int, *, seed: int, ranks: ProcessRank = ALONE, tail: Tail | None = None
    ) -> None:
        super().__init__()
        if n_products < ranks.size:
            raise ValueError(f"{n_products} products cannot be shared out over {ranks.size} ranks")
        self.n_products = n_products
        self.ranks = ranks
        self.start, self.stop = shard_bounds(n_products, ranks)
        drawn = torch.randn(n_products, dim, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(_CENTRE_DEVIATION * drawn[self.start : self.stop])
        self.shifts: torch.Tensor | None
        self.loss_weights: torch.Tensor | None
        self.register_buffer("shifts", tail.shifts[self.start : self.stop] if tail else None, persistent=False)
        self.register_buffer("loss_weights", tail.loss_weights if tail else None, persistent=False)

    def forward(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor,
        classes: torch.Tensor | None = None,
        *,
        scale: float,
        margin: float,
    ) -> torch.Tensor:
        """Losses of the rows of all ranks, in their order, [n * size]; the same on each rank.

        Backward, embeddings and centres get the gradients of one process that has all rows and all centres.

        Args:
            embeddings: [n, dim], the rows of this rank, as many as on each other.
            labels: integers [n], their products.
            classes: from `sample_classes` for the labels of all ranks; by default all products.
            scale: see `margin_logits`.
            margin: see `margin_logits`.

        Raises:
            ValueError: a label is not the number of a product.
        """
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.n_products:
            raise ValueError(f"expected labels from 0 to {self.n_products - 1}, got {labels.tolist()}")
        embeddings = gather_for_parts(embeddings, self.ranks)
        labels = gather_for_copies(labels, self.ranks)
        chosen, targets = self._chosen(labels, classes)
        logits = margin_logits(embeddings, self.weight[chosen], targets, scale, margin)
        if self.shifts is not None:
            logits = logits + self.shifts[chosen]
        own = shard_statistics(logits, targets)
        everyone = gather_for_copies(own.detach()[None], self.ranks)
        losses = sharded_cross_entropy(own, everyone)
        return losses if self.loss_weights is None else losses * self.loss_weights[labels]

    def _chosen(self, labels: torch.Tensor, classes: torch.Tensor | None) -> tuple[torch.Tensor | slice, torch.Tensor]:
        """Which centres of this rank take part, and for each label the row of its own among them, or -1."""
        is_own = (labels >= self.start) & (labels < self.stop)
        if classes is None:
            return slice(None), torch.where(is_own, labels - self.start, -1)
        own_classes = classes[(classes >= self.start) & (classes < self.stop)]
        rows = torch.searchsorted(own_classes, labels)
        return own_classes - self.start, torch.where(is_own, rows, -1)

    @torch.no_grad()
    def whole(self) -> torch.Tensor:
        """The centres of all products, [n_products, dim]; every rank has to call it."""
        everyone = self.weight.new_zeros(self.n_products, self.weight.shape[1])
        everyone[self.start : self.stop] = self.weight
        if self.ranks.size > 1:
            distributed.all_reduce(everyone)
        return everyone

    @torch.no_grad()
    def load_whole(self, centres: torch.Tensor) -> None:
        """Take this rank's share of what `whole` gave.

        Raises:
            ValueError: there are other products, or the dimension is another.
        """
        expected = (self.n_products, self.weight.shape[1])
        if centres.shape != expected:
            raise ValueError(f"expected centres {list(expected)}, got {list(centres.shape)}")
        self.weight.copy_(centres[self.start : self.stop])
