"""The golden vectors of the authors' release."""

from baselines.learn.config import LearnConfig
from tests.stored import facts, tensors

CONFIG = LearnConfig(input_dim=48, output_dim=24, width=32, heads=4, mlp_width=64, layers=2)


def arrays() -> dict:
    return tensors("learn/io")


def stated() -> dict:
    """The losses and figures that the authors' code gave."""
    return facts("learn/figures")


def checkpoint() -> dict:
    return {"state_dict": tensors("learn/weights")}
