"""The visual tower is X-CLIP's, for 8 frames and for one, and never mixes clips."""

import pytest
import torch
from transformers import XCLIPVisionConfig, XCLIPVisionModel
from transformers.models.x_clip.modeling_x_clip import XCLIPMultiframeIntegrationTransformer

from cope.config import CopeConfig
from cope.released import renamed
from cope.vision import VisualTower
from tests.cope.golden import TINY, below, golden, largest, tiny_model


def as_transformers_do(tower, pixels):
    """The same features from transformers' own modules, which are told the number of frames."""
    config = XCLIPVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1, image_size=32, patch_size=16
    )
    mit_config = XCLIPVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1, attn_implementation="eager"
    )
    vision = XCLIPVisionModel(config).eval()
    mit = XCLIPMultiframeIntegrationTransformer(mit_config).eval()
    weights = tower.state_dict()
    rest = {name: weight for name, weight in weights.items() if not name.startswith(("mit.", "visual_projection."))}
    vision.load_state_dict({name.replace("layers.", "encoder.layers.", 1): weight for name, weight in rest.items()})
    mit.load_state_dict(below(weights, "mit."))
    for layer in vision.encoder.layers:
        layer.num_frames = pixels.shape[1]
    frames = vision(pixels.flatten(0, 1)).pooler_output @ weights["visual_projection.weight"].T
    return mit(frames.unflatten(0, pixels.shape[:2])).pooler_output


@pytest.mark.parametrize("n_frames", [1, 8])
def test_features_are_those_of_transformers(n_frames):
    tower = tiny_model().vision
    pixels = torch.randn(3, n_frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert largest(tower(pixels) - as_transformers_do(tower, pixels)) < 2e-5


@pytest.mark.parametrize("frames", ["T1", "T8"])
def test_features_are_those_of_the_authors(frames):
    arrays = golden("xclip")
    config = CopeConfig(image_size=32, vision_width=128, vision_layers=2, feature_dim=64, mit_layers=2)
    official = {f"visual_encoder.{name}": weight for name, weight in below(arrays, "state.").items()}
    tower = VisualTower(config).eval()
    tower.load_state_dict(below(renamed(official, "golden"), "vision."))
    with torch.no_grad():
        features = tower(arrays[f"in.{frames}.image"])
    assert largest(features - arrays[f"out.{frames}.video_features"]) < 2e-5


@pytest.mark.parametrize("n_frames", [1, 8])
def test_clips_do_not_see_each_other(n_frames):
    tower = tiny_model().vision
    pixels = torch.randn(8, n_frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together, alone = tower(pixels), torch.cat([tower(clip[None]) for clip in pixels])
    assert largest(together - alone) < 1e-5


def test_frames_of_one_clip_see_each_other():
    tower = tiny_model().vision
    pixels = torch.randn(1, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    seen = []
    tower.layers[-1].register_forward_hook(lambda layer, given, made: seen.append(made))
    with torch.no_grad():
        tower(pixels)
        pixels[:, 7] = 0
        tower(pixels)
    assert largest(seen[0][:, :7] - seen[1][:, :7]) > 1e-3


def test_the_feature_of_a_page_is_integrated_at_all_eight_positions():
    tower = tiny_model().vision
    page = torch.randn(1, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tokens = []
    tower.mit.encoder.register_forward_hook(lambda encoder, given, made: tokens.append(made.last_hidden_state))
    with torch.no_grad():
        tower(page)
    assert tokens[0].shape == (1, 8, 64)


def test_activation_checkpoints_change_nothing():
    tower = tiny_model().vision.train()
    pixels = torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    gradients = []
    for _ in range(2):
        tower.zero_grad()
        tower(pixels).square().sum().backward()
        gradients.append(tower.embeddings.patch_embedding.weight.grad.clone())
        tower.activation_checkpointing_enable()
    assert torch.equal(*gradients)


@pytest.mark.parametrize("shape", [(2, 4, 3, 32, 32), (16, 3, 32, 32), (2, 8, 1, 32, 32), (2, 8, 3, 48, 48)])
def test_pixels_of_another_shape_are_refused(shape):
    tower = VisualTower(TINY)
    with pytest.raises(ValueError, match=r"expected pixels \[clips, 1 or 8, 3, 32, 32\], got"):
        tower(torch.zeros(shape))
