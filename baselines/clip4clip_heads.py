"""The heads of CLIP4Clip: what becomes of the frame vectors of a video. Names are those of the authors' checkpoints.

Source: Luo et al., CLIP4Clip: An Empirical Study of CLIP for End to End Video Clip Retrieval, 2021.
B videos of T frames, with vectors of D numbers; a mask [B, T] is 1 where there is a frame and 0 after the last.
"""

from collections import OrderedDict
from typing import Final

import torch
from torch import nn
from torch.nn import functional

__all__ = ["HEADS", "POSITIONS", "MeanP", "SeqLstm", "SeqTransf", "TightTransf", "pool_video"]

HEADS: Final = ("meanP", "seqLSTM", "seqTransf", "tightTransf")

_EPS: Final = 1e-12
POSITIONS: Final = 77
"""Rows of a table of positions where no checkpoint says otherwise."""

_FAR: Final = -1e6
"""Added to the attention on a frame that is not there."""


class QuickGelu(nn.Module):
    """x * sigmoid(1.702 x): the authors' activation, whatever their configuration file says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape, the same shape."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, width: int, n_heads: int, inner: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width, _EPS)
        parts = [("c_fc", nn.Linear(width, inner)), ("gelu", QuickGelu()), ("c_proj", nn.Linear(inner, width))]
        self.mlp = nn.Sequential(OrderedDict(parts))
        self.ln_2 = nn.LayerNorm(width, _EPS)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] and the mask [B, T] to [B, T, D]."""
        length = x.shape[1]
        bias = ((1 - mask.to(x)) * _FAR)[:, None, :].expand(-1, length, -1)  # [B, T, T]
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=bias.repeat_interleave(self.attn.num_heads, 0), need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """Blocks one after the other, under the name that the authors give them."""

    def __init__(self, width: int, n_heads: int, n_blocks: int, inner: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, n_heads, inner or 4 * width) for _ in range(n_blocks))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] and the mask [B, T] to [B, T, D]."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class MeanP(nn.Module):
    """No parameters: the frames as they are."""

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to the same."""
        return frames


class SeqLstm(nn.Module):
    """One LSTM over the frames, added to them."""

    def __init__(self, width: int, n_positions: int = POSITIONS) -> None:
        super().__init__()
        # In the checkpoint, and used by nothing.
        self.frame_position_embeddings = nn.Embedding(n_positions, width)
        self.lstm_visual = nn.LSTM(width, width, batch_first=True)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to the same; what stands after the last frame of a video has no meaning."""
        # It runs forward, so what is after a video's last frame cannot reach the frames before.
        return self.lstm_visual(frames)[0] + frames  # type: ignore[no-any-return]


class SeqTransf(nn.Module):
    """Transformer blocks over the frames with their positions, added to the frames without.

    Args:
        width: of the frames, a multiple of 64.
        n_blocks: how many blocks.
        n_positions: frames that it can take.
        inner: width inside of the MLPs; 0 for four times `width`.
    """

    def __init__(self, width: int, n_blocks: int, *, n_positions: int = POSITIONS, inner: int = 0) -> None:
        super().__init__()
        self.frame_position_embeddings = nn.Embedding(n_positions, width)
        self.transformerClip = Blocks(width, max(1, width // 64), n_blocks, inner)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] and the mask [B, T] to [B, T, D]; T is `n_positions` at most."""
        placed = frames + self.frame_position_embeddings.weight[: frames.shape[1]]
        return self.transformerClip(placed, mask) + frames  # type: ignore[no-any-return]


class _Positions(nn.Module):
    def __init__(self, width: int, n_positions: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(n_positions, width)


class _Pooler(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_pool = nn.LayerNorm(width, _EPS)
        self.dense = nn.Linear(width, width)


class _Cross(nn.Module):
    def __init__(self, width: int, n_heads: int, n_blocks: int, n_positions: int, inner: int) -> None:
        super().__init__()
        self.embeddings = _Positions(width, n_positions)
        self.transformer = Blocks(width, n_heads, n_blocks, inner)
        self.pooler = _Pooler(width)


class TightTransf(nn.Module):
    """A score of a text and a video together; it has no vector of its own for either.

    Args:
        width: of texts and frames.
        n_heads: of attention; divides `width`.
        n_blocks: how many blocks.
        n_positions: one more than the frames that it can take.
        inner: width inside of the MLPs; 0 for four times `width`.
    """

    def __init__(
        self, width: int, n_heads: int, n_blocks: int, *, n_positions: int = POSITIONS, inner: int = 0
    ) -> None:
        super().__init__()
        self.cross = _Cross(width, n_heads, n_blocks, n_positions, inner)
        self.similarity_dense = nn.Linear(width, 1)

    def forward(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [B] of B pairs: texts [B, D], frames [B, T, D] and mask [B, T], not normalised; T < `n_positions`."""
        pair = torch.cat([texts[:, None], frames], dim=1)  # [B, 1 + T, D]
        placed = pair + self.cross.embeddings.position_embeddings.weight[: pair.shape[1]]
        seen = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        first = self.cross.transformer(placed, seen)[:, 0]
        pooled = self.cross.pooler.dense(self.cross.pooler.ln_pool(first))
        return self.similarity_dense(pooled * torch.sigmoid(1.702 * pooled))[:, 0]  # type: ignore[no-any-return]


def pool_video(frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Frames [B, T, D] after the head to videos [B, D]: each frame to length 1, the mean of those there, to length 1.

    >>> frames = torch.tensor([[[3.0, 0.0], [0.0, 0.5], [9.0, 9.0]]])
    >>> pool_video(frames, torch.tensor([[1, 1, 0]]))
    tensor([[0.7071, 0.7071]])
    """
    unit = functional.normalize(frames, dim=-1)
    weights = mask.to(unit)[..., None]
    return functional.normalize((unit * weights).sum(dim=1) / weights.sum(dim=1), dim=-1)
