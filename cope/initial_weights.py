"""Random weights of the visual tower for training from nothing.

transformers draws all weights with one deviation of 0.02, which suits a width of 768 and published weights that replace
them. In a small tower the class token then hardly depends on the image, all embeddings are equal, and training does not
leave that point.
"""

import torch
from torch import nn

from cope.vision import VisualTower

__all__ = ["draw_visual_tower"]

_POSITION_DEVIATION = 0.02


@torch.no_grad()
def draw_visual_tower(tower: VisualTower) -> None:
    """Draw the weights of a tower anew, from torch's global generator.

    Linear layers keep the variance of what goes through them (Glorot and Bengio, 2010); positions are normal with
    deviation 0.02, as in X-CLIP. Biases are 0 and layer norms the identity.
    """
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for positions in (tower.embeddings.position_embedding.weight, tower.mit.position_embedding):
        nn.init.normal_(positions, std=_POSITION_DEVIATION)
    nn.init.normal_(tower.embeddings.class_embedding, std=_POSITION_DEVIATION)
