"""Sizes and constants are refused at birth, and survive JSON."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from cope.config import ContrastiveWeights, CopeConfig, LossConfig
from rope.errors import UsageError
from tests.cope.golden import TINY


def test_a_configuration_survives_json():
    assert CopeConfig.from_json(TINY.to_json(), "here") == TINY


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_frames": 0}, "num_frames: expected a whole number of at least 1, got 0"),
        ({"mit_layers": 1.5}, "mit_layers: expected a whole number of at least 1, got 1.5"),
        ({"text_layers": True}, "text_layers: expected a whole number"),
        ({"text_dropout": 1.0}, "text_dropout: expected a number from 0 up to but not 1"),
        ({"image_size": 230}, "image_size 230 is no multiple of patch_size, 16"),
        ({"vision_width": 100}, "vision_width 100 is no multiple of the width of a head, 64"),
        ({"feature_dim": 100}, "feature_dim 100 is no multiple of the width of a head, 64"),
        ({"text_heads": 7}, "text_width 768 is no multiple of text_heads, 7"),
    ],
)
def test_a_size_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        CopeConfig(**wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json:1: no JSON"),
        ("[]", "config.json: expected a JSON object with the fields of CopeConfig, got list"),
        ('{"colour": 3}', "config.json: unknown field 'colour'"),
        ('{"mit_layers": "4"}', "mit_layers: expected a whole number"),
    ],
)
def test_another_json_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        CopeConfig.from_json(text, "config.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"smoothing": 1.0},
        {"classification_weight": -1.0},
        {"scale": 0.0},
        {"margin": 2.0},
        {"class_share": 0.0},
        {"class_share": 1.1},
        {"value_cap": 0.0},
        {"temperature": float("nan")},
    ],
)
def test_a_constant_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))}: .* is out of range"):
        LossConfig(**wrong)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_is_a_number(weight):
    with pytest.raises(UsageError, match="weight of video_live: expected a number of at least 0"):
        ContrastiveWeights(video_live=weight)


PAGE = (Path(__file__).parents[2] / "docs" / "cope.md").read_text("utf-8")


def test_the_page_gives_the_defaults_of_fields():
    found = re.findall(r"`(CopeConfig|LossConfig)\.(\w+)`(?: = ([\w.]+))?", PAGE)
    records = {"CopeConfig": asdict(CopeConfig()), "LossConfig": asdict(LossConfig())}
    assert len(found) >= 7
    for record, name, default in found:
        assert name in records[record]
        assert not default or default in (str(records[record][name]), f"{records[record][name] or 0:g}")


def test_the_page_gives_the_weights_of_the_terms():
    found = re.findall(r"^\| `(\w+)` \|.*\| `loss_\w+` \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert {name: float(weight) for name, weight in found} == asdict(ContrastiveWeights())
