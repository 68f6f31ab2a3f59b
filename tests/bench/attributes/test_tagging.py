import numpy as np
import pytest

from rope.bench.attributes.tagging import average_precision, estimate_tags

torch = pytest.importorskip("torch", reason="torchmetrics needs torch")
classification = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    targets = rng.random((60, 4)) < [0.5, 0.3, 0.2, 0.0]
    targets[0, :3] = True
    return rng.normal(size=(60, 4)) + targets, targets, rng.integers(0, 12, 60)


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_torchmetrics(seed):
    scores, targets, products = drawn(seed)
    found = estimate_tags(scores, targets, products, 12)
    chances = torch.from_numpy(1 / (1 + np.exp(-scores[:, :3])))
    wanted = torch.from_numpy(targets[:, :3].astype(int))
    mean_ap = classification.multilabel_average_precision(chances, wanted, num_labels=3, average="macro")
    assert found.mean_average_precision.value == pytest.approx(float(mean_ap), abs=1e-6)
    macro = classification.multilabel_f1_score(chances, wanted, num_labels=3, average="macro")
    assert found.macro_f1.value == pytest.approx(float(macro), abs=1e-6)
    everything = torch.from_numpy(1 / (1 + np.exp(-scores))), torch.from_numpy(targets.astype(int))
    micro = classification.multilabel_f1_score(*everything, num_labels=4, average="micro")
    assert found.micro_f1.value == pytest.approx(float(micro), abs=1e-6)


@pytest.mark.parametrize("metric", ["mean_average_precision", "micro_f1", "macro_f1"])
def test_a_shift_is_what_leaving_the_product_out_changes(metric):
    scores, targets, products = drawn(5)
    scores = np.round(scores, 1)  # with ties
    whole = getattr(estimate_tags(scores, targets, products, 12), metric)
    for product in range(12):
        rest = products != product
        without = getattr(estimate_tags(scores[rest], targets[rest], products[rest], 12), metric)
        assert whole.shifts[product] == pytest.approx(without.value - whole.value, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "has_tag", "expected"),
    [
        ([3, 2, 1], [1, 0, 0], 1.0),
        ([3, 2, 1], [0, 0, 1], 1 / 3),
        ([1, 1, 1], [1, 0, 0], 1 / 3),  # a tie: the others come first
        ([1, 1, 1], [1, 1, 1], 1.0),
        ([np.inf, 0, -np.inf], [0, 1, 1], (1 / 2 + 2 / 3) / 2),
    ],
)
def test_average_precision_by_hand(scores, has_tag, expected):
    found = average_precision(np.array(scores, float), np.array(has_tag, bool), np.arange(3), 3)
    assert found.value == pytest.approx(expected)


def test_the_only_product_with_a_tag_shifts_nothing():
    found = average_precision(np.array([3.0, 2, 1]), np.array([True, False, True]), np.array([0, 1, 0]), 2)
    assert found.shifts[0] == 0
    assert found.shifts[1] == pytest.approx(1 / 6)


def test_no_tag_at_all_is_refused():
    with pytest.raises(ValueError, match="no sample has a tag"):
        estimate_tags(np.zeros((2, 1)), np.zeros((2, 1), bool), np.arange(2), 2)
