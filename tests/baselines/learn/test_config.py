import pytest

from baselines.learn.config import LearnConfig, LearnRecipe, read_recipe
from rope.errors import UsageError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "here:1: no JSON"),
        ("[]", "here: expected a JSON object, got list"),
        ("{}", "here: no seed"),
        ('{"seed": 0, "epoch": 3}', "here: unknown field 'epoch'"),
        ('{"seed": 0, "model": {"depth": 3}}', "here: model: unknown field 'depth'"),
        ('{"seed": 0, "epochs": 0}', "epochs: 0 is out of range"),
        ('{"seed": 0, "objective": "magic"}', "objective: 'magic' is out of range"),
        ('{"seed": 0, "learning_rate": "much"}', "here: a field is of the wrong type"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_recipe(text, "here")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "dense", "mask_history": True}, "mask_history: is of the objective full_gallery alone"),
        ({"model": LearnConfig(item_tower="causal")}, "needs the objective dense"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        LearnRecipe(seed=0, **fields)


def test_heads_divide_the_width():
    with pytest.raises(UsageError, match="width 30 is no multiple of heads, 4"):
        LearnConfig(width=30, heads=4)
