"""AdamW with a rate for each part of the model, and how the rates rise and fall."""

from math import cos, pi

import torch

from cope.backbones import BackboneVision
from cope.model import Cope
from cope.recipe import TrainingRecipe

__all__ = ["learning_rate_factor", "make_optimizer"]


def make_optimizer(model: Cope, recipe: TrainingRecipe) -> torch.optim.AdamW:
    """AdamW (betas 0.9 and 0.999, epsilon 1e-8) over three groups: text tower, visual tower, projections and fusion.

    Of a pretrained tower, what stands on it, such as the multi-frame transformer, is with the projections. What is
    frozen has no gradient, so that nothing moves it.

    As in the released code, weight decay is for all weights alike.
    """
    vision_tower = model.vision.encoder if isinstance(model.vision, BackboneVision) else model.vision
    text, vision = list(model.text.parameters()), list(vision_tower.parameters())
    in_towers = {id(parameter) for parameter in (*text, *vision)}
    head = [parameter for parameter in model.parameters() if id(parameter) not in in_towers]
    groups = [
        {"params": text, "lr": recipe.lr_text},
        {"params": vision, "lr": recipe.lr_vision},
        {"params": head, "lr": recipe.lr_head},
    ]
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def learning_rate_factor(step: int, warmup: int, total: int) -> float:
    """What a rate is multiplied by in a step: up in a line over `warmup` steps, then down as a cosine, 0 after `total`.

    The first step already moves: it has 1 / warmup of the rate. The released schedule begins with steps at 0, and
    rises again after its end.

    >>> [round(learning_rate_factor(step, 2, 6), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    if step >= total:
        return 0.0
    return 0.5 * (1 + cos(pi * (step - warmup) / (total - warmup)))
