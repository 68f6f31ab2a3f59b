"""Products that are seen more often than others, and what the classification does about it."""

from dataclasses import dataclass

import torch

__all__ = ["Tail", "effective_number_weights", "log_prior_shifts"]


@dataclass(frozen=True, slots=True)
class Tail:
    """How the classification makes up for products that are seen rarely.

    Attributes:
        shifts: float32 [n_products], added to the logits while training.
        loss_weights: float32 [n_products], multiply the losses of a product's samples.
    """

    shifts: torch.Tensor
    loss_weights: torch.Tensor


def log_prior_shifts(n_seen: torch.Tensor, strength: float) -> torch.Tensor:
    """Logit adjustment (Menon et al., 2021): the logarithm of how often each class is seen, added to its logit.

    A frequent class then has to win by more, and what is learned is the score for classes that are equally frequent.

    Args:
        n_seen: [n], how often each class is seen, in any unit.
        strength: 1 for the prior itself; 0 changes nothing.

    Returns:
        float32 [n].

    >>> log_prior_shifts(torch.tensor([9, 1]), strength=1.0).exp()
    tensor([0.9000, 0.1000])
    """
    return strength * (n_seen / n_seen.sum()).log()


def effective_number_weights(n_samples: torch.Tensor, beta: float) -> torch.Tensor:
    """Class-balanced weights (Cui et al., 2019): one over the effective number of a class's samples.

    The effective number of n samples is (1 - beta^n) / (1 - beta): 1 for beta = 0, which weighs all classes alike, and
    n for beta near 1.

    Args:
        n_samples: [n], how many samples each class has, at least one.
        beta: from 0 to below 1.

    Returns:
        float32 [n], with mean 1.

    >>> effective_number_weights(torch.tensor([3, 1]), beta=0.0)
    tensor([1., 1.])
    >>> effective_number_weights(torch.tensor([3, 1]), beta=0.999999)
    tensor([0.5000, 1.5000])
    """
    weights = (1 - beta) / (1 - beta ** n_samples.double())
    return (weights / weights.mean()).float()
