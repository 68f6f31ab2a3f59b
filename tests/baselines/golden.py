"""Vectors of small models made from seeds, kept in `data/golden.npz`.

    python -m tests.baselines.golden

writes the file anew. It was written when this code gave the vectors of the official code to within 2e-5,
so that a change of the arithmetic is seen for other sizes of models than those that the official vectors
in `tests/data/golden` are of.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from baselines.clip4clip import Clip4Clip
from baselines.clip4clip_checkpoint import read_clip4clip
from baselines.clip4clip_heads import HEADS
from baselines.transformers_model import load_transformers_model
from baselines.xclip import load_xclip
from rope.encoders.chinese_clip import load_chinese_clip
from tests.baselines.checkpoints import save_chinese_clip, save_clip, save_clip4clip, save_xclip
from tests.baselines.samples import picture

FILE = Path(__file__).with_name("data") / "golden.npz"
ENGLISH = ["red dress", "a", "shoe 12 x"]
CHINESE = ["红色连衣裙", "鞋 12", "a"]
LENGTHS = (4, 1, 3)


def clips(prepare):
    rng = np.random.default_rng(0)
    return [[prepare(picture(rng)) for _ in range(length)] for length in LENGTHS]


def images(model):
    return model.encode_images([clip[0] for clip in clips(model.prepare)]).numpy()


def logits(model: Clip4Clip) -> np.ndarray:
    """Of token ids that begin and end as CLIP's do, with zeros after."""
    last = model._clip.config.text_config.vocab_size - 1
    ids = torch.tensor([[last - 1, 3, 5, last, 0, 0], [last - 1, 7, last, 0, 0, 0]])
    return model.similarity(model.encode_tokens(ids), *model.encode_frames(clips(model.prepare))).numpy()


def clip4clip(folder: Path, head: str) -> Clip4Clip:
    return Clip4Clip(read_clip4clip(save_clip4clip(folder / head, head), cross_heads=4), None, "fp32", "cpu")


def fashion_clip(folder: Path):
    return load_transformers_model(str(save_clip(folder / "clip")), precision="fp32", device="cpu")


def chinese_clip(folder: Path):
    return load_chinese_clip(str(save_chinese_clip(folder / "chinese")), device="cpu")


def xclip(folder: Path):
    return load_xclip(str(save_xclip(folder / "xclip")), precision="fp32", device="cpu")


def videos(model) -> np.ndarray:
    rng = np.random.default_rng(0)
    return model.encode_clips([[model.prepare(picture(rng)) for _ in range(4)] for _ in range(2)]).numpy()


def compute(folder: Path) -> dict[str, np.ndarray]:
    """Everything that the file holds."""
    clip, chinese, film = fashion_clip(folder), chinese_clip(folder), xclip(folder)
    return {
        **{f"clip4clip {head}": logits(clip4clip(folder, head)) for head in HEADS},
        "fashion_clip images": images(clip),
        "fashion_clip texts": clip.encode_texts(ENGLISH).numpy(),
        "chinese_clip images": images(chinese),
        "chinese_clip texts": chinese.encode_texts(CHINESE).numpy(),
        "xclip videos": videos(film),
        "xclip texts": film.encode_texts(ENGLISH).numpy(),
    }


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        np.savez(FILE, **compute(Path(temporary)))
