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
        ({"num_frames": 0}, "num_frames is 0; expected a whole number, at least 1"),
        ({"mit_layers": 1.5}, "mit_layers is 1.5; expected a whole number, at least 1"),
        ({"text_layers": True}, "text_layers is True; expected a whole number"),
        ({"text_dropout": 1.0}, "text_dropout is 1.0; expected a finite number, at least 0 and below 1"),
        ({"image_size": 230}, "image_size 230 is not a multiple of patch_size, 16"),
        ({"vision_width": 100}, "vision_width 100 is not a multiple of the width of a head, 64"),
        ({"feature_dim": 100}, "feature_dim 100 is not a multiple of the width of a head, 64"),
        ({"text_heads": 7}, "text_width 768 is not a multiple of text_heads, 7"),
    ],
)
def test_a_size_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        CopeConfig(**wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: not readable as JSON"),
        ("[]", "config.json: expected keys with values at the top, got a list"),
        ('{"colour": 3}', "config.json: unknown key 'colour'"),
        ('{"mit_layers": "4"}', "mit_layers is '4'; expected a whole number"),
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
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is .*; expected a finite number, "):
        LossConfig(**wrong)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_is_a_number(weight):
    with pytest.raises(UsageError, match=r"video_live is .*; expected a finite number, at least 0"):
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
