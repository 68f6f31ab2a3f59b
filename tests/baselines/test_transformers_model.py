import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    BertConfig,
    BertTokenizer,
    BitImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ResNetConfig,
    ResNetModel,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from baselines import fashion_clip, transformers_model
from baselines.transformers_model import load_transformers_model
from rope.errors import UsageError
from tests.baselines.checkpoints import SIDE, bert_words, save_clip, scrambled
from tests.baselines.samples import picture, samples
from tests.stored import GOLDEN, facts, tensors


def stored(name: str) -> np.ndarray:
    return tensors("fashion_clip/io")[name].numpy()


@pytest.fixture
def golden_model(tmp_path):
    folder = shutil.copytree(GOLDEN / "fashion_clip", tmp_path / "fashion_clip")
    save_file(tensors("fashion_clip/weights"), folder / "model.safetensors", metadata={"format": "pt"})
    return load_transformers_model(str(folder), precision="fp32", device="cpu")


def image_error(model) -> float:
    found = model.encode_images(torch.tensor(stored("pixel_values_pil")))
    return float(np.abs(found.numpy() - stored("image_embed_raw_pil")).max())


def test_images_are_those_of_the_official_fashion_clip(golden_model):
    pixels = [golden_model.prepare(stored(f"image_{i}")) for i in range(4)]
    assert np.array_equal(torch.stack(pixels), stored("pixel_values_pil"))
    assert image_error(golden_model) < 2e-5


def test_texts_are_those_of_the_official_fashion_clip(golden_model):
    assert np.allclose(
        golden_model.encode_texts(facts("fashion_clip/texts")), stored("text_embed_raw"), atol=2e-5, rtol=0
    )


def test_another_activation_would_be_seen(golden_model):
    for layer in golden_model._model.vision_model.encoder.layers:
        layer.mlp.activation_fn = nn.GELU()
    assert image_error(golden_model) > 1e-3


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


SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = {"height": SIDE, "width": SIDE}


def save_images(folder: Path, model: nn.Module) -> Path:
    scrambled(model, 0).save_pretrained(folder)
    ViTImageProcessorPil(size=SQUARE).save_pretrained(folder)
    return folder


def vit(kind: type[nn.Module], folder: Path) -> Path:
    return save_images(folder, kind(ViTConfig(**SIZES, image_size=SIDE, patch_size=8)))


def rows(folder: Path, **options: str) -> np.ndarray:
    return transformers_model.embedder(str(folder), device="cpu", **options).embed(samples("video", 2, n_frames=2))


def test_a_classifier_without_a_pooler_gives_its_class_token_and_says_so(tmp_path, capsys):
    folder = vit(ViTForImageClassification, tmp_path)
    found = rows(folder)
    said = capsys.readouterr().err
    assert "lacks the weights of a pooler (pooler.dense.bias, pooler.dense.weight)" in said
    assert "tokens=cls" in said
    assert "2 weights of the file are not used: classifier.bias, classifier.weight" in said
    assert np.array_equal(found, rows(folder))
    assert np.array_equal(found, rows(folder, tokens="cls"))
    assert not np.allclose(found, rows(folder, tokens="mean"))
    prints = {transformers_model.embedder(str(folder), device="cpu").fingerprint for _ in range(2)}
    assert len(prints) == 1


def test_the_pooler_is_taken_where_it_has_weights_and_never_one_at_random(tmp_path, capsys):
    folder = vit(ViTModel, tmp_path / "whole")
    assert np.array_equal(rows(folder), rows(folder, tokens="pooler"))
    assert not np.allclose(rows(folder), rows(folder, tokens="cls"))
    assert "note: " not in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"lacks 2 weights of the model: pooler\.dense\.bias"):
        rows(vit(ViTForImageClassification, tmp_path / "classifier"), tokens="pooler")


def test_tokens_are_the_states_that_they_name(tmp_path):
    config = Dinov2WithRegistersConfig(**SIZES, image_size=SIDE, patch_size=8, num_register_tokens=3)
    folder = save_images(tmp_path, Dinov2WithRegistersModel(config))
    encoders = {
        tokens: load_transformers_model(str(folder), precision="fp32", device="cpu", tokens=tokens)
        for tokens in ("cls", "mean")
    }
    prepared = [encoders["cls"].prepare(picture(np.random.default_rng(0)))]
    with torch.inference_mode():
        states = encoders["cls"]._model(torch.stack(prepared)).last_hidden_state
    assert torch.equal(encoders["cls"].encode_images(prepared), states[:, 0])
    assert torch.allclose(encoders["mean"].encode_images(prepared), states[:, 4:].mean(dim=1))


