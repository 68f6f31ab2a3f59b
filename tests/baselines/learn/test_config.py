import pytest

from baselines.learn.config import LearnConfig, LearnRecipe, read_recipe
from rope.errors import UsageError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "here: not readable as JSON"),
        ("[]", "here: expected keys with values at the top, got a list"),
        ("{}", "here: lacks 'seed'; expected a whole number"),
        ('{"seed": 0, "epoch": 3}', "here: unknown key 'epoch'; did you mean 'epochs'"),
        ('{"seed": 0, "model": {"depth": 3}}', "here: model: unknown key 'depth'"),
        ('{"seed": 0, "epochs": 0}', "epochs is 0; expected a whole number, at least 1"),
        ('{"seed": 0, "objective": "magic"}', "objective is 'magic'; expected one of in_batch, dense, full_gallery"),
        ('{"seed": 0, "learning_rate": "much"}', "here: learning_rate is 'much'; expected a finite number, above 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_recipe(text, "here")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "dense", "mask_history": True}, "mask_history: applies only to the objective full_gallery"),
        ({"model": LearnConfig(item_tower="causal")}, "needs the objective dense"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        LearnRecipe(seed=0, **fields)


def test_heads_divide_the_width():
    with pytest.raises(UsageError, match="width 30 is not a multiple of heads, 4"):
        LearnConfig(width=30, heads=4)
