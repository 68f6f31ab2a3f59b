"""Interactions with planted preferences: what users like is in the items' content, but not alone, and not loudest.

Every item has a taste, a look, and an appeal. Its content vector shows taste and look; the look is louder and has no
influence on anybody. A user takes items near their own taste, and appealing items more often; appeal cannot be
seen in the content. Some items appear only at the very end. So popularity knows a part, the mean of what a user took
knows more, and a model that has learned to pass over the look knows most; of the late items, content alone knows
anything.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray
from rope.bench.recommend.interactions import Interactions, Sequences
from rope.errors import UsageError

__all__ = ["Planted", "PlantedInteractions", "plant_interactions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """The effects to plant in synthetic interactions.

    Attributes:
        n_users: how many users.
        n_items: how many items, late ones among them.
        dim: dimension of the content vectors.
        n_tastes: dimensions of them, in a hidden rotation, that show taste; the others show the look.
        look: how much louder a dimension of the look is than one of taste.
        sharpness: how much a user prefers the nearest items; 0 makes everybody alike.
        appeal: standard deviation of the items' appeal, in log odds of being taken.
        mean_length: mean number of items that a user takes; none takes fewer than 5.
        late_items: share of the items that nobody takes but as the last.
        late_users: share of the users whose last item is a late one.

    Raises:
        UsageError: a number is out of range.
    """

    n_users: int = 2000
    n_items: int = 500
    dim: int = 32
    n_tastes: int = 8
    look: float = 1.0
    sharpness: float = 8.0
    appeal: float = 0.5
    mean_length: float = 12.0
    late_items: float = 0.1
    late_users: float = 0.2

    def __post_init__(self) -> None:
        inside = {
            "n_users": self.n_users >= 1,
            "n_items": self.n_items >= 20,
            "n_tastes": 1 <= self.n_tastes < self.dim,
            "look": self.look >= 0,
            "sharpness": self.sharpness >= 0,
            "appeal": self.appeal >= 0,
            "mean_length": 5 <= self.mean_length <= self.n_items / 4,
            "late_items": 0 <= self.late_items <= 0.5,
            "late_users": 0 <= self.late_users <= 1 and (self.late_users == 0 or self.late_items > 0),
        }
        for name, fits in inside.items():
            if not fits:
                raise UsageError(f"{name}: {getattr(self, name)!r} is out of range")


@dataclass(frozen=True, slots=True, eq=False)
class PlantedInteractions:
    """Interactions, and what made them.

    Attributes:
        interactions: of all users with all items.
        content: float32 [n_items, dim], what an embedder would give.
        is_late: bool [n_items], items that nobody takes but as the last.
    """

    interactions: Interactions
    content: npt.NDArray[np.float32]
    is_late: npt.NDArray[np.bool_]


def plant_interactions(planted: Planted, seed: int) -> PlantedInteractions:
    """Draw items and users, and what each user takes, without taking anything twice.

    >>> small = plant_interactions(Planted(n_users=5, n_items=40, mean_length=6), seed=0)
    >>> len(small.interactions.taken), small.content.shape, int(small.is_late.sum())
    (5, (40, 32), 4)
    """
    item_seed, *user_seeds = np.random.SeedSequence(seed).spawn(planted.n_users + 1)
    rng = np.random.default_rng(item_seed)
    tastes = _unit(rng.standard_normal((planted.n_items, planted.n_tastes)))
    appeal = rng.normal(0, planted.appeal, planted.n_items)
    is_late = np.zeros(planted.n_items, np.bool_)
    is_late[rng.permutation(planted.n_items)[: round(planted.late_items * planted.n_items)]] = True
    content = _content(planted, tastes, rng)
    taken = [_draw_user(planted, tastes, appeal, is_late, np.random.default_rng(one)) for one in user_seeds]
    names = [f"u{row}" for row in range(planted.n_users)], [f"i{row}" for row in range(planted.n_items)]
    return PlantedInteractions(Interactions(*names, Sequences.of(taken)), content, is_late)


def _content(planted: Planted, tastes: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Taste and look, mixed by a rotation: float32 [n_items, dim]."""
    n_looks = planted.dim - planted.n_tastes
    looks = planted.look * rng.standard_normal((planted.n_items, n_looks)) / np.sqrt(planted.n_tastes)
    rotation = np.linalg.qr(rng.standard_normal((planted.dim, planted.dim)))[0]
    return np.asarray(np.concatenate([tastes, looks], axis=1) @ rotation, np.float32)


def _draw_user(
    planted: Planted,
    tastes: FloatArray,
    appeal: FloatArray,
    is_late: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[int]:
    """The rows that one user takes, in order: the largest perturbed preferences are a draw without replacement."""
    own = _unit(rng.standard_normal((1, planted.n_tastes)))[0]
    keys = planted.sharpness * (tastes @ own) + appeal + rng.gumbel(size=len(appeal))
    length = int(min(5 + rng.poisson(planted.mean_length - 5), (~is_late).sum()))
    early = np.flatnonzero(~is_late)
    taken = rng.permutation(early[np.argsort(-keys[early])[:length]])
    if rng.random() < planted.late_users:
        late = np.flatnonzero(is_late)
        taken[-1] = late[np.argmax(keys[late])]
    return [int(row) for row in taken]


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)
