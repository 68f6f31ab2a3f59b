"""Checkpoints of the authors: every tensor has a place, is known to be dead, or is refused."""

import pytest
import torch

from cope.model import Cope
from cope.released import load_released, translate
from rope.errors import RopeError, UsageError
from tests.cope.golden import below, golden, largest
from tests.stored import GOLDEN

DEAD = {f"{d}_fusion_model.fc2.{k}" for d in ("item", "photo", "live") for k in ("weight", "bias")} | {
    f"{d}_fusion_model.attention_pooling.projection.{k}" for d in ("photo", "live") for k in ("weight", "bias")
}


def official():
    return {f"module.{name}": weight for name, weight in below(golden("shark"), "state.").items()}


@pytest.fixture
def checkpoint(tmp_path):
    """A function that writes a state as the authors' training code does."""

    def write(state):
        torch.save({"epoch": 5, "global_step": 9, "state_dict": state}, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return write


def test_the_embeddings_of_the_authors(checkpoint):
    arrays = golden("shark")
    model, report = load_released(checkpoint(official()), text_heads=4)
    with torch.no_grad():
        pages = model.encode_pages(arrays["in.image_item"], arrays["in.input_ids"], arrays["in.attention_mask"])
        videos, lives = model.encode_videos(arrays["in.image_photo"]), model.encode_lives(arrays["in.image_live"])
    found = {
        "extract.item": pages.unit,
        "extract.photo": videos.unit,
        "extract.live": lives.unit,
        "logit.item": pages.fused,
        "logit.item_text": pages.text,
        "logit.item_visual": pages.visual,
        "logit.photo": videos.projected,
        "logit.live": lives.projected,
    }
    assert {name: largest(tensor - arrays[f"out.{name}"]) < 2e-5 for name, tensor in found.items()} == dict.fromkeys(
        found, True
    )
    assert set(report.ignored) == DEAD
    assert len(report.used) + len(report.ignored) == len(official())


@pytest.mark.parametrize(("name", "text_layers", "n_weights"), [("rbt3", 3, 173_229_824), ("rbt6", 6, 194_493_440)])
def test_every_tensor_of_the_real_configurations_has_a_place(name, text_layers, n_weights):
    path = GOLDEN / "cope" / f"tensors_{name}.tsv"
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines() if line.startswith("module.")]
    state = {
        key: torch.empty(
            [int(size) for size in shape.strip("[]()").replace(",", " ").replace("x", " ").split()], device="meta"
        )
        for key, shape, _ in rows
    }
    config, weights, report = translate(state, name)
    assert (config.text_layers, config.mit_layers, config.image_size, config.text_heads) == (text_layers, 4, 224, 12)
    assert sum(tensor.numel() for tensor in state.values()) == n_weights
    dead = sum(state[f"module.{key}"].numel() for key in report.ignored)
    assert sum(weight.numel() for weight in weights.values()) == n_weights - dead
    with torch.device("meta"):
        expected = {key: weight.shape for key, weight in Cope(config).state_dict().items()}
    assert {key: weight.shape for key, weight in weights.items()} == expected


def test_positions_that_old_versions_of_transformers_stored_are_ignored(checkpoint):
    name = "text_encoder.bert_model.embeddings.position_ids"
    state = official() | {f"module.{name}": torch.arange(40)[None]}
    assert name in load_released(checkpoint(state), text_heads=4)[1].ignored


def without(name):
    return {key: weight for key, weight in official().items() if key != f"module.{name}"}


BIAS = "visual_encoder.visual.transformer.resblocks.1.message_fc.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda: official() | {"module.item_fusion_model.fc3.weight": torch.zeros(1)},
            "1 tensors have no place in COPE",
        ),
        (lambda: official() | {"module.visual_encoder.visual.extra": torch.zeros(1)}, "'visual_encoder.visual.extra'"),
        (lambda: without(BIAS), "vision.layers.1.message_fc.bias is missing"),
        (
            lambda: without("item_fusion_model.fc0.weight"),
            "not a checkpoint of COPE: .* 'item_fusion_model.fc0.weight' is missing",
        ),
        (lambda: official() | {f"module.{BIAS}": torch.zeros(65)}, r"message_fc.bias is \[65\], expected \[64\]"),
    ],
)
def test_what_is_not_explained_is_refused(change, message, checkpoint):
    with pytest.raises(RopeError, match=message):
        load_released(checkpoint(change()), text_heads=4)


class Harmful:
    def __reduce__(self):
        return print, ("this must not run",)


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(RopeError, match="cannot be read without running code"):
        load_released(tmp_path / "harmful.pth")
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_there_is_a_wrong_command(tmp_path):
    with pytest.raises(UsageError, match=r"none.pth: no such file"):
        load_released(tmp_path / "none.pth")
