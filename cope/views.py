"""The views of a batch of products that the losses compare."""

from typing import NamedTuple

import torch

__all__ = ["AmpereViews", "Views"]


class Views(NamedTuple):
    """Five views of b products, one page, one video and one live clip each; row i of all of them is product i.

    A named tuple, since data parallelism finds the tensors inside those.

    Attributes:
        page: [b, embedding_dim], image and title fused, not normalised; so are the others.
        page_visual: the page's image only.
        page_text: the page's title only.
        video: the video.
        live: the live clip.
    """

    page: torch.Tensor
    page_visual: torch.Tensor
    page_text: torch.Tensor
    video: torch.Tensor
    live: torch.Tensor


class AmpereViews(NamedTuple):
    """Nine views of b products, where videos and live clips have a text too.

    Attributes:
        page: as in `Views`, and so are the next two.
        page_visual: the page's image only.
        page_text: the page's title only.
        video: frames and text of the video fused.
        live: frames and text of the live clip fused.
        video_visual: the video's frames only.
        video_text: the video's text only.
        live_visual: the live clip's frames only.
        live_text: the live clip's text only.
    """

    page: torch.Tensor
    page_visual: torch.Tensor
    page_text: torch.Tensor
    video: torch.Tensor
    live: torch.Tensor
    video_visual: torch.Tensor
    video_text: torch.Tensor
    live_visual: torch.Tensor
    live_text: torch.Tensor
