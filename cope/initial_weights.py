"""Random weights of the visual tower for training from nothing.

transformers draws all weights with one deviation of 0.02, which suits a width of 768 and published weights that replace
them. In a small tower the class token then hardly depends on the image, all embeddings are equal, and training does not
leave that point.
"""

from typing import Final

import torch
from torch import nn

from cope.vision import VisualTower

__all__ = ["POSITION_DEVIATION", "draw_layers", "draw_visual_tower"]

POSITION_DEVIATION: Final = 0.02
"""Of position embeddings, as in X-CLIP."""


@torch.no_grad()
def draw_visual_tower(tower: VisualTower) -> None:
    """Draw new weights for a tower from torch's global generator.

    Linear layers keep the variance of what goes through them (Glorot and Bengio, 2010); positions are normal with
    deviation 0.02, as in X-CLIP. Biases are 0 and layer norms the identity.
    """
    draw_layers(tower)
    for positions in (tower.embeddings.position_embedding.weight, tower.mit.position_embedding):
        nn.init.normal_(positions, std=POSITION_DEVIATION)
    nn.init.normal_(tower.embeddings.class_embedding, std=POSITION_DEVIATION)


@torch.no_grad()
def draw_layers(module: nn.Module) -> None:
    """Draw the linear and convolutional layers and the layer norms inside a module, as `draw_visual_tower` does."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(len(part.weight), -1))
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
