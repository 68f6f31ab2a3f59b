import json

import numpy as np
import pytest
import torch

from baselines.open_clip import OpenClip, load_open_clip
from rope.errors import UsageError
from tests.baselines.samples import picture


def test_the_missing_package_or_the_missing_weights_are_named():
    with pytest.raises(UsageError, match=r"pip install 'rope-bench\[baselines\]'|name its weights"):
        load_open_clip("ViT-B-16", pretrained=None, precision="fp32", device="cpu")


def test_features_are_those_of_open_clip():
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    from PIL import Image

    sizes = {"width": 32, "layers": 1}
    model = open_clip.CLIP(16, {**sizes, "image_size": 32, "patch_size": 8, "head_width": 16}, {**sizes, "heads": 2})
    transform = open_clip.image_transform(32, is_train=False)
    ours = OpenClip(model, transform, open_clip.SimpleTokenizer())
    image = picture(np.random.default_rng(0))
    expected = model.encode_image(transform(Image.fromarray(image))[None])
    assert torch.allclose(ours.encode_images([ours.prepare(image)]), expected, atol=2e-5)
    expected = model.encode_text(open_clip.tokenize(["a dress"]))
    assert torch.allclose(ours.encode_texts(["a dress"]), expected, atol=2e-5)


SIZES = {"width": 32, "layers": 1}
ARCHITECTURE = {
    "embed_dim": 16,
    "vision_cfg": SIZES | {"image_size": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": SIZES | {"heads": 2, "context_length": 77, "vocab_size": 49408},
}
PREPROCESSING = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The weights of an architecture `tiny`, for which open_clip knows published ones trained with QuickGELU."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", ARCHITECTURE)
    published = PREPROCESSING | {"quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"published": published})
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny").state_dict(), tmp_path / "open_clip_model.pt")
    return tmp_path / "open_clip_model.pt"


def load_file(path, **options):
    return load_open_clip("tiny", pretrained=str(path), precision="fp32", device="cpu", **options)


def test_a_file_of_weights_does_not_tell_how_it_was_trained(tiny):
    with pytest.raises(UsageError, match="name published weights that share them with trained_as=, which are pub"):
        load_file(tiny)
    with pytest.raises(UsageError, match="open_clip has no such weights of tiny, but published"):
        load_file(tiny, trained_as="other")


def test_what_a_file_is_taken_as_is_said_and_done(tiny, capsys):
    image, prints = picture(np.random.default_rng(0)), {}
    for name, says in (("default", ("GELU", "0.48145466")), ("published", ("QuickGELU", "(0.5, 0.5, 0.5)"))):
        model = load_file(tiny, trained_as=name)
        told = capsys.readouterr().err.replace("[0.5, 0.5, 0.5]", "(0.5, 0.5, 0.5)")
        assert f"taken as trained with {says[0]} and the preprocessing" in told
        assert says[1] in told
        prints[name] = (model.fingerprint, model.prepare(image), model.encode_texts(["a dress"]))
    assert prints["default"][0] != prints["published"][0]
    assert not torch.equal(prints["default"][1], prints["published"][1])
    assert not torch.allclose(prints["default"][2], prints["published"][2], atol=1e-6)


def test_a_configuration_beside_a_file_is_followed(tiny):
    config = {"model_cfg": ARCHITECTURE | {"quick_gelu": True}, "preprocess_cfg": PREPROCESSING}
    tiny.with_name("open_clip_config.json").write_text(json.dumps(config), "utf-8")
    image = picture(np.random.default_rng(0))
    beside, named = load_file(tiny), load_file(tiny, trained_as="published")
    assert torch.equal(beside.prepare(image), named.prepare(image))
    assert torch.equal(beside.encode_texts(["a dress"]), named.encode_texts(["a dress"]))


def test_a_folder_of_open_clip_without_weights_or_with_others_is_refused(tiny):
    folder = tiny.parent
    config = {"model_cfg": ARCHITECTURE, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
    weights = tiny.rename(folder / "open_clip_pytorch_model.bin")
    first = load_open_clip(f"local-dir:{folder}", pretrained=None, precision="fp32", device="cpu").fingerprint
    config["model_cfg"] = ARCHITECTURE | {"quick_gelu": True}
    (folder / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
    assert load_open_clip(f"local-dir:{folder}", pretrained=None, precision="fp32", device="cpu").fingerprint != first
    state = torch.load(weights)
    del state["visual.proj"]
    for change, message in (
        (lambda: torch.save(state, weights), "visual.proj"),
        (lambda: weights.write_bytes(b"<html>"), "is a web page"),
        (weights.unlink, "cannot load it"),
    ):
        change()
        with pytest.raises(UsageError, match=message):
            load_open_clip(f"local-dir:{folder}", pretrained=None, precision="fp32", device="cpu")
