"""Pretrained models as towers, on small random checkpoints in the formats of the real ones."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from cope.backbones import BackboneVision, FrameEncoder
from cope.config import BackboneConfig, CopeConfig
from cope.model import Cope
from cope.optimisation import make_optimizer
from cope.recipe import TrainingRecipe, read_recipe
from cope.titles import tokenize_for
from rope.errors import UsageError
from tests.baselines.checkpoints import save_clip
from tests.cope.towers import save_bert, save_dinov2, save_mobilenet, save_siglip, save_videomae, save_xlm_roberta

VISION = {"siglip": save_siglip, "mobilenet": save_mobilenet, "dinov2": save_dinov2, "videomae": save_videomae}
VISION["clip"] = save_clip
TEXT = {"bert": save_bert, "xlm_roberta": save_xlm_roberta, "siglip": save_siglip, "clip": save_clip}
CONFIG = CopeConfig(embedding_dim=16, num_frames=2, feature_dim=64)


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(n)]


def backbone(source, **options):
    return BackboneConfig(backbone=str(source), **options)


def model_on(tmp_path, vision="dinov2", text="bert", vision_options=None, text_options=None, **options):
    torch.manual_seed(0)
    towers = {
        "vision": backbone(VISION[vision](tmp_path / vision), **(vision_options or {})),
        "text": backbone(TEXT[text](tmp_path / text), **(text_options or {})),
    }
    return Cope(replace(CONFIG, **towers, **options)).eval()


def inputs(model, tokenizer_folder, n=3):
    """Pages, tokens, videos and lives."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.model_max_length = 12
    prepare = model.vision.encoder.prepare
    pages, videos = (
        torch.stack([prepare(pictures(t, seed)) for seed in range(n)]) for t in (1, model.config.num_frames)
    )
    return pages, *tokenize_for(model.text, tokenizer, ["red cup", "a", None][:n]), videos, videos.flip(0)


@pytest.mark.parametrize("vision", VISION)
def test_any_image_or_video_model_is_a_visual_tower(vision, tmp_path):
    model = model_on(tmp_path, vision)
    given = inputs(model, tmp_path / "bert")
    views = model(*given)
    assert [tuple(view.shape) for view in views] == [(3, 16)] * 5
    assert len({tuple(row.tolist()) for view in views for row in view}) == 15  # every sample and view differs


@pytest.mark.parametrize("text", TEXT)
def test_any_encoder_is_a_text_tower(text, tmp_path):
    model = model_on(tmp_path, text=text)
    pages, ids, mask, *_ = inputs(model, tmp_path / text)
    made = model.encode_pages(pages, ids, mask).text
    assert made.shape == (3, 16)
    if not model.text.pads:  # else the length is always the full one
        longer = [torch.nn.functional.pad(part, (0, 4)) for part in (ids, mask)]
        assert torch.allclose(model.encode_pages(pages, *longer).text, made, atol=1e-5)


@pytest.mark.parametrize("vision", ["siglip", "mobilenet", "dinov2", "clip"])
def test_frames_are_prepared_and_embedded_as_by_the_model_itself(vision, tmp_path):
    folder = VISION[vision](tmp_path)
    encoder = FrameEncoder(backbone(folder))
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    own = AutoModel.from_pretrained(folder).eval()
    images = pictures(2)
    pixels = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
    assert torch.equal(encoder.prepare(images), pixels)
    with torch.no_grad():
        found = getattr(own, "get_image_features", own)(pixel_values=pixels)
    expected = found if isinstance(found, torch.Tensor) else found.pooler_output.flatten(1)
    assert torch.allclose(encoder(encoder.prepare(images)[None])[0], expected, atol=1e-5)


def test_the_mean_of_frames_has_no_order_and_the_transformer_has(tmp_path):
    for frames, is_ordered in (("mean", False), ("transformer", True)):
        model = model_on(tmp_path, vision_options={"frames": frames})
        *_, videos, _ = inputs(model, tmp_path / "bert")
        same = torch.allclose(model.encode_videos(videos).unit, model.encode_videos(videos.flip(1)).unit, atol=1e-6)
        assert same is not is_ordered


