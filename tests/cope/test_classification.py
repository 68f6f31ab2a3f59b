"""The margin head: by hand, whole against shared out, all products against a sample."""

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from cope.classification import (
    ProductCentres,
    capped,
    margin_logits,
    sample_classes,
    shard_statistics,
    sharded_cross_entropy,
)
from cope.config import RELEASED_VALUE_CAP
from cope.long_tail import Tail, effective_number_weights, log_prior_shifts
from cope.ranks import ProcessRank, shard_bounds
from tests.cope.golden import golden, largest, relative

SCALE, MARGIN = 64.0, 0.4


def plainly(embeddings, weight, labels):
    """The losses in the words of the paper, all at once."""
    cosines = normalize(embeddings) @ normalize(weight).T
    cosines = cosines - MARGIN * torch.nn.functional.one_hot(labels, len(weight))
    return cross_entropy(SCALE * cosines, labels, reduction="none")


def random_case(n=6, c=11, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(n + c, dim, generator=generator, dtype=torch.float64)
    return draw[:n].requires_grad_(), draw[n:].requires_grad_(), torch.randint(c, (n,), generator=generator)


def test_a_right_answer_is_worth_its_cosine_less_the_margin():
    axes = torch.eye(2)
    logits = margin_logits(3 * axes, 0.01 * axes, torch.tensor([0, 1]), SCALE, MARGIN)
    assert torch.allclose(logits, torch.tensor([[38.4, 0.0], [0.0, 38.4]]))


@pytest.mark.parametrize("size", [1, 2, 3, 14])
def test_shards_give_the_losses_and_gradients_of_the_whole(size):
    embeddings, weight, labels = random_case()
    expected = plainly(embeddings, weight, labels)
    gradients = torch.autograd.grad(expected.mean(), [embeddings, weight])
    shards = []
    for rank in range(size):
        start, stop = shard_bounds(len(weight), ProcessRank(rank, size))
        targets = torch.where((labels >= start) & (labels < stop), labels - start, -1)
        shards.append(shard_statistics(margin_logits(embeddings, weight[start:stop], targets, SCALE, MARGIN), targets))
    everyone = torch.stack(shards).detach()
    losses = [sharded_cross_entropy(own, everyone) for own in shards]
    assert all(torch.allclose(loss, expected) for loss in losses)
    found = torch.autograd.grad(sum(loss.mean() for loss in losses), [embeddings, weight])
    assert largest(found[0] - gradients[0]) < 1e-10
    assert largest(found[1] - gradients[1]) < 1e-10


def test_a_module_with_all_centres_does_the_same():
    embeddings, weight, labels = random_case()
    centres = ProductCentres(len(weight), 5, seed=0).double()
    centres.load_whole(weight.detach())
    assert torch.equal(centres.whole(), weight)
    losses = centres(embeddings, labels, scale=SCALE, margin=MARGIN)
    assert torch.allclose(losses, plainly(embeddings, weight, labels))


def test_a_sample_of_the_products_is_all_there_is():
    embeddings, weight, labels = random_case()
    centres = ProductCentres(len(weight), 5, seed=0).double()
    centres.load_whole(weight.detach())
    classes = sample_classes(labels, len(weight), 0.7, seed=0, step=3)
    losses = centres(embeddings, labels, classes, scale=SCALE, margin=MARGIN)
    assert torch.allclose(losses, plainly(embeddings, weight[classes], torch.searchsorted(classes, labels)))
    losses.sum().backward()
    left_out = sorted(set(range(len(weight))) - set(classes.tolist()))
    assert left_out
    assert not centres.weight.grad[left_out].any()


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_rare_products_are_made_up_for(share):
    embeddings, weight, labels = random_case()
    n_seen = torch.arange(1, len(weight) + 1)
    tail = Tail(log_prior_shifts(n_seen, 0.5).double(), effective_number_weights(n_seen, 0.9).double())
    centres = ProductCentres(len(weight), 5, seed=0, tail=tail).double()
    centres.load_whole(weight.detach())
    classes = sample_classes(labels, len(weight), share, seed=0, step=3)
    losses = centres(embeddings, labels, classes if share < 1 else None, scale=SCALE, margin=MARGIN)
    cosines = normalize(embeddings) @ normalize(weight).T - MARGIN * torch.nn.functional.one_hot(labels, len(weight))
    logits = SCALE * cosines + 0.5 * (n_seen / 66).log()
    own = torch.searchsorted(classes, labels)
    plain = cross_entropy(logits[:, classes], own, reduction="none")
    assert torch.allclose(losses, plain * (0.1 / (1 - 0.9**n_seen) / (0.1 / (1 - 0.9**n_seen)).mean())[labels])


@pytest.mark.parametrize(("share", "size"), [(0.01, 3), (0.3, 30), (1.0, 100)])
def test_a_sample_holds_the_batch_and_has_the_size_asked_for(share, size):
    classes = sample_classes(torch.tensor([5, 99, 0, 5]), 100, share, seed=0, step=0)
    assert {0, 5, 99} <= set(classes.tolist())
    assert len(classes) == len(classes.unique()) == size
    assert torch.equal(classes, classes.sort().values)


def test_each_step_and_seed_has_a_sample_of_its_own():
    def sample(seed, step):
        return tuple(sample_classes(torch.tensor([1]), 1000, 0.1, seed=seed, step=step).tolist())

    assert len({sample(0, 0), sample(0, 1), sample(1, 0)}) == 3
    assert sample(1, 1) == sample(1, 1)


def test_all_products_are_as_likely():
    counts = torch.zeros(20)
    for step in range(2000):
        counts[sample_classes(torch.tensor([0]), 20, 0.5, seed=0, step=step)] += 1
    assert counts[0] == 2000
    assert (counts[1:] / 2000 - 9 / 19).abs().max() < 0.05


def test_the_authors_loss_and_gradients():
    arrays = golden("partialfc")
    embeddings = arrays["in.embeddings"].requires_grad_()
    centres = ProductCentres(11, 16, seed=0)
    centres.load_whole(arrays["in.weight"])
    losses = centres(embeddings, arrays["in.labels"], scale=SCALE, margin=MARGIN)
    assert losses.mean().item() == pytest.approx(arrays["aux.plain_cross_entropy"].item(), abs=1e-4)
    loss = capped(losses, RELEASED_VALUE_CAP).mean()
    loss.backward()
    assert loss.item() == pytest.approx(arrays["out.loss"].item(), abs=1e-4)
    assert relative(embeddings.grad, arrays["out.grad_embeddings"]) < 1e-4
    assert relative(centres.weight.grad, arrays["out.grad_weight"]) < 1e-4


def test_centres_do_not_depend_on_how_they_are_shared_out():
    whole = ProductCentres(7, 4, seed=5).weight
    parts = [ProductCentres(7, 4, seed=5, ranks=ProcessRank(rank, 3)).weight for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(ProductCentres(7, 4, seed=6).weight, whole)


def test_centres_begin_near_zero():
    assert ProductCentres(1000, 64, seed=0).weight.std().item() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("labels", [[0, 7], [-1, 2]])
def test_a_label_that_is_no_product_is_refused(labels):
    with pytest.raises(ValueError, match="expected labels from 0 to 6, got"):
        ProductCentres(7, 4, seed=0)(torch.ones(2, 4), torch.tensor(labels), scale=SCALE, margin=MARGIN)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 products cannot be shared out over 3 ranks"):
        ProductCentres(2, 4, seed=0, ranks=ProcessRank(0, 3))
    with pytest.raises(ValueError, match=r"expected centres \[7, 4\], got \[6, 4\]"):
        ProductCentres(7, 4, seed=0).load_whole(torch.zeros(6, 4))


@pytest.mark.parametrize("classes", [None, [0, 2, 3, 4, 6]])
@pytest.mark.parametrize("rank", range(3))
def test_each_rank_finds_its_own_products_among_the_centres_it_has(rank, classes):
    """Of 7 products, 3, 2 and 2; the row of a label's centre, and -1 for the labels of other ranks."""
    centres = ProductCentres(7, 4, seed=0, ranks=ProcessRank(rank, 3))
    own = range(centres.start, centres.stop)
    labels = torch.tensor([6, 0, 2, 3, 4, 2])
    chosen, targets = centres._chosen(labels, None if classes is None else torch.tensor(classes))
    taking_part = torch.arange(centres.start, centres.stop)[chosen].tolist()
    assert taking_part == [product for product in own if classes is None or product in classes]
    assert targets.tolist() == [taking_part.index(x) if x in own else -1 for x in labels.tolist()]
