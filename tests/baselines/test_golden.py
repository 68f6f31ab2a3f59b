"""The arithmetic of the small models in git, and that the mistakes which are easily made would be seen."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.baselines import golden

REBUILD = "differs from tests/baselines/data/golden.npz; if it should: python -m tests.baselines.golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def stored(name):
    return np.load(golden.FILE)[name]


def relative_error(found, name):
    """The largest difference, as a share of the largest number."""
    return float(np.abs(np.asarray(found) - stored(name)).max() / np.abs(stored(name)).max())


def test_every_model_gives_its_kept_vectors(folder):
    found = golden.compute(folder)
    assert sorted(found) == sorted(np.load(golden.FILE).files)
    errors = {name: relative_error(rows, name) for name, rows in found.items()}
    assert max(errors.values()) < 2e-5, (errors, REBUILD)


def with_another_activation(model):
    for tower in (model.vision_model, model.text_model):
        for layer in tower.encoder.layers:
            layer.mlp.activation_fn = nn.GELU()


@pytest.mark.parametrize("make", [golden.fashion_clip, golden.xclip])
def test_gelu_for_quick_gelu_would_be_seen(make, folder):
    model = make(folder)
    with_another_activation(model._model)
    assert relative_error(model.encode_texts(golden.ENGLISH), f"{make.__name__} texts") > 1e-3


def test_gelu_for_quick_gelu_would_be_seen_in_clip4clip(folder):
    model = golden.clip4clip(folder, "meanP")
    with_another_activation(model._clip)
    assert relative_error(golden.logits(model), "clip4clip meanP") > 1e-3


@pytest.mark.parametrize("mistake", ["no length per frame", "no final length", "no mask"])
def test_a_mistake_in_pooling_would_be_seen(mistake, folder, monkeypatch):
    def careless(frames, mask):
        unit = frames if mistake == "no length per frame" else nn.functional.normalize(frames, dim=-1)
        weights = torch.ones_like(mask) if mistake == "no mask" else mask
        pooled = (unit * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
        return pooled if mistake == "no final length" else nn.functional.normalize(pooled, dim=-1)

    model = golden.clip4clip(folder, "seqTransf")
    monkeypatch.setattr("baselines.clip4clip.pool_video", careless)
    assert relative_error(golden.logits(model), "clip4clip seqTransf") > 1e-3


def test_a_head_without_its_mask_would_be_seen(folder, monkeypatch):
    model = golden.clip4clip(folder, "tightTransf")
    encode = model.encode_frames
    monkeypatch.setattr(model, "encode_frames", lambda clips: (encode(clips)[0], torch.ones(3, 4)))
    assert relative_error(golden.logits(model), "clip4clip tightTransf") > 1e-3


def test_chinese_texts_without_the_mask_would_be_seen(folder, monkeypatch):
    model = golden.chinese_clip(folder)
    features = model._model.get_text_features
    monkeypatch.setattr(model._model, "get_text_features", lambda input_ids, attention_mask: features(input_ids))
    assert relative_error(model.encode_texts(golden.CHINESE), "chinese_clip texts") > 1e-2


def test_a_wrong_padding_of_chinese_texts_would_be_seen(folder, monkeypatch):
    model = golden.chinese_clip(folder)
    tokenize = model._tokenize
    monkeypatch.setattr(model, "_tokenize", lambda texts: torch.where(tokenize(texts) == 0, 3, tokenize(texts)))
    assert relative_error(model.encode_texts(golden.CHINESE), "chinese_clip texts") > 1e-2


def test_training_mode_would_be_seen(folder):
    model = golden.chinese_clip(folder)
    model._model.train()
    assert relative_error(model.encode_texts(golden.CHINESE), "chinese_clip texts") > 1e-2
