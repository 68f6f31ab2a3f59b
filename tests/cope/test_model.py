"""Pages, videos and live clips to unit vectors, one by one or as the losses want them."""

import pytest
import torch

from cope.model import Cope, with_weights
from rope.errors import RopeError
from tests.cope.golden import TINY, largest, tiny_batch, tiny_model


def test_embeddings_have_length_one():
    model, (pages, tokens, mask, videos, lives) = tiny_model(), tiny_batch(3)
    for encoded in (model.encode_pages(pages, tokens, mask), model.encode_videos(videos), model.encode_lives(lives)):
        assert encoded.unit.shape == (3, 16)
        assert torch.allclose(encoded.unit.norm(dim=1), torch.ones(3))


def test_one_pass_gives_the_losses_what_the_three_encoders_give():
    model, batch = tiny_model(), tiny_batch(3)
    pages, tokens, mask, videos, lives = batch
    views, page = model(*batch), model.encode_pages(pages, tokens, mask)
    expected = (
        page.fused,
        page.visual,
        page.text,
        model.encode_videos(videos).projected,
        model.encode_lives(lives).projected,
    )
    assert all(largest(view - other) < 2e-6 for view, other in zip(views, expected, strict=True))


def test_each_domain_has_a_projection_of_its_own():
    model, (*_, videos, _) = tiny_model(), tiny_batch(2)
    assert largest(model.encode_videos(videos).unit - model.encode_lives(videos).unit) > 0.01


def test_the_text_feature_is_bounded_as_a_tanh_is():
    model, (_, tokens, mask, _, _) = tiny_model(), tiny_batch(2)
    with torch.no_grad():
        model.text.pooler.dense.bias.fill_(100)
        text = model.encode_pages(torch.zeros(2, 1, 3, 32, 32), tokens, mask).text
    expected = model.page_text.weight.sum(dim=1) + model.page_text.bias
    assert largest(text - expected) < 1e-5


def test_padding_changes_nothing():
    model, (pages, tokens, mask, _, _) = tiny_model(), tiny_batch(2)
    padded = torch.cat([tokens, tokens[:, :2]], dim=1)
    longer = torch.cat([mask, torch.zeros_like(mask[:, :2])], dim=1)
    with torch.no_grad():
        difference = model.encode_pages(pages, padded, longer).unit - model.encode_pages(pages, tokens, mask).unit
    assert largest(difference) < 1e-5


def test_a_page_has_one_image_and_a_video_eight():
    model, (pages, tokens, mask, videos, _) = tiny_model(), tiny_batch(2)
    with pytest.raises(ValueError, match=r"expected pixels \[pages, 1, 3, side, side\], got \[2, 8, 3, 32, 32\]"):
        model.encode_pages(videos, tokens, mask)
    for encode in (model.encode_videos, model.encode_lives):
        with pytest.raises(ValueError, match=r"expected pixels \[clips, 8, 3, side, side\], got \[2, 1, 3, 32, 32\]"):
            encode(pages)


def test_a_seed_makes_the_same_model_twice():
    made = []
    for _ in range(2):
        torch.manual_seed(7)
        made.append(Cope(TINY).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_loading_weights_draws_no_random_numbers():
    model = tiny_model()
    torch.manual_seed(0)
    with_weights(TINY, model.state_dict(), "here")
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


def test_weights_that_do_not_fit_are_named():
    weights = {**tiny_model().state_dict(), "more": torch.zeros(1), "live.bias": torch.zeros(3)}
    del weights["video.bias"]
    with pytest.raises(RopeError, match=r"here: .* video.bias is missing; more is not part .*; live.bias is \[3\]"):
        with_weights(TINY, weights, "here")
