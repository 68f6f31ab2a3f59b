"""The small visual tower: convolutions instead of X-CLIP's blocks."""

from dataclasses import replace

import pytest
import torch

from cope.config import CopeConfig
from cope.convolutions import ConvolutionalTower
from cope.model import Cope
from cope.onnx import export_onnx
from cope.recipe import TrainingRecipe, read_recipe
from rope.errors import UsageError
from tests.cope.golden import TINY, largest, tiny_batch

CONFIG = replace(TINY, convolutions=(8, 16))


def model(config=CONFIG):
    torch.manual_seed(0)
    return Cope(config).eval()


def test_a_clip_is_the_mean_of_its_frames():
    tower, clips = model().vision, tiny_batch(3)[3]
    assert isinstance(tower, ConvolutionalTower)
    with torch.no_grad():
        frames = torch.stack([tower(clips[:, i : i + 1]) for i in range(8)])
        assert largest(tower(clips) - frames.mean(dim=0)) < 1e-6


def test_a_feature_depends_on_what_is_where():
    tower, page = model().vision, tiny_batch(1)[0]
    with torch.no_grad():
        tower.queries.weight.mul_(20)
        assert largest(tower(page) - tower(page.flip(-1))) > 1e-2


def test_pixels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected pixels \[clips, 1 or 8, 3, 32, 32\], got \[1, 3, 3, 32, 32\]"):
        model().vision(torch.zeros(1, 3, 3, 32, 32))


def test_it_is_saved_and_loaded(tmp_path):
    made, batch = model(), tiny_batch(2)
    made.save_pretrained(tmp_path)
    again = Cope.from_pretrained(tmp_path)
    assert again.config == CONFIG
    with torch.no_grad():
        assert torch.equal(again.encode_videos(batch[3]).unit, made.encode_videos(batch[3]).unit)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "convolutions of 8, 16 channels in 32 x 32 pixels" in card
    assert "mean of width 64" in card


def test_it_is_exported_to_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    (video,) = export_onnx(model(), tmp_path, domains=("video",))
    assert video.difference < 1e-4


def test_a_model_without_it_is_configured_as_before():
    assert "convolutions" not in CopeConfig().to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convolutions": ()}, r"convolutions: expected multiples of 8, one a layer, got \[\]"),
        ({"convolutions": (8, 12)}, r"expected multiples of 8, one a layer, got \[8, 12\]"),
        ({"image_size": 48, "convolutions": (8,) * 5}, "image_size 48 is not a multiple of 32: each of the 5"),
    ],
)
def test_channels_that_cannot_be_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(TINY, **change)


def test_tiny_is_of_convolutions_and_the_paper_is_not():
    assert read_recipe("tiny").model.convolutions is not None
    assert read_recipe("paper").model.convolutions is None


def test_published_weights_have_no_place_in_it():
    recipe = TrainingRecipe(model=CONFIG, vision_weights=None)
    for change in ({"vision_weights": "microsoft/xclip-base-patch32"}, {"activation_checkpointing": True}):
        with pytest.raises(UsageError, match=r"model\.convolutions begins at random"):
            replace(recipe, **change)
