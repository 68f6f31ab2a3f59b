"""How the tests decode, frames to a few numbers, some of them random; and how they compare batches."""

import json

import numpy as np
import torch

from rope.feed import ClipReader


def few_numbers(frames: list[np.ndarray], rng: np.random.Generator) -> torch.Tensor:
    """Which sample it is, and a number that augmentation could draw."""
    return torch.tensor([int(frames[0][0, 0, 0]), len(frames), float(rng.random())], dtype=torch.float64)


READER = ClipReader(n_frames=2, size=2, transform=few_numbers)


def plain(batch) -> str:
    """A batch as text, to the last bit of its tensors."""
    return json.dumps(batch, default=lambda tensor: tensor.tolist())
