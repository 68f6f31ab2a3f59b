"""The objectives of LEARN, as pure functions of unit vectors."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

__all__ = ["dense_all_action", "full_gallery_softmax", "in_batch_softmax"]

_EXCLUDED = -1e4
"""The release's logarithm of nothing."""


def in_batch_softmax(users: Tensor, items: Tensor, item_ids: Tensor, scale: float = 20.0) -> Tensor:
    """Each user's item against the items of the others, from users to items alone: a scalar.

    Another user's item that is the same item is not a negative.

    Args:
        users: unit vectors [b, d].
        items: unit vectors [b, d], that of each user.
        item_ids: [b], which item each is.
        scale: that cosines are multiplied by.

    >>> basis = torch.eye(2)
    >>> round(in_batch_softmax(basis, basis, torch.tensor([0, 1]), scale=1.0).item(), 4)
    0.3133
    >>> in_batch_softmax(basis, basis, torch.tensor([7, 7])).item()
    0.0
    """
    logits = scale * users @ items.T
    is_same = item_ids[:, None] == item_ids[None]
    own = torch.eye(len(users), dtype=torch.bool, device=users.device)
    logits = logits.masked_fill(is_same & ~own, _EXCLUDED)
    return cross_entropy(logits, torch.arange(len(users), device=users.device))


def full_gallery_softmax(
    users: Tensor, gallery: Tensor, targets: Tensor, history: Tensor | None = None, scale: float = 20.0
) -> Tensor:
    """Each user's item against every item: a scalar.

    Args:
        users: unit vectors [b, d].
        gallery: unit vectors [n, d].
        targets: rows of the gallery [b].
        history: rows of the gallery [b, t] that are left out, padded with n; None to leave out nothing. The release
            lowers the cosine, by 10,000, before it is scaled; the target itself is left out, too, where it is in the
            history.
        scale: that cosines are multiplied by.

    >>> round(full_gallery_softmax(torch.eye(2)[:1], torch.eye(2), torch.tensor([0]), scale=1.0).item(), 4)
    0.3133
    """
    cosines = users @ gallery.T
    if history is not None:
        lowered = cosines.new_zeros(len(users), len(gallery) + 1).scatter(1, history, _EXCLUDED)
        cosines = cosines + lowered[:, :-1]
    return cross_entropy(scale * cosines, targets)


def dense_all_action(
    places: Tensor, items: Tensor, item_ids: Tensor, place_mask: Tensor, item_mask: Tensor, scale: float = 20.0
) -> Tensor:
    """Every drawn place of a history against every later item drawn of the same user: the mean over pairs, a scalar.

    The negatives of a pair are the items of the other users, without those that are one of this user's.

    Args:
        places: unit vectors [b, p, d].
        items: unit vectors [b, a, d].
        item_ids: [b, a], which item each is.
        place_mask: bool [b, p], whether a place is one.
        item_mask: bool [b, a], whether an item is one.
        scale: that cosines are multiplied by.

    >>> basis, ids, there = torch.eye(2)[:, None], torch.tensor([[0], [1]]), torch.ones((2, 1), dtype=torch.bool)
    >>> round(dense_all_action(basis, basis, ids, there, there, scale=1.0).item(), 4)
    0.3133
    """
    b, p, _ = places.shape
    a = items.shape[1]
    logits = scale * torch.einsum("bpd,cad->bpca", places, items)  # [b, p, b, a]
    is_mine = (item_ids[:, None, :, None] == item_ids[None, :, None, :]) & item_mask[:, None, :, None]
    excluded = is_mine.any(2) | ~item_mask[None]  # [b, b, a]: what does not count as a negative of a user
    excluded = excluded | torch.eye(b, dtype=torch.bool, device=places.device)[:, :, None]
    negatives = logits.masked_fill(excluded[:, None], _EXCLUDED).flatten(2).logsumexp(2)  # [b, p]
    rows = torch.arange(b, device=places.device)
    positives = logits[rows, :, rows]  # [b, p, a]
    losses = torch.logaddexp(positives, negatives[:, :, None].expand(b, p, a)) - positives
    counted = place_mask[:, :, None] & item_mask[:, None, :]
    return losses[counted].mean()
