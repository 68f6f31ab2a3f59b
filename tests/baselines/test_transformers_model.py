import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from baselines import fashion_clip, transformers_model
from baselines.transformers_model import load_transformers_model
from rope.errors import UsageError
from tests.baselines.checkpoints import save_clip
from tests.baselines.samples import samples

GOLDEN = Path(__file__).parents[3] / "shared" / "reference" / "baselines"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the vectors of the official code are not there")


def stored(name: str) -> np.ndarray:
    return np.load(GOLDEN / "fashionclip_public_io.npz")[name]


def golden_model():
    return load_transformers_model(str(GOLDEN / "fashionclip_public_model"), precision="fp32", device="cpu")


def image_error(model) -> float:
    found = model.encode_images(torch.tensor(stored("pixel_values_pil")))
    return float(np.abs(found.numpy() - stored("image_embed_raw_pil")).max())


@needs_golden
def test_images_are_those_of_the_official_fashion_clip():
    model = golden_model()
    pixels = [model.prepare(stored(f"image_{i}")) for i in range(4)]
    assert np.array_equal(torch.stack(pixels), stored("pixel_values_pil"))
    assert image_error(model) < 2e-5


@needs_golden
def test_texts_are_those_of_the_official_fashion_clip():
    texts = json.loads((GOLDEN / "fashionclip_public_meta.json").read_text("utf-8"))["texts"]
    assert np.allclose(golden_model().encode_texts(texts), stored("text_embed_raw"), atol=2e-5, rtol=0)


@needs_golden
def test_another_activation_would_be_seen():
    model = golden_model()
    for layer in model._model.vision_model.encoder.layers:
        layer.mlp.activation_fn = nn.GELU()
    assert image_error(model) > 1e-3


def test_a_model_of_images_alone_gives_its_pooled_output(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(tmp_path)
    square = {"height": 28, "width": 28}
    BitImageProcessor(size={"shortest_edge": 28}, crop_size=square).save_pretrained(tmp_path)
    embedder = transformers_model.embedder(str(tmp_path), device="cpu")
    assert embedder.embed(samples("video", 2, n_frames=3)).shape == (2, 32)


def test_batches_change_nothing(tmp_path):
    embedder = fashion_clip.embedder(str(save_clip(tmp_path)), device="cpu")
    given = samples("live", 4, n_frames=3)
    alone = np.concatenate([embedder.embed([sample]) for sample in given])
    assert np.allclose(embedder.embed(given), alone, atol=1e-5)
    assert embedder.name == "fashion-clip"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="transformers cannot load it"):
        transformers_model.embedder(str(tmp_path), device="cpu")
