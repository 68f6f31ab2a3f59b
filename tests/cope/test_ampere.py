"""AMPere: a text in every domain, the terms that align text and image, and COPE as it was next to it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from cope.checkpoint import CONFIG_NAME
from cope.config import AlignmentWeights, ContrastiveWeights, CopeConfig, LossConfig
from cope.embed import load_cope_embedder
from cope.losses import ALIGNMENT_PAIRS, CONTRASTIVE_PAIRS, contrastive_loss
from cope.model import Cope
from cope.objective import objective
from cope.recipe import PRESETS, read_recipe, recipe_text
from cope.train import LOG_NAME, train
from cope.views import AmpereViews, Views
from rope.dataset.directory import iter_samples
from rope.domain import DOMAINS
from rope.errors import UsageError
from tests.cope.golden import TINY, largest, tiny_batch
from tests.cope.runs import NO_DROPOUT, dataset

AMPERE = replace(TINY, text_domains=DOMAINS)
ALL_ONES = AlignmentWeights(**dict.fromkeys(ALIGNMENT_PAIRS, 1.0))
RECIPE = replace(
    NO_DROPOUT,
    epochs=1,
    lr_head=1e-3,
    model=replace(NO_DROPOUT.model, text_domains=DOMAINS),
    loss=replace(NO_DROPOUT.loss, alignment=ALL_ONES),
)


@pytest.fixture(autouse=True)
def one_accelerator_a_test():
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


def model(config=AMPERE, seed=0):
    torch.manual_seed(seed)
    return Cope(config).eval()


def texts(n, seed):
    tokens = torch.randint(20, (n, 4), generator=torch.Generator().manual_seed(seed))
    return tokens, torch.ones(n, 4, dtype=torch.int64)


def random_views(seed=0):
    return AmpereViews(*torch.randn(9, 4, 8, generator=torch.Generator().manual_seed(seed)).requires_grad_())


def test_the_weights_that_cope_has_are_drawn_as_ever():
    cope, ampere = model(TINY).state_dict(), model().state_dict()
    assert all(torch.equal(ampere[name], weight) for name, weight in cope.items())
    added = {name.partition(".")[0] for name in ampere.keys() - cope.keys()}
    assert added == {"video_text", "video_fusion", "live_text", "live_fusion"}


@pytest.mark.parametrize("domain", ["video", "live"])
def test_a_clip_is_the_fusion_of_text_and_frames_in_this_order(domain):
    made, pixels, (tokens, mask) = model(), tiny_batch(3)[3], texts(3, seed=1)
    encoded = (made.encode_videos if domain == "video" else made.encode_lives)(pixels, tokens, mask)
    fusion = made.get_submodule(f"{domain}_fusion")
    by_hand = encoded.text @ fusion.weight[:, :16].T + encoded.visual @ fusion.weight[:, 16:].T + fusion.bias
    assert largest(encoded.projected - by_hand) < 1e-6
    assert largest(encoded.visual - made.get_submodule(domain)(made.vision(pixels))) < 1e-6
    assert torch.allclose(encoded.unit.norm(dim=1), torch.ones(3))


def test_one_pass_gives_the_losses_what_the_three_encoders_give():
    made, batch = model(), tiny_batch(3)
    pages, tokens, mask, videos, lives = batch
    video_texts, live_texts = texts(3, seed=1), texts(3, seed=2)
    views = made(*batch, *video_texts, *live_texts)
    page = made.encode_pages(pages, tokens, mask)
    video, live = made.encode_videos(videos, *video_texts), made.encode_lives(lives, *live_texts)
    expected = (page.fused, page.visual, page.text, video.projected, live.projected)
    expected += (video.visual, video.text, live.visual, live.text)
    assert all(largest(view - other) < 2e-6 for view, other in zip(views, expected, strict=True))


def test_texts_are_given_where_they_are_read_and_nowhere_else():
    batch, tokens = tiny_batch(2), texts(2, seed=1)
    with pytest.raises(ValueError, match="this model reads the texts of videos"):
        model()(*batch)
    with pytest.raises(ValueError, match="this model reads the texts of lives"):
        model()(*batch, *tokens)
    with pytest.raises(ValueError, match="this model does not read the texts of videos"):
        model(TINY)(*batch, *tokens)


def test_each_term_compares_the_views_of_its_name():
    views = random_views()
    losses = objective(views, torch.arange(4), None, LossConfig(alignment=ALL_ONES), seed=0, step=0)
    assert list(losses.terms) == [*CONTRASTIVE_PAIRS, *ALIGNMENT_PAIRS]
    for name, (a, b) in ALIGNMENT_PAIRS.items():
        assert name == f"{a}_{b}"
        expected = contrastive_loss(getattr(views, a), getattr(views, b), 0.05, 0.1)
        assert losses.terms[name].item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", ALIGNMENT_PAIRS)
def test_a_weight_moves_the_total_by_its_term_alone(name):
    plain, weighted = LossConfig(), LossConfig(alignment=AlignmentWeights(**{name: 0.5}))
    without, within = (
        objective(random_views(), torch.arange(4), None, config, seed=0, step=0) for config in (plain, weighted)
    )
    assert within.total.item() - without.total.item() == pytest.approx(0.5 * within.terms[name].item(), rel=1e-4)
    assert list(without.terms) == list(CONTRASTIVE_PAIRS)


def test_terms_and_weights_have_the_same_names():
    assert list(ALIGNMENT_PAIRS) == list(asdict(AlignmentWeights()))


def test_a_term_of_a_view_that_is_not_there_is_refused():
    views = Views(*torch.randn(5, 4, 8))
    with pytest.raises(ValueError, match="a term compares live_text, which this model does not have"):
        objective(views, torch.arange(4), None, LossConfig(alignment=ALL_ONES), seed=0, step=0)
    with pytest.raises(UsageError, match=r"loss.alignment.video_text_video_visual: compares views of video"):
        replace(NO_DROPOUT, loss=LossConfig(alignment=ALL_ONES))


@pytest.mark.parametrize("wrong", [(), ("video",), ("page", "live"), ("live", "video", "page"), "page"])
def test_other_domains_are_refused(wrong):
    with pytest.raises(UsageError, match=r"text_domains(:| is .*;) expected"):
        CopeConfig(text_domains=wrong)


def test_a_negative_weight_is_refused():
    with pytest.raises(UsageError, match="page_text_page_visual is -1; expected"):
        AlignmentWeights(page_text_page_visual=-1)


def test_a_configuration_survives_json_and_an_old_one_is_that_of_cope():
    assert CopeConfig.from_json(AMPERE.to_json(), "here") == AMPERE
    old = json.loads(TINY.to_json())
    del old["text_domains"]
    assert CopeConfig.from_json(json.dumps(old), "here") == TINY


def test_a_model_comes_back_as_it_was(tmp_path):
    made, batch, tokens = model(), tiny_batch(2), texts(2, seed=1)
    made.save_pretrained(tmp_path)
    again = Cope.from_pretrained(tmp_path)
    assert json.loads((tmp_path / CONFIG_NAME).read_text())["text_domains"] == ["page", "video", "live"]
    views, expected = again(*batch, *tokens, *tokens), made(*batch, *tokens, *tokens)
    assert all(torch.equal(a, b) for a, b in zip(views, expected, strict=True))


@pytest.mark.parametrize("name", ["ampere", "tiny_ampere"])
def test_presets_read_a_text_in_every_domain(name, tmp_path):
    assert name in PRESETS
    recipe = read_recipe(name)
    assert recipe.model.text_domains == DOMAINS
    assert set(asdict(recipe.loss.alignment).values()) == {1.0}
    (tmp_path / "recipe.yaml").write_text(recipe_text(recipe))
    assert read_recipe(str(tmp_path / "recipe.yaml")) == recipe


def test_the_objective_of_cope_has_not_moved():
    assert read_recipe("paper").loss == LossConfig(weights=ContrastiveWeights(), alignment=AlignmentWeights())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("ampere") / "run"
    train(dataset(), out, RECIPE, progress=False)
    return out


def test_training_logs_every_term_and_resumes_to_the_same_bytes(trained, tmp_path):
    first = json.loads((trained / LOG_NAME).read_text().splitlines()[0])
    assert ALIGNMENT_PAIRS.keys() <= first.keys()
    assert train(dataset(), tmp_path / "run", RECIPE, progress=False, stop_after=1) is None
    train(dataset(), tmp_path / "run", RECIPE, progress=False)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_parts_of_a_batch_give_the_losses_of_the_whole(trained, tmp_path):
    train(dataset(), tmp_path / "run", replace(RECIPE, micro_batch=3), progress=False)
    whole, parts = (
        [json.loads(line)["loss"] for line in (out / LOG_NAME).read_text().splitlines() if "loss" in json.loads(line)]
        for out in (trained, tmp_path / "run")
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-3)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_text_of_every_domain_moves_its_embedding_and_null_is_the_empty_marker(domain, trained):
    embedder = load_cope_embedder(str(trained), device="cpu")
    (samples,) = iter_samples(dataset(), domain, "validation", batch_size=1000)
    null, marker, other = (
        embedder.embed([replace(sample, text=text) for sample in samples[:3]]) for text in (None, "空", "茶杯 red")
    )
    assert np.array_equal(null, marker)
    assert not np.array_equal(null, other)
