"""A fingerprint is of everything that an embedder holds; nothing has to be listed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from baselines import clip4clip, fashion_clip, transformers_model, xclip
from baselines.fusion import FusedEmbedder, PooledImages
from baselines.handcrafted import Handcrafted
from baselines.options import EmbeddingOptions
from rope.encoders import identity
from rope.encoders.chinese_clip import load_chinese_clip
from rope.encoders.identity import fingerprint_of
from tests.baselines.checkpoints import clip_tokenizer, save_chinese_clip, save_clip, save_clip4clip, save_xclip


@dataclass
class Held:
    part: object


def scaled(factor):
    return lambda x: x * factor


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2),
        (1, 1.0),
        ("1", 1),
        ([1, 2], [2, 1]),
        ({"eps": 1e-5}, {"eps": 1e-6}),
        (torch.zeros(2), torch.zeros(2).bfloat16()),
        (torch.zeros(2), torch.zeros(1, 2)),
        (np.zeros(2), np.ones(2)),
        (nn.GELU(), nn.GELU(approximate="tanh")),
        (nn.LayerNorm(2, 1e-5), nn.LayerNorm(2, 1e-6)),
        (nn.MultiheadAttention(4, 1), nn.MultiheadAttention(4, 2)),
        (nn.functional.relu, nn.functional.gelu),
        (scaled(1), scaled(2)),
        (partial(max, 1), partial(max, 2)),
        (Held([Held(1)]), Held([Held(2)])),
        (torch.float32, torch.float16),
    ],
)
def test_any_difference_is_seen_wherever_it_is_held(first, second):
    torch.manual_seed(0)
    prints = [fingerprint_of(Held({"inside": (part,)})) for part in (first, second)]
    assert prints[0] != prints[1]


def test_what_moves_nothing_is_not_seen():
    one, two = ({"a": 1, "b": {1, 2}, "device": "cpu"}, {"b": {2, 1}, "a": 1, "device": "cuda:1"})
    assert fingerprint_of(Held(one)) == fingerprint_of(Held(two))
    assert fingerprint_of(Held(Lock())) == fingerprint_of(Held(Lock()))


def test_an_object_that_holds_itself_comes_to_an_end():
    held = Held(None)
    held.part = [held, Held(held)]
    assert len(fingerprint_of(held)) == 64


@pytest.mark.parametrize(("module", "counts"), [("rope.media.choice", True), ("rope.bench.metrics", False)])
def test_the_code_of_the_project_counts_where_it_is_imported(module, counts, monkeypatch):
    before, original = fingerprint_of(Handcrafted()), identity._source_hash
    monkeypatch.setattr(identity, "_source_hash", lambda name: "another" if name == module else original(name))
    assert (fingerprint_of(Handcrafted()) != before) == counts


def test_the_versions_of_packages_count(monkeypatch):
    before = fingerprint_of(Handcrafted())
    monkeypatch.setattr("PIL.__version__", "0")
    assert fingerprint_of(Handcrafted()) != before


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_finds_the_same(seed):
    code = (
        "from types import SimpleNamespace as Held; from rope.encoders.identity import fingerprint_of\n"
        "from baselines.handcrafted import Handcrafted\n"
        "print(fingerprint_of(Held(a={'x', 'y', 'z'}, b={'q': 1, 'p': max}, c=Handcrafted())))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    here = SimpleNamespace(a={"x", "y", "z"}, b={"q": 1, "p": max}, c=Handcrafted())
    assert found.stdout.strip() == fingerprint_of(here)


def edit(path, change):
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def of_clip(folder):
    return transformers_model.embedder(str(folder), device="cpu").fingerprint


CHANGES = {
    "activation": ("config.json", lambda c: c["vision_config"].update(hidden_act="relu")),
    "text activation": ("config.json", lambda c: c["text_config"].update(hidden_act="gelu")),
    "eps": ("config.json", lambda c: c["vision_config"].update(layer_norm_eps=1e-3)),
    "heads": ("config.json", lambda c: c["text_config"].update(num_attention_heads=4)),
    "end of texts": ("config.json", lambda c: c["text_config"].update(eos_token_id=2)),
    "mean": ("preprocessor_config.json", lambda c: c.update(image_mean=[0.5, 0.5, 0.5])),
    "interpolation": ("preprocessor_config.json", lambda c: c.update(resample=2)),
    "longest text": ("tokenizer_config.json", lambda c: c.update(model_max_length=9)),
    "words": ("tokenizer.json", lambda c: c["model"]["vocab"].update({"0": 1, "1": 0})),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.mark.parametrize("change", CHANGES)
def test_any_file_of_a_model_counts(change, clip, tmp_path):
    folder = shutil.copytree(clip, tmp_path / "clip")
    before = of_clip(folder)
    assert before == of_clip(clip), "where a model lies moves nothing"
    name, write = CHANGES[change]
    edit(folder / name, write)
    assert of_clip(folder) != before


@pytest.mark.parametrize("changed", [{"frames": "3"}, {"pool": "max"}, {"template": "en"}, {"precision": "bf16"}])
def test_any_option_counts(changed, clip):
    assert fashion_clip.embedder(str(clip), device="cpu", **changed).fingerprint != of_clip(clip)


def changed_activation(kind, folder, path):
    def of(source):
        return kind(str(source), device="cpu").fingerprint

    before = of(folder)
    edit(folder / "config.json", path)
    return before != of(folder)


def test_every_baseline_sees_its_configuration(tmp_path):
    def vision(config):
        config["vision_config"]["hidden_act"] = "relu"

    assert changed_activation(xclip.embedder, save_xclip(tmp_path / "xclip"), vision)
    assert changed_activation(load_chinese_clip, save_chinese_clip(tmp_path / "chinese"), vision)


def test_clip4clip_sees_the_heads_of_its_head(tmp_path):
    save_clip4clip(tmp_path / "m", "tightTransf")
    clip_tokenizer().save_pretrained(tmp_path / "words")
    given = {"tokenizer": str(tmp_path / "words"), "device": "cpu"}
    prints = {clip4clip.embedder(str(tmp_path / "m"), cross_heads=n, **given).fingerprint for n in ("2", "4")}
    assert len(prints) == 2


class Stated:
    """An encoder that says itself what it is."""

    has_text, thread_safe = False, True

    def __init__(self, fingerprint, cache):
        self.fingerprint, self.cache = fingerprint, cache

    prepare = encode_images = encode_texts = lambda self, x: x


def test_an_encoder_with_a_fingerprint_stands_for_itself():
    options = EmbeddingOptions(text_weight=0)
    given = [("1", "mean", 0), ("1", "mean", 9), ("2", "mean", 0), ("1", "max", 0)]
    prints = [
        FusedEmbedder("e", PooledImages(Stated(name, cache), pool), options).fingerprint for name, pool, cache in given
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
