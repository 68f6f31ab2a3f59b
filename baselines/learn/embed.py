"""The vectors of users and items that a trained model gives."""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from baselines.learn.data import padded_histories
from baselines.learn.model import Learn
from rope.bench.recommend.interactions import Sequences

__all__ = ["embed_items", "embed_users"]

_ROWS_A_BATCH = 256


@torch.no_grad()
def embed_items(model: Learn, content: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Unit vectors of items: float32 [n, input_dim] to float32 [n, output_dim]."""
    vectors = np.empty((len(content), model.config.output_dim), np.float32)
    for start in range(0, len(content), _ROWS_A_BATCH):
        rows = slice(start, start + _ROWS_A_BATCH)
        vectors[rows] = model.encode_items(normalize(torch.from_numpy(content[rows]), dim=-1)).numpy()
    return vectors


@torch.no_grad()
def embed_users(
    model: Learn, content: npt.NDArray[np.float32], history: Sequences, max_history: int
) -> npt.NDArray[np.float32]:
    """Unit vectors of users, float32 [n, output_dim], from the latest items of their histories.

    Args:
        model: in the mode of evaluation, on the CPU.
        content: float32 [n_items, input_dim].
        history: rows of `content` that each user took, oldest first, one at least.
        max_history: items that are looked at.
    """
    vectors = np.empty((len(history), model.config.output_dim), np.float32)
    for start in range(0, len(history), _ROWS_A_BATCH):
        users = np.arange(start, min(start + _ROWS_A_BATCH, len(history)))
        rows, mask = padded_histories(history, users, max_history)
        items = normalize(torch.from_numpy(content[rows]), dim=-1)
        vectors[users] = model.encode_users(items, torch.from_numpy(mask)).numpy()
    return vectors
