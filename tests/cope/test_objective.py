"""The whole objective: the authors' losses and gradients, and what the weights do."""

import pytest
import torch

from cope.classification import ProductCentres, sample_classes
from cope.config import RELEASED_VALUE_CAP, ContrastiveWeights, LossConfig
from cope.model import with_weights
from cope.objective import objective
from cope.released import renamed, translate
from cope.views import Views
from tests.cope.golden import below, golden, relative

THEIR_NAMES = {
    "page_visual_video": "loss_ivpvc",
    "page_visual_live": "loss_ivlvc",
    "video_live": "loss_pvlvc",
    "page_video": "loss_ipvc",
    "page_live": "loss_ilvc",
    "page_text_video": "loss_itpvc",
    "page_text_live": "loss_itlvc",
    "classify_page": "cls_loss_item",
    "classify_video": "cls_loss_photo",
    "classify_live": "cls_loss_live",
}
ONES = ContrastiveWeights(**dict.fromkeys(ContrastiveWeights.__dataclass_fields__, 1.0))


def random_views(n=4, dim=8, seed=0):
    return Views(*torch.randn(5, n, dim, generator=torch.Generator().manual_seed(seed)).requires_grad_())


def authors_run(classification_weight):
    """Their weights and inputs through our model and objective: gradients by our names, centres, losses, arrays."""
    arrays = golden("shark")
    config, weights, _ = translate(below(arrays, "state."), "golden", text_heads=4)
    model = with_weights(config, weights, "golden")
    centres = ProductCentres(11, 16, seed=0)
    centres.load_whole(arrays["in.cls_weight"])
    inputs = ["image_item", "input_ids", "attention_mask", "image_photo", "image_live"]
    views = model(*(arrays[f"in.{name}"] for name in inputs))
    recipe = LossConfig(weights=ONES, classification_weight=classification_weight, value_cap=RELEASED_VALUE_CAP)
    losses = objective(views, arrays["in.cls_labels"], centres, recipe, seed=0, step=0)
    losses.total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients, centres, losses, arrays


@pytest.mark.parametrize(("which", "weight", "total"), [("contrastive", 0, "contrastive_sum7"), ("total", 1, "total")])
def test_the_authors_losses_and_gradients(which, weight, total):
    gradients, centres, losses, arrays = authors_run(weight)
    for name, term in losses.terms.items():
        assert term.item() == pytest.approx(arrays[f"out.{THEIR_NAMES[name]}"].item(), abs=1e-4)
    assert losses.total.item() == pytest.approx(arrays[f"out.loss_{total}"].item(), abs=1e-4)
    theirs = below(arrays, f"grad_{which}.")
    if weight:
        assert relative(centres.weight.grad, theirs.pop("cls_weight")) < 1e-4
    far = {}
    for name, gradient in theirs.items():
        parts = renamed({name: gradient}, "golden")  # three where query, key and value are one; compared as one
        expected = torch.cat(list(parts.values()))  # of the patches' filters, the first few are stored
        far[name] = relative(torch.cat([gradients[part] for part in parts])[: len(expected)], expected)
    assert {name: error for name, error in far.items() if error >= 1e-4} == {}
    assert len(far) == 19
    length = torch.stack([gradient.double().norm() for gradient in gradients.values()]).norm()
    assert length.item() == pytest.approx(arrays[f"gradnorm_{which}.global"].item(), rel=1e-5)


def test_every_parameter_learns():
    gradients, _, _, _ = authors_run(1)
    assert [name for name, gradient in gradients.items() if gradient is None] == []


@pytest.mark.parametrize("centres", [None, ProductCentres(5, 8, seed=0)])
def test_without_classification_there_are_seven_terms(centres):
    config = LossConfig(classification_weight=0 if centres else 1)
    losses = objective(random_views(), torch.arange(4), centres, config, seed=0, step=0)
    assert len(losses.terms) == 7


def test_a_weight_of_zero_leaves_classification_alone():
    config = LossConfig(weights=ContrastiveWeights(**dict.fromkeys(ContrastiveWeights.__dataclass_fields__, 0.0)))
    losses = objective(random_views(), torch.arange(4), ProductCentres(5, 8, seed=0), config, seed=0, step=0)
    classified = sum(losses.terms[f"classify_{domain}"] for domain in ("page", "video", "live"))
    assert losses.total.item() == pytest.approx(classified.item(), rel=1e-6)


def test_the_cap_changes_values_and_no_gradient():
    gradients, totals = [], []
    for cap in (None, 1.0):
        views, centres = random_views(), ProductCentres(5, 8, seed=0)
        losses = objective(views, torch.arange(4), centres, LossConfig(value_cap=cap), seed=0, step=0)
        losses.total.backward()
        gradients.append(centres.weight.grad)
        totals.append(losses.terms["classify_live"].item())
    assert torch.equal(*gradients)
    assert totals[1] == 1.0 < totals[0]


def test_a_sample_of_products_changes_from_step_to_step_and_no_further():
    def total(step):
        config, centres = LossConfig(class_share=0.1), ProductCentres(500, 8, seed=0)
        return objective(random_views(), torch.arange(4), centres, config, seed=0, step=step).total.item()

    assert total(0) == total(0) != total(1)


def test_losses_stay_in_float32_where_the_rest_is_not():
    with torch.autocast("cpu", torch.bfloat16):
        low = objective(random_views(), torch.arange(4), ProductCentres(9, 8, seed=0), LossConfig(), seed=0, step=0)
    full = objective(random_views(), torch.arange(4), ProductCentres(9, 8, seed=0), LossConfig(), seed=0, step=0)
    assert low.total.item() == full.total.item()


def test_views_in_bfloat16_are_compared_in_float32():
    low = Views(*(view.detach().bfloat16() for view in random_views()))
    full = Views(*(view.float() for view in low))
    totals = [objective(views, torch.arange(4), None, LossConfig(), seed=0, step=0).total for views in (low, full)]
    assert totals[0].item() == totals[1].item()


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (7, 0), (7, 3)])
def test_the_sample_of_products_is_that_of_the_seed_and_the_step(seed, step):
    config, labels = LossConfig(class_share=0.1), torch.arange(4)
    views, centres = random_views(), ProductCentres(500, 8, seed=0)
    losses = objective(views, labels, centres, config, seed=seed, step=step)
    classes = sample_classes(labels, 500, 0.1, seed, step)
    for domain in ("page", "video", "live"):
        alone = centres(getattr(views, domain), labels, classes, scale=config.scale, margin=config.margin).mean()
        assert losses.terms[f"classify_{domain}"].item() == pytest.approx(alone.item(), rel=1e-5)
    other = objective(views, labels, centres, config, seed=seed + 1, step=step)
    assert other.total.item() != losses.total.item()
