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
    ours = OpenClip(model, transform, open_clip.SimpleTokenizer(), ["fp32", "tiny"])
    image = picture(np.random.default_rng(0))
    expected = model.encode_image(transform(Image.fromarray(image))[None])
    assert torch.allclose(ours.encode_images([ours.prepare(image)]), expected, atol=2e-5)
    expected = model.encode_text(open_clip.tokenize(["a dress"]))
    assert torch.allclose(ours.encode_texts(["a dress"]), expected, atol=2e-5)
