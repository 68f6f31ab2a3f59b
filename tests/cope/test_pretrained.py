from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel, XCLIPConfig, XCLIPModel, XCLIPTextConfig, XCLIPVisionConfig

from cope.initial_weights import draw_visual_tower
from cope.model import Cope
from cope.pretrained import load_text_tower, load_visual_tower
from rope.errors import RopeError, UsageError
from tests.cope.runs import MODEL


@pytest.fixture(scope="module")
def xclip(tmp_path_factory):
    """A random X-CLIP of 8 frames, in the real format."""
    vision = XCLIPVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=1, num_attention_heads=1, image_size=32, patch_size=16,
        mit_hidden_size=64, mit_intermediate_size=256, mit_num_hidden_layers=1, mit_num_attention_heads=1, num_frames=8,
    )  # fmt: skip
    text = XCLIPTextConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, vocab_size=9
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("xclip")
    XCLIPModel(
        XCLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=64)
    ).eval().save_pretrained(folder)
    return folder


def test_videos_are_encoded_as_x_clip_does(xclip):
    model = Cope(replace(MODEL, num_frames=8)).eval()
    load_visual_tower(model, str(xclip))
    theirs = XCLIPModel.from_pretrained(xclip).eval()
    pixels = torch.randn(2, 8, 3, 32, 32)
    with torch.no_grad():
        expected = theirs.get_video_features(pixels).pooler_output
        torch.testing.assert_close(model.vision(pixels), expected, atol=1e-5, rtol=0)


def test_fewer_frames_take_the_positions_of_those_that_are_chosen(xclip):
    model = Cope(replace(MODEL, num_frames=2))
    load_visual_tower(model, str(xclip))
    positions = XCLIPModel.from_pretrained(xclip).mit.position_embedding
    torch.testing.assert_close(model.vision.mit.position_embedding, positions[:, [2, 6]])


def test_further_blocks_that_integrate_frames_stay_random(xclip):
    model = Cope(replace(MODEL, num_frames=8, mit_layers=2))
    before = model.vision.mit.encoder.layers[1].mlp.fc1.weight.clone()
    load_visual_tower(model, str(xclip))
    torch.testing.assert_close(model.vision.mit.encoder.layers[1].mlp.fc1.weight, before)
    theirs = XCLIPModel.from_pretrained(xclip).mit.encoder.layers[0].mlp.fc1.weight
    torch.testing.assert_close(model.vision.mit.encoder.layers[0].mlp.fc1.weight, theirs)


def test_texts_are_encoded_as_the_loaded_bert_does(tmp_path):
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    bert = BertModel(BertConfig(vocab_size=400, hidden_size=16, **sizes)).eval()
    bert.save_pretrained(tmp_path)
    model = Cope(MODEL).eval()
    load_text_tower(model, str(tmp_path))
    ids = torch.randint(0, 400, (3, 5))
    torch.testing.assert_close(model.text(input_ids=ids).pooler_output, bert(input_ids=ids).pooler_output)


@pytest.mark.parametrize("load", [load_visual_tower, load_text_tower])
def test_a_folder_without_weights_is_named(load, tmp_path):
    with pytest.raises(UsageError, match="transformers cannot load it"):
        load(Cope(MODEL), str(tmp_path))


def test_weights_of_other_sizes_are_refused(xclip):
    with pytest.raises(RopeError, match="do not fit"):
        load_visual_tower(Cope(replace(MODEL, num_frames=8, vision_layers=2)), str(xclip))


def test_a_tower_drawn_for_training_tells_images_apart():
    torch.manual_seed(0)
    model = Cope(MODEL).eval()
    images = torch.randn(16, 2, 3, 32, 32)

    def mean_cosine():
        with torch.no_grad():
            unit = model.encode_videos(images).unit
        return float((unit @ unit.T).fill_diagonal_(0).sum() / (16 * 15))

    before = mean_cosine()
    draw_visual_tower(model.vision)
    assert mean_cosine() < 0.98 < before
