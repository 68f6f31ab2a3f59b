import numpy as np
import pytest
import torch
from transformers import XCLIPConfig, XCLIPModel

from baselines.xclip import XClip, embedder, load_xclip
from tests.baselines.checkpoints import save_xclip
from tests.baselines.samples import samples
from tests.stored import tensors

RENAMED = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre": "vision_model.pre_layernorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.transformer.resblocks": "vision_model.encoder.layers",
    "mit.positional_embedding": "mit.position_embedding",
    "mit.resblocks": "mit.encoder.layers",
    ".message_attn.": ".MESSAGE.",
    ".attn.": ".self_attn.",
    ".MESSAGE.": ".message_attn.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}


def golden_state(stored):
    """The authors' weights under transformers' names."""
    state = {}
    for name, value in stored.items():
        if not name.startswith("state."):
            continue
        key = name.removeprefix("state.")
        for old, new in RENAMED.items():
            key = key.replace(old, new)
        if key == "visual.proj":
            state["visual_projection.weight"] = value.T
        elif "in_proj_" in key:
            parts = zip("qkv", value.chunk(3), strict=True)
            state |= {key.replace("in_proj_", f"{part}_proj."): third for part, third in parts}
        else:
            state[key] = value
    return state


def golden_model(stored):
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 128, "intermediate_size": 512}
    mit = {"mit_hidden_size": 64, "mit_intermediate_size": 256, "mit_num_hidden_layers": 2}
    vision = sizes | mit | {"mit_num_attention_heads": 1, "patch_size": 16, "image_size": 32, "num_frames": 8}
    text = {"vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = XCLIPModel(XCLIPConfig(vision_config=vision, text_config=text, projection_dim=64, prompt_layers=1))
    left = model.load_state_dict(golden_state(stored), strict=False)
    assert not left.unexpected_keys
    assert not [key for key in left.missing_keys if key.startswith(("vision_model", "mit", "visual_projection"))]
    return model


class Nothing:
    """Stands for the processor and the tokenizer, which pixels and no texts do not need."""

    def to_json_string(self):
        return ""

    def get_vocab(self):
        return {}


def test_videos_are_those_of_the_official_tower():
    stored = tensors("cope/xclip")
    model = XClip(golden_model(stored), Nothing(), Nothing())
    found = model.encode_clips([list(clip) for clip in stored["in.T8.image"]])
    assert np.allclose(found, stored["out.T8.video_features"], atol=2e-5, rtol=0)


@pytest.mark.parametrize(("domain", "n_frames"), [("page", 1), ("video", 3), ("live", 9)])
def test_any_number_of_stored_frames_will_do(domain, n_frames, tmp_path):
    vectors = embedder(str(save_xclip(tmp_path)), device="cpu").embed(samples(domain, 4, n_frames))
    assert vectors.shape == (4, 24)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_samples_do_not_mix(tmp_path):
    model = embedder(str(save_xclip(tmp_path)), device="cpu")
    given = samples("page", 4)
    assert np.allclose(model.embed(given), np.concatenate([model.embed([one]) for one in given]), atol=1e-5)


def test_another_number_of_frames_is_refused(tmp_path):
    model = load_xclip(str(save_xclip(tmp_path)), precision="fp32", device="cpu")
    with pytest.raises(ValueError, match="takes 4 frames"):
        # 4 videos of one frame each would be taken for one of 4.
        model.encode_clips([[torch.zeros(3, 32, 32)]] * 4)
