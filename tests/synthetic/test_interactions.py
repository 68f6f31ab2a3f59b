import numpy as np
import pytest

from rope.bench.recommend.interactions import leave_one_out
from rope.errors import UsageError
from rope.synthetic.interactions import Planted, plant_interactions

SMALL = Planted(n_users=200, n_items=80, mean_length=8)


def test_the_seed_decides_everything():
    first, again, other = (plant_interactions(SMALL, seed) for seed in (0, 0, 1))
    assert first.content.tobytes() == again.content.tobytes() != other.content.tobytes()
    assert first.interactions.taken.items.tolist() == again.interactions.taken.items.tolist()


def test_nobody_takes_an_item_twice():
    taken = plant_interactions(SMALL, 0).interactions.taken
    assert all(len(set(taken[user].tolist())) == len(taken[user]) >= 5 for user in range(200))


def test_late_items_are_taken_last_alone():
    planted = plant_interactions(SMALL, 0)
    split = leave_one_out(planted.interactions, "test")
    assert not planted.is_late[split.history.items].any()
    assert 0.1 < planted.is_late[split.targets].mean() < 0.3


def test_users_take_what_is_like_what_they_took_only_if_they_have_taste():
    likeness = {}
    for sharpness in (0.0, 8.0):
        planted = plant_interactions(Planted(n_users=200, n_items=80, mean_length=8, look=0, sharpness=sharpness), 0)
        unit = planted.content / np.linalg.norm(planted.content, axis=1, keepdims=True)
        taken = planted.interactions.taken
        likeness[sharpness] = np.mean([unit[taken[user]][0] @ unit[taken[user]][1] for user in range(200)])
    assert likeness[8.0] > likeness[0.0] + 0.15


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_tastes": 32}, "n_tastes: 32 is out of range"),
        ({"late_items": 0.0}, "late_users: 0.2 is out of range"),
        ({"mean_length": 400.0}, "mean_length: 400.0 is out of range"),
    ],
)
def test_what_cannot_be_planted_is_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        Planted(**fields)
