"""Reference outputs of the authors' modules, and models that hold their weights."""

import torch

from cope.config import CopeConfig
from cope.model import Cope
from tests.stored import tensors


def golden(name):
    """Name -> tensor, of one file."""
    return tensors(f"cope/{name}")


def below(arrays, prefix):
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def largest(difference):
    return difference.abs().max().item()


def relative(got, expected):
    """The largest difference, as a share of the largest value."""
    return largest(got - expected) / largest(expected)


TINY = CopeConfig(
    embedding_dim=16,
    image_size=32,
    vision_width=64,
    vision_layers=2,
    feature_dim=64,
    mit_layers=2,
    text_layers=1,
    text_width=16,
    text_heads=2,
    text_mlp_width=32,
    text_positions=8,
    vocabulary=20,
)


def tiny_model(seed=0):
    """A small model in evaluation mode, whose biases and gains are random too, so that they matter."""
    torch.manual_seed(seed)
    model = Cope(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def tiny_batch(n, seed=0):
    """Pages, tokens, mask, videos and lives of n products."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(n, 17, 3, 32, 32, generator=generator)
    tokens = torch.randint(20, (n, 5), generator=generator)
    return pixels[:, :1], tokens, torch.ones(n, 5, dtype=torch.int64), pixels[:, 1:9], pixels[:, 9:]
