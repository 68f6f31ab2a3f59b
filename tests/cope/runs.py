"""A dataset of a few products and a recipe that trains on it in a second."""

import atexit
from dataclasses import replace
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cope.config import ContrastiveWeights, CopeConfig, LossConfig
from cope.recipe import TrainingRecipe
from rope.dataset.build import build_dataset
from rope.synthetic.release import write_release

MODEL = CopeConfig(
    embedding_dim=16,
    num_frames=2,
    image_size=32,
    patch_size=16,
    vision_width=64,
    vision_layers=1,
    feature_dim=64,
    text_layers=1,
    text_width=16,
    text_heads=2,
    text_mlp_width=16,
    text_positions=32,
    vocabulary=400,
)
RECIPE = TrainingRecipe(
    model=MODEL,
    loss=LossConfig(weights=ContrastiveWeights(page_text_live=0.3), classification_weight=0.1, scale=16),
    vision_weights=None,
    text_weights=None,
    tokenizer=None,
    jitter=0.2,
    epochs=3,
    batch_size=4,
    lr_text=1e-3,
    lr_vision=1e-3,
    warmup_epochs=1,
    eval_epochs=0,
)
NO_DROPOUT = replace(RECIPE, model=replace(MODEL, text_dropout=0.0))


@cache
def dataset() -> Path:
    """12 products to train on and 4 to score; made once."""
    folder = Path(mkdtemp())
    atexit.register(rmtree, folder, ignore_errors=True)
    write_release(folder / "release", products=16, seed=0, validation_share=0.25, mp4=False, workers=1, progress=False)
    build_dataset(folder / "release", folder / "dataset", name="tiny", progress=False)
    return folder / "dataset"