@pytest.mark.parametrize(
    ("tuning", "moves"),
    [("frozen", set()), ("lora", {"lora"}), ("trained", {"base"})],
    ids=["frozen", "lora", "trained"],
)
def test_what_is_tuned_moves_and_nothing_else(tuning, moves, tmp_path):
    if tuning == "lora":
        pytest.importorskip("peft")
    options = {"tuning": tuning}
    model = model_on(tmp_path, vision_options=options, text_options=options).train()
    recipe = TrainingRecipe(
        model=model.config, vision_weights=None, text_weights=None, lr_vision=0.1, lr_text=0.1, lr_head=0.1
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, recipe)
    for _ in range(2):  # the first additions of LoRA are zero, so that half of it moves in the second step
        sum(view.square().sum() for view in model(*inputs(model, tmp_path / "bert"))).backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    in_towers = {name for name in moved if name.startswith(("vision.encoder.", "text."))}
    assert {"lora" if "lora_" in name else "base" for name in in_towers} == moves
    assert {"page_visual.weight", "vision.visual_projection.weight"} <= moved


def test_a_frozen_tower_drops_nothing_while_its_heads_train(tmp_path):
    model = model_on(tmp_path, "mobilenet").train()
    pages, *_ = inputs(model, tmp_path / "bert")
    before = {name: value.clone() for name, value in model.vision.encoder.state_dict().items()}
    model.vision(pages)
    assert all(torch.equal(value, before[name]) for name, value in model.vision.encoder.state_dict().items())
    assert not model.vision.encoder.model.training


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_a_saved_model_needs_nothing_but_its_folder(tuning, tmp_path):
    if tuning == "lora":
        pytest.importorskip("peft")
    model = model_on(tmp_path, "siglip", "xlm_roberta", {"tuning": tuning}, {"tuning": tuning, "prefix": "query: "})
    model.save_pretrained(tmp_path / "saved")
    given = inputs(model, tmp_path / "xlm_roberta")
    for folder in ("siglip", "xlm_roberta"):
        (tmp_path / folder).rename(tmp_path / f"{folder}-away")
    again = Cope.from_pretrained(tmp_path / "saved")
    assert again.config == model.config
    for one, other in zip(model(*given), again(*given), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.vision.encoder.prepare(pictures(1)), model.vision.encoder.prepare(pictures(1)))
    assert f"siglip`, {tuning}" in (tmp_path / "saved" / "README.md").read_text()


def test_the_configuration_of_the_published_towers_is_as_it_was():
    assert {"vision", "text"}.isdisjoint(json.loads(CopeConfig().to_json()))


def test_lora_on_a_model_without_linear_layers_is_refused(tmp_path):
    pytest.importorskip("peft")
    with pytest.raises(UsageError, match="LoRA adds to linear layers, and finds none"):
        FrameEncoder(backbone(save_mobilenet(tmp_path), tuning="lora"))


def test_another_number_of_frames_than_a_video_model_takes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="takes 4 frames, but num_frames is 2; set it to that"):
        BackboneVision(replace(CONFIG, vision=backbone(save_videomae(tmp_path, 4))))


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_weights_of_the_published_towers_for_a_pretrained_one_are_refused(tower):
    model = CopeConfig(**{tower: backbone("a/b")})
    with pytest.raises(UsageError, match=f"{tower}_weights: model.{tower} is a pretrained model"):
        TrainingRecipe(model=model, **{f"{'text' if tower == 'vision' else 'vision'}_weights": None})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"vision": {"tuning": "frozen"}}', "here: vision: lacks 'backbone'; expected a text"),
        ('{"text": {"backbone": "a", "lora": 1}}', "here: text: unknown key 'lora'; did you mean"),
        ('{"text": {"backbone": "a", "tuning": "cold"}}', "text.tuning is 'cold'; expected one of frozen, lora"),
        ('{"text": {"backbone": "a", "lora_rank": 0}}', "text.lora_rank is 0; expected a whole number, at least 1"),
    ],
)
def test_wrong_towers_are_refused(text, problem):
    with pytest.raises(UsageError, match=problem):
        CopeConfig.from_json(text, "here")


@pytest.mark.parametrize(
    ("preset", "vision", "text"), [("modern", "siglip", "xlm_roberta"), ("small_real", "mobilenet", "xlm_roberta")]
)
def test_presets_on_small_checkpoints_of_the_real_formats(preset, vision, text, tmp_path):
    wanted = read_recipe(preset).model
    if wanted.vision.tuning == "lora":
        pytest.importorskip("peft")
    towers = {
        "vision": replace(wanted.vision, backbone=str(VISION[vision](tmp_path / vision))),
        "text": replace(wanted.text, backbone=str(TEXT[text](tmp_path / text))),
    }
    model = Cope(replace(wanted, **towers)).eval()
    pages, ids, mask, videos, lives = inputs(model, tmp_path / text)
    views = model(pages, ids, mask, videos, lives, ids, mask, ids, mask)
    assert [tuple(view.shape) for view in views] == [(3, wanted.embedding_dim)] * 9
