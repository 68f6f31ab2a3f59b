"""What a batch of products looks like to the losses."""

from typing import NamedTuple

import torch

__all__ = ["Views"]


class Views(NamedTuple):
    """Five views of b products, one page, one video and one live clip each; row i of all of them is product i.

    A named tuple, since data parallelism finds the tensors inside those.

    Attributes:
        page: [b, embedding_dim], image and title fused, not normalised; so are the others.
        page_visual: the page's image alone.
        page_text: the page's title alone.
        video: the video.
        live: the live clip.
    """

    page: torch.Tensor
    page_visual: torch.Tensor
    page_text: torch.Tensor
    video: torch.Tensor
    live: torch.Tensor