def test_a_masked_autoencoder_sees_the_whole_image(tmp_path, capsys):
    decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = ViTMAEConfig(**SIZES, **decoder, image_size=SIDE, patch_size=8)
    folder = save_images(tmp_path, ViTMAEModel(config))
    assert np.allclose(rows(folder), rows(folder), atol=1e-6)
    assert "has no pooler" in capsys.readouterr().err


def test_a_convolutional_network_gives_one_vector_of_all_channels(tmp_path):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    folder = save_images(tmp_path, ResNetModel(config))
    found = rows(folder)
    assert found.shape == (2, 16)
    assert len(np.unique(np.abs(found))) > 2
    assert np.allclose(found, rows(folder, tokens="mean"), atol=1e-5)


def save_naflex(folder: Path) -> Path:
    text = SIZES | {"vocab_size": len(bert_words()), "max_position_embeddings": 64}
    vision = SIZES | {"patch_size": 8, "num_patches": 16}
    scrambled(Siglip2Model(Siglip2Config(text_config=text, vision_config=vision)), 0).save_pretrained(folder)
    Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(bert_words())}).save_pretrained(folder)
    return folder


def test_siglip_2_with_patches_of_any_shape_of_image_is_given_their_places(tmp_path):
    folder = save_naflex(tmp_path)
    encoder = load_transformers_model(str(folder), precision="fp32", device="cpu")
    rng = np.random.default_rng(0)
    prepared = [encoder.prepare(picture(rng, *shape)) for shape in ((50, 40), (20, 90))]
    assert sorted(prepared[0]) == ["pixel_attention_mask", "pixel_values", "spatial_shapes"]
    alone = torch.cat([encoder.encode_images([one]) for one in prepared])
    assert torch.allclose(encoder.encode_images(prepared), alone, atol=1e-5)
    turned = dict(prepared[1]) | {"spatial_shapes": prepared[1]["spatial_shapes"].flip(0)}
    assert not torch.allclose(encoder.encode_images([turned]), alone[1:], atol=1e-3)
    assert transformers_model.embedder(str(folder), device="cpu").embed(samples("page", 2)).shape == (2, 32)


def test_a_model_with_several_vectors_of_an_image_is_refused_unless_told_which(tmp_path, monkeypatch):
    folder = save_clip(tmp_path)
    features = CLIPModel.get_image_features

    def several(self, pixel_values):
        return features(self, pixel_values=pixel_values).last_hidden_state

    monkeypatch.setattr(CLIPModel, "get_image_features", several)
    with pytest.raises(UsageError, match=r"gives \[17, 64\] numbers of each input and not one vector; tokens=cls"):
        rows(folder, text_weight="0")
    assert rows(folder, text_weight="0", tokens="cls").shape == (2, 64)


def test_tokens_are_for_models_that_need_them(tmp_path):
    folder = save_clip(tmp_path)
    with pytest.raises(UsageError, match="one vector of each input, so tokens=mean says nothing"):
        rows(folder, tokens="mean")
    with pytest.raises(UsageError, match="tokens 'max' is not one of pooler, cls, mean"):
        rows(folder, tokens="max")


def test_a_tower_of_two_without_its_pooler_is_refused(tmp_path):
    text = BertConfig(**SIZES, vocab_size=len(bert_words()))
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**SIZES, image_size=SIDE, patch_size=8), text, projection_dim=16
    )
    model = VisionTextDualEncoderModel(config)
    state = {name: weight for name, weight in model.state_dict().items() if not name.startswith("text_model.pooler")}
    model.save_pretrained(tmp_path, state_dict=state)
    ViTImageProcessorPil(size=SQUARE).save_pretrained(tmp_path)
    BertTokenizer(vocab={word: i for i, word in enumerate(bert_words())}).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=r"lacks 2 weights of the model: text_model\.pooler\.dense\.bias"):
        rows(tmp_path)
