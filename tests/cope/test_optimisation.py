from dataclasses import replace

import pytest

from cope.model import Cope
from cope.optimisation import learning_rate_factor, make_optimizer
from tests.cope.runs import MODEL, RECIPE


def test_every_weight_is_in_one_group_with_its_rate():
    model = Cope(MODEL)
    optimizer = make_optimizer(model, replace(RECIPE, lr_text=1.0, lr_vision=2.0, lr_head=3.0, weight_decay=0.07))
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert (
        sum(len(group["params"]) for group in optimizer.param_groups) == len(rate_of) == len(list(model.parameters()))
    )
    expected = {"text": 1.0, "vision": 2.0}
    for name, parameter in model.named_parameters():
        assert rate_of[id(parameter)] == expected.get(name.partition(".")[0], 3.0), name
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.07}


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine_to_stay_at_0():
    factors = [learning_rate_factor(step, 10, 110) for step in range(150)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors == sorted(factors[:11]) + sorted(factors[11:], reverse=True)
    assert set(factors[110:]) == {0}


def test_no_warmup_begins_at_the_full_rate():
    assert learning_rate_factor(0, 0, 10) == 1


def test_a_warmup_as_long_as_the_training_ends_it():
    assert [learning_rate_factor(step, 3, 3) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 0, 0])
