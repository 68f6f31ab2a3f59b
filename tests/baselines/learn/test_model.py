import pytest
import torch

from baselines.learn.config import LearnConfig
from baselines.learn.model import Learn, causal_mask, load_released
from rope.errors import UsageError
from tests.baselines.learn.golden import CONFIG, arrays, checkpoint

TINY = {"input_dim": 6, "output_dim": 4, "width": 8, "heads": 2, "mlp_width": 8, "layers": 2, "dropout": 0.0}


def tiny(item_tower: str = "alone") -> Learn:
    torch.manual_seed(0)
    return Learn(LearnConfig(**TINY, item_tower=item_tower)).eval()


@torch.no_grad()
def test_the_released_model_is_reproduced():
    golden, model = arrays(), load_released(checkpoint(), CONFIG).eval()
    places, items = model(golden["history"], golden["history_mask"], golden["target"])
    there = golden["history_mask"].bool()
    assert torch.allclose(causal_mask(golden["history_mask"]), golden["extended_mask"])
    assert (places - golden["forward_history"])[there].abs().max() < 2e-5
    assert (items - golden["forward_target"]).abs().max() < 2e-5
    users = model.encode_users(golden["history"], golden["history_mask"])
    assert (users - golden["user_embed"]).abs().max() < 2e-5
    assert (model.encode_items(golden["gallery"]) - golden["item_embed"]).abs().max() < 2e-5


@torch.no_grad()
def test_a_place_sees_neither_what_comes_after_nor_padding():
    model, history = tiny(), torch.randn(1, 4, 6)
    before = model.encode(history, torch.tensor([[1, 1, 1, 0]]))
    changed = history.clone()
    changed[:, 2:] += 1
    after = model.encode(changed, torch.tensor([[1, 1, 1, 0]]))
    assert torch.allclose(before[:, :2], after[:, :2], atol=1e-6)
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(
    ("item_tower", "sees_the_one_before"), [("alone", False), ("projection", False), ("causal", True)]
)
def test_item_towers_differ_in_what_an_item_of_a_sequence_sees(item_tower, sees_the_one_before):
    model, items = tiny(item_tower), torch.randn(1, 2, 6)
    nothing = torch.zeros(1, 1, 6), torch.ones(1, 1)
    changed = items.clone()
    changed[:, 0] += 1
    same = torch.allclose(model(*nothing, items)[1][:, 1], model(*nothing, changed)[1][:, 1], atol=1e-6)
    assert same != sees_the_one_before


@torch.no_grad()
def test_the_projection_has_no_transformer():
    model, items = tiny("projection"), torch.randn(3, 6)
    before = model.encode_items(items)
    for parameter in model.summary_encoder.parameters():
        parameter.zero_()
    assert torch.equal(before, model.encode_items(items))


def test_a_checkpoint_of_another_size_is_refused():
    with pytest.raises(UsageError, match=r"adaptor\.bias is missing"):
        load_released({"state_dict": {"module.adaptor.weight": torch.zeros(3, 3)}}, LearnConfig(**TINY))
