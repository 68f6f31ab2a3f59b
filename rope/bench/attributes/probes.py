"""Linear probes: what a linear function of the vector knows of a label.

Torch's L-BFGS finds them: it is there wherever models are run, it is kept up by others, and it needs no second copy of
the vectors. The problem is convex, so that there is one answer, regardless of the start and the number of threads; it
is found to within a slope that no accuracy notices.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from rope.arrays import BoolArray, FloatArray
from rope.bench.attributes.examples import Examples, deal_folds, strata_of
from rope.extras import needed_by

if TYPE_CHECKING:
    import torch as torch_module

__all__ = ["STRENGTHS", "Kind", "LinearProbe", "choose_strength", "fit_path", "fit_probe"]

Kind = Literal["softmax", "sigmoid"]
"""One label of all, or each label on its own."""

STRENGTHS: Final = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The strengths of regularisation that are tried, strongest first."""

INNER_FOLDS: Final = 3
"""Folds of the products that a probe is fitted to, by which its strength is chosen."""

_BLIND: Final = 1e-3
"""The strength where no label has two products, so that none can be tried."""

_STEPS: Final = 1000
_SLOPE: Final = 1e-6
"""The search ends where no entry of the gradient is larger."""

_WORTH_THREADS: Final = 1 << 23
"""Products of numbers in one evaluation from which on several threads are worth while."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearProbe:
    """Scores of labels, linear in the vector.

    Attributes:
        weights: float64 [dim, labels].
        bias: float64 [labels]; infinite for a label that all examples had, or none.
    """

    weights: FloatArray
    bias: FloatArray

    def logits(self, units: FloatArray) -> FloatArray:
        """float64 [n, labels]: log odds of each label, or, for classes, their logarithms up to a constant."""
        scores: FloatArray = units @ self.weights + self.bias
        return scores


def fit_probe(train: Examples, kind: Kind, seed: int) -> tuple[LinearProbe, float]:
    """Fit a probe with the strength that does best on products held out of the examples.

    Args:
        train: what to learn from.
        kind: of the labels.
        seed: of the folds by which the strength is chosen.

    Returns:
        The probe, and the strength that was chosen.

    Raises:
        UsageError: torch is not installed.
    """
    strength = choose_strength(train, kind, seed)
    path = [*(stronger for stronger in STRENGTHS if stronger > strength), strength]
    return fit_path(train, kind, path)[-1], strength


def choose_strength(train: Examples, kind: Kind, seed: int) -> float:
    """The strength of least log loss on held-out products; of equal ones, the strongest.

    Each of `INNER_FOLDS` folds of the products is predicted by probes that were fitted to the others.
    """
    products, first = np.unique(train.products, return_index=True)
    folds = deal_folds(strata_of(train.targets[first]), INNER_FOLDS, seed)
    fold_of = folds[np.searchsorted(products, train.products)]
    losses, n_rows = np.zeros(len(STRENGTHS)), 0
    for fold in range(INNER_FOLDS):
        rest, held = train.take(np.flatnonzero(fold_of != fold)), train.take(np.flatnonzero(fold_of == fold))
        learnable = _learnable(rest.targets, kind)
        if kind == "softmax":
            held = held.take(np.flatnonzero(held.targets[:, learnable].any(axis=1)))
        if not len(held) or not learnable.any():
            continue
        probes = fit_path(rest, kind, STRENGTHS)
        losses += [_log_loss(probe, held, learnable, kind) for probe in probes]
        n_rows += len(held)
    return STRENGTHS[int(np.argmin(losses))] if n_rows else _BLIND


def fit_path(train: Examples, kind: Kind, strengths: Sequence[float]) -> list[LinearProbe]:
    """A probe for each strength of regularisation.

    Unit vectors are moved by their mean and scaled by one number, so that their mean squared length is 1. Then

        mean over samples of the log loss + strength / 2 · sum of the squared weights

    is made least; for tags, the loss of a sample is the sum over tags, so that each is fitted on its own. The
    intercepts are free. Every fit begins where that of the strength before it ended. Labels that no example has, and
    tags that all have, are not fitted: their score is infinite.

    Args:
        train: what to learn from; not empty.
        kind: of the labels.
        strengths: strongest first.
    """
    learnable = _learnable(train.targets, kind)
    centre = train.units.mean(axis=0)
    moved = train.units - centre
    scale = 1 / max(float(np.sqrt(np.mean(np.sum(moved**2, axis=1)))), 1e-12)
    moved *= scale
    constant = np.where(train.targets.any(axis=0), np.inf, -np.inf)
    return [
        _assemble(weights * scale, bias, centre, learnable, constant)
        for weights, bias in _minimise(moved, train.targets[:, learnable], kind, strengths)
    ]


def _assemble(
    weights: FloatArray, bias: FloatArray, centre: FloatArray, learnable: BoolArray, constant: FloatArray
) -> LinearProbe:
    """The probe of all labels, on unit vectors as they are."""
    all_weights, all_bias = np.zeros((len(centre), len(learnable))), constant.copy()
    all_weights[:, learnable] = weights
    all_bias[learnable] = bias - centre @ weights
    return LinearProbe(all_weights, all_bias)


def _learnable(targets: BoolArray, kind: Kind) -> BoolArray:
    """The labels that some example has and, for tags, some example lacks: bool [labels]."""
    some = np.asarray(targets.any(axis=0))
    return some if kind == "softmax" else some & ~np.asarray(targets.all(axis=0))


def _minimise(
    vectors: FloatArray, targets: BoolArray, kind: Kind, strengths: Sequence[float]
) -> list[tuple[FloatArray, FloatArray]]:
    """Weights [dim, labels] and intercepts [labels] for each strength."""
    torch = _torch()
    inputs, wanted = torch.from_numpy(vectors), torch.from_numpy(targets.astype(np.float64))
    weights = torch.zeros((vectors.shape[1], targets.shape[1]), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(targets.shape[1], dtype=torch.float64, requires_grad=True)

    def objective(strength: float) -> "torch_module.Tensor":
        penalty: torch_module.Tensor = strength / 2 * weights.square().sum()
        return _loss(torch, inputs @ weights + bias, wanted, kind) + penalty

    found = []
    with _threads(torch, vectors.size * targets.shape[1]):
        for strength in strengths:
            _descend(torch, [weights, bias], partial(objective, strength))
            found.append((weights.detach().numpy().copy(), bias.detach().numpy().copy()))
    return found


@contextmanager
def _threads(torch: ModuleType, work: int) -> Iterator[None]:
    """One thread where there is little to do: waking the others takes longer, a hundred times so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if work < _WORTH_THREADS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _descend(
    torch: ModuleType, parameters: list["torch_module.Tensor"], objective: Callable[[], "torch_module.Tensor"]
) -> None:
    """Change the parameters until the objective, which is convex, is least."""
    search = torch.optim.LBFGS(
        parameters, max_iter=_STEPS, tolerance_grad=_SLOPE, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def evaluate() -> "torch_module.Tensor":
        search.zero_grad()
        value = objective()
        torch.autograd.backward(value)
        return value

    search.step(evaluate)


def _loss(
    torch: ModuleType, logits: "torch_module.Tensor", wanted: "torch_module.Tensor", kind: Kind
) -> "torch_module.Tensor":
    """The mean over samples of the log loss."""
    loss: torch_module.Tensor
    if kind == "softmax":
        loss = torch.nn.functional.cross_entropy(logits, wanted)
    else:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(wanted)
    return loss


def _log_loss(probe: LinearProbe, held: Examples, learnable: BoolArray, kind: Kind) -> float:
    """The sum over samples of the log loss of the labels that were fitted."""
    logits, targets = probe.logits(held.units)[:, learnable], held.targets[:, learnable]
    right = float(logits[targets].sum())
    if kind == "softmax":
        return float(np.logaddexp.reduce(logits, axis=1).sum()) - right
    return float(np.logaddexp(0, logits).sum()) - right


def _torch() -> ModuleType:
    with needed_by("a linear probe", "torch"):
        import torch
    return torch
