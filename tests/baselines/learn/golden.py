"""The golden vectors of the authors' release, where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.learn.config import LearnConfig

FOLDER = Path(__file__).parents[3].parent / "shared" / "reference" / "baselines"

needs_golden = pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden vectors are in a folder beside the project")

CONFIG = LearnConfig(input_dim=48, output_dim=24, width=32, heads=4, mlp_width=64, layers=2)


def arrays() -> dict[str, torch.Tensor]:
    with np.load(FOLDER / "learn_public_io.npz") as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def stated() -> dict:
    return json.loads((FOLDER / "learn_public_meta.json").read_text("utf-8"))


def checkpoint() -> dict:
    return torch.load(FOLDER / "learn_public_ckpt.pt", weights_only=True)
