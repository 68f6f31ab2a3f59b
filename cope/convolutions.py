"""A visual tower of a few convolutions, for training from nothing in minutes.

X-CLIP's blocks begin without any notion of nearness and need many more steps and images than two cores see in a quarter
of an hour. Convolutions see colours and textures after a few hundred steps, and cost a fraction of them.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import nn
from torch.nn.functional import gelu

from cope.config import GROUP_COUNT, CopeConfig
from cope.initial_weights import POSITION_DEVIATION, draw_layers
from cope.vision import check_pixels

__all__ = ["ConvolutionalTower"]

_HEADS: Final = 4


class ConvolutionalTower(nn.Module):
    """Clips to features: 3 x 3 convolutions of stride 2, and attention that chooses places.

    Each frame goes through the convolutions by itself. Four learned queries then say which places of it matter, which
    is how the product is distinguished from its surroundings; a clip is the mean of its frames.

    Args:
        config: with `convolutions`, the channels of each layer.
    """

    def __init__(self, config: CopeConfig) -> None:
        super().__init__()
        assert config.convolutions is not None
        channels = (3, *config.convolutions)
        width, side = channels[-1], config.image_size // 2 ** len(config.convolutions)
        self.image_size, self.num_frames = config.image_size, config.num_frames
        layers = [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False) for before, after in pairwise(channels)]
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.GroupNorm(GROUP_COUNT, n) for n in config.convolutions)
        self.positions = nn.Parameter(torch.randn(side * side, width) * POSITION_DEVIATION)
        self.post_layernorm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, _HEADS)
        self.visual_projection = nn.Linear(_HEADS * width, config.feature_dim, bias=False)
        draw_layers(self.queries)
        draw_layers(self.visual_projection)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features [b, feature_dim], not normalised, of clips.

        Args:
            pixels: [b, t, 3, image_size, image_size], normalised by ImageNet's mean and deviation; t is 1 or
                `num_frames`.

        Raises:
            ValueError: there is another number of frames, or the images have another size.
        """
        check_pixels(pixels, self.image_size, self.num_frames)
        maps = pixels.flatten(0, 1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            maps = gelu(norm(layer(maps)))
        places = self.post_layernorm(maps.flatten(2).transpose(1, 2) + self.positions)  # [b * t, places, width]
        chosen = self.queries(places).softmax(dim=1).transpose(1, 2) @ places  # [b * t, heads, width]
        features: torch.Tensor = self.visual_projection(chosen.flatten(1)).unflatten(0, pixels.shape[:2]).mean(dim=1)
        return features
