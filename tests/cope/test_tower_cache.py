"""Frozen towers, embedded once: the same run as without, and nothing embedded twice."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from cope import tower_cache
from cope import train as training
from cope.config import BackboneConfig
from cope.train import LOG_NAME, train
from rope.bench.running.embedder import load_embedder
from rope.dataset.directory import iter_samples
from rope.domain import DOMAINS
from rope.errors import UsageError
from tests.cope.runs import RECIPE, dataset
from tests.cope.towers import save_bert, save_dinov2


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("towers")
    towers = {
        "vision": BackboneConfig(backbone=str(save_dinov2(folder / "vision"))),
        "text": BackboneConfig(backbone=str(save_bert(folder / "text"))),
    }
    model = replace(RECIPE.model, **towers)
    return replace(RECIPE, model=model, crop=1.0, flip=0.0, jitter=0.0, epochs=2, lr_head=1e-3)


@pytest.fixture(scope="module")
def cached(recipe, tmp_path_factory):
    """A run, and the folder of its features."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("cached")
    train(dataset(), out / "run", recipe, cache=out / "towers", progress=False)
    return out


def losses(out):
    return [entry["loss"] for entry in map(json.loads, (out / LOG_NAME).read_text().splitlines()) if "loss" in entry]


def vectors(out):
    embedder = load_embedder(f"cope:{out}")
    made = []
    for domain in DOMAINS:
        (samples,) = iter_samples(dataset(), domain, "validation", batch_size=1000)
        made.append(embedder.embed(samples))
    return np.concatenate(made)


def test_a_run_on_features_is_the_run_on_frames(recipe, cached, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "make_tower_cache", lambda *_args, **_options: None)
    train(dataset(), tmp_path / "run", recipe, cache=tmp_path / "towers", progress=False)
    assert not (tmp_path / "towers").exists()
    np.testing.assert_allclose(losses(cached / "run"), losses(tmp_path / "run"), rtol=1e-5)
    np.testing.assert_allclose(vectors(cached / "run"), vectors(tmp_path / "run"), atol=2e-5)


def test_another_run_embeds_nothing_and_another_tower_everything(recipe, cached, tmp_path, monkeypatch):
    def refuse(*_args):
        raise AssertionError("embedded twice")

    monkeypatch.setattr(tower_cache, "_embed_frames", refuse)
    monkeypatch.setattr(tower_cache, "_embed_texts", refuse)
    shorter = replace(recipe, epochs=1, seed=3)
    train(dataset(), tmp_path / "run", shorter, cache=cached / "towers", progress=False)
    AcceleratorState._reset_state(reset_partial_state=True)
    for tower, change in (("text", {"tokens": "cls"}), ("vision", {"tokens": "mean"})):
        other = replace(shorter.model, **{tower: replace(getattr(shorter.model, tower), **change)})
        with pytest.raises(AssertionError, match="embedded twice"):
            train(dataset(), tmp_path / tower, replace(shorter, model=other), cache=cached / "towers", progress=False)
        AcceleratorState._reset_state(reset_partial_state=True)


def test_images_that_are_augmented_are_not_kept(recipe, cached, tmp_path):
    moving = replace(recipe, crop=0.5, epochs=1)
    train(dataset(), tmp_path / "run", moving, cache=tmp_path / "towers", progress=False)
    assert {path.name.partition("-")[0] for path in (tmp_path / "towers").iterdir()} == {"texts"}


def test_heads_that_begin_alike_know_products_across_domains_from_the_start(recipe, cached, tmp_path):
    still = replace(recipe, heads="aligned", epochs=1, lr_head=0.0, lr_text=0.0, lr_vision=0.0)
    train(dataset(), tmp_path / "run", still, cache=cached / "towers", progress=False)
    saved = load_file(tmp_path / "run" / "model.safetensors")
    assert torch.equal(saved["page_visual.weight"], saved["video.weight"])
    assert torch.equal(saved["page_visual.bias"], saved["live.bias"])
    assert torch.equal(saved["page_fusion.weight"][:, 16:], torch.eye(16))


def test_heads_cannot_begin_alike_without_features(recipe, tmp_path):
    moving = replace(recipe, heads="aligned", crop=0.5)
    with pytest.raises(UsageError, match="heads: aligned begins with the features of two frozen towers"):
        train(dataset(), tmp_path / "run", moving, cache=tmp_path / "towers", progress=False)


def test_a_saved_state_leaves_out_what_is_frozen_and_goes_on_to_the_same_bytes(recipe, cached, tmp_path):
    out = tmp_path / "run"
    train(dataset(), out, recipe, cache=cached / "towers", stop_after=2, progress=False)
    (state,) = (out / "state").glob("*.pt")
    saved = torch.load(state, weights_only=True)
    left_out = load_file(cached / "run" / "model.safetensors").keys() - saved["model"].keys()
    assert {name.partition(".")[0] for name in left_out} == {"vision", "text"}
    AcceleratorState._reset_state(reset_partial_state=True)
    train(dataset(), out, recipe, cache=cached / "towers", progress=False)
    assert (out / "model.safetensors").read_bytes() == (cached / "run" / "model.safetensors").read_bytes()


def test_a_state_with_all_weights_as_earlier_versions_wrote_it_goes_on_too(recipe, cached, tmp_path):
    out = tmp_path / "run"
    train(dataset(), out, recipe, cache=cached / "towers", stop_after=2, progress=False)
    (path,) = (out / "state").glob("*.pt")
    saved = torch.load(path, weights_only=True)
    del saved["frozen"]
    whole = load_file(cached / "run" / "model.safetensors")
    saved["model"] = {**whole, **saved["model"]}
    torch.save(saved, path)
    AcceleratorState._reset_state(reset_partial_state=True)
    train(dataset(), out, recipe, cache=cached / "towers", progress=False)
    assert (out / "model.safetensors").read_bytes() == (cached / "run" / "model.safetensors").read_bytes()


def test_a_run_does_not_go_on_with_other_frozen_weights(recipe, cached, tmp_path):
    out = tmp_path / "run"
    train(dataset(), out, recipe, cache=cached / "towers", stop_after=2, progress=False)
    (path,) = (out / "state").glob("*.pt")
    saved = torch.load(path, weights_only=True)
    torch.save(saved | {"frozen": "0" * 64}, path)
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.raises(UsageError, match="the frozen towers have other weights now than when this run was saved"):
        train(dataset(), out, recipe, cache=cached / "towers", progress=False)
