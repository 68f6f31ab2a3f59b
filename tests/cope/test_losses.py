"""Seven contrastive terms, against arithmetic that can be done by hand."""

from dataclasses import asdict
from math import cos, exp, log, radians, sin

import pytest
import torch

from cope.config import ContrastiveWeights
from cope.losses import CONTRASTIVE_PAIRS, contrastive_loss, contrastive_losses, weighted_sum
from cope.views import Views


def at(*degrees):
    """Unit vectors of the plane at these angles."""
    return torch.tensor([[cos(radians(d)), sin(radians(d))] for d in degrees])


def by_hand(similarities, smoothing):
    """Mean over rows and columns, written out for numbers."""
    n, losses = len(similarities), []
    for rows in (similarities, list(zip(*similarities, strict=True))):
        for i, row in enumerate(rows):
            log_sum = log(sum(map(exp, row)))
            losses += [(1 - smoothing) * (log_sum - row[i]) + smoothing / n * sum(log_sum - s for s in row)]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_angles(temperature, smoothing):
    a, b = [0, 80, 200], [10, 95, 150]
    similarities = [[cos(radians(x - y)) / temperature for y in b] for x in a]
    loss = contrastive_loss(at(*a), at(*b), temperature, smoothing)
    assert loss.item() == pytest.approx(by_hand(similarities, smoothing), rel=1e-5, abs=1e-6)


def test_lengths_do_not_matter_and_neither_does_which_view_is_first():
    a, b = at(0, 80, 200), at(10, 95, 150)
    loss = contrastive_loss(a, b, 0.05, 0.1)
    assert contrastive_loss(3 * b, 0.1 * a, 0.05, 0.1).item() == pytest.approx(loss.item(), rel=1e-5)


def test_one_product_alone_has_nothing_to_be_told_from():
    assert contrastive_loss(at(0), at(90), 0.05, 0.1).item() == 0


def test_each_term_compares_the_views_of_its_name():
    views = Views(page=at(0, 90), page_visual=at(30, 120), page_text=at(60, 150), video=at(5, 70), live=at(20, 140))
    terms = contrastive_losses(views, 0.5, 0.1)
    expected = {
        "page_visual_video": contrastive_loss(views.page_visual, views.video, 0.5, 0.1),
        "page_visual_live": contrastive_loss(views.page_visual, views.live, 0.5, 0.1),
        "video_live": contrastive_loss(views.video, views.live, 0.5, 0.1),
        "page_video": contrastive_loss(views.page, views.video, 0.5, 0.1),
        "page_live": contrastive_loss(views.page, views.live, 0.5, 0.1),
        "page_text_video": contrastive_loss(views.page_text, views.video, 0.5, 0.1),
        "page_text_live": contrastive_loss(views.page_text, views.live, 0.5, 0.1),
    }
    assert terms == expected
    assert len({term.item() for term in terms.values()}) == 7


def test_terms_and_weights_have_the_same_names():
    assert list(CONTRASTIVE_PAIRS) == list(asdict(ContrastiveWeights()))


def test_the_sum_takes_each_weight_to_its_term():
    losses = {name: torch.tensor(10.0**i) for i, name in enumerate(CONTRASTIVE_PAIRS)}
    weights = ContrastiveWeights(**{name: i for i, name in enumerate(CONTRASTIVE_PAIRS)})
    assert weighted_sum(losses, weights).item() == 6543210
