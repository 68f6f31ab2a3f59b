"""The figures as the authors' evaluation counts them, to compare with theirs; `rope-bench recommend` counts otherwise.

Ties count for the model, and what a user took before is lowered rather than left out. docs/recommendation.md has the
differences.
"""

import torch
from torch import Tensor

__all__ = ["released_figures"]

_EXCLUDED = -1e4


def released_figures(
    scores: Tensor, targets: Tensor, history: Tensor | None = None, ks: tuple[int, ...] = (1, 5, 10, 50)
) -> dict[str, float]:
    """NDCG@k, Recall@k, MRR and AUC of one batch; the authors average those of batches, regardless of their size.

    The rank is the number of items with a strictly higher score. AUC divides it by the number of scores above -10,000,
    the target's own among them, and so of the items of the history those whose score was positive.

    Args:
        scores: float32 [b, n].
        targets: int64 [b].
        history: int64 [b, t], padded with n: items whose score is lowered by 10,000; None for no item.
        ks: cut-offs.

    >>> released_figures(torch.tensor([[0.5, 0.5, 0.1]]), torch.tensor([1]), ks=(1,))
    {'NDCG@1': 1.0, 'Recall@1': 1.0, 'MRR': 1.0, 'AUC': 1.0}
    """
    if history is not None:
        lowered = scores.new_zeros(len(scores), scores.shape[1] + 1).scatter(1, history, _EXCLUDED)
        scores = scores + lowered[:, :-1]
    own = scores.gather(1, targets[:, None])
    n_valid = (scores > _EXCLUDED).sum(1).float()
    rank = (scores > own).sum(1).float()
    figures = {}
    for k in ks:
        is_found = (rank < k).float()
        figures[f"NDCG@{k}"] = (1 / torch.log2(rank + 2) * is_found).mean().item()
        figures[f"Recall@{k}"] = is_found.mean().item()
    return {**figures, "MRR": (1 / (rank + 1)).mean().item(), "AUC": (1 - rank / n_valid).mean().item()}
