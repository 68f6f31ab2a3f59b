import math

import pytest
import torch

from baselines.learn.loss import dense_all_action, full_gallery_softmax, in_batch_softmax
from tests.baselines.learn.golden import arrays, stated


def units(*shape: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_released_losses_are_reproduced():
    golden, loss = arrays(), stated()["loss"]
    users, items, gallery = golden["user_embed"], golden["forward_target"][:, 0], golden["item_embed"]
    targets = golden["target_ids"]
    assert in_batch_softmax(users, items, targets).item() == pytest.approx(loss["pretrain"], abs=2e-5)
    assert full_gallery_softmax(users, gallery, targets).item() == pytest.approx(loss["finetune"], abs=2e-5)
    masked = full_gallery_softmax(users, gallery, targets, golden["history_ids"]).item()
    assert masked == pytest.approx(loss["finetune_history_masked"], abs=2e-5)


@pytest.mark.parametrize("mistake", ["no_duplicate_mask", "symmetric", "no_scale"])
def test_the_mistakes_that_could_be_made_would_be_seen(mistake):
    known = stated()["pretrain_loss_mistakes"]
    assert abs(known[mistake] - known["official"]) > 1e-3


def test_dense_pairs_are_those_of_a_loop():
    places, items = units(3, 2, 5, seed=1), units(3, 4, 5, seed=2)
    ids = torch.tensor([[0, 1, 2, 3], [1, 4, 5, 6], [7, 8, 9, 9]])
    place_mask = torch.tensor([[True, True], [True, False], [True, True]])
    item_mask = torch.tensor([[True] * 4, [True, True, True, False], [True] * 4])
    losses = []
    for user in range(3):
        mine = {int(one) for one, there in zip(ids[user], item_mask[user], strict=True) if there}
        negatives = [
            items[other, i]
            for other in range(3)
            for i in range(4)
            if other != user and item_mask[other, i] and int(ids[other, i]) not in mine
        ]
        for place in places[user][place_mask[user]]:
            rest = sum(math.exp(20 * float(place @ one)) for one in negatives)
            for positive in items[user][item_mask[user]]:
                own = math.exp(20 * float(place @ positive))
                losses.append(-math.log(own / (own + rest)))
    got = dense_all_action(places, items, ids, place_mask, item_mask).item()
    assert got == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_one_place_and_one_item_is_the_in_batch_loss():
    users, items, ids = units(4, 3, seed=1), units(4, 3, seed=2), torch.tensor([5, 6, 5, 7])
    there = torch.ones((4, 1), dtype=torch.bool)
    dense = dense_all_action(users[:, None], items[:, None], ids[:, None], there, there)
    assert dense.item() == pytest.approx(in_batch_softmax(users, items, ids).item(), rel=1e-5)
