"""The products that a step learns from."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cope.pixels import Augment, reading_size
from cope.recipe import Recipe
from rope.errors import UsageError
from rope.feed import BalancedProducts, ClipReader, Share
from rope.feed.balanced import Draw
from rope.feed.order import hash64

__all__ = ["ProportionalProducts", "training_products"]

_REPEAT = 1_000_003
"""Added to the epoch of a draw for each earlier visit to its product, so that other samples are drawn."""


class ProportionalProducts(BalancedProducts):
    """Products as often as their samples are many: what balanced sampling is compared with.

    An epoch has as many visits as there are products, each drawn at random in proportion to the products' samples: some
    come several times, each time with samples drawn anew, and some not at all.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  those of BalancedProducts
        super().__init__(*arguments, **options)
        self._ends = np.cumsum([self.n_samples(product) for product in range(len(self))])
        self.identity["sampling"] = "proportional"

    def steps(self, epoch: int, position: int) -> Iterator[tuple[list[Draw], int]]:
        """As in `BalancedProducts`, but for what is visited."""
        draws = self._draws(epoch)
        for places, end in super().steps(epoch, position):
            yield [draws[place.product] for place in places], end

    def _draws(self, epoch: int) -> list[Draw]:
        places = [hash64("proportional", self.seed, epoch, str(i)) % int(self._ends[-1]) for i in range(len(self))]
        products = np.searchsorted(self._ends, places, side="right").tolist()
        visits: Counter[int] = Counter()
        draws = []
        for product, stand_in in zip(products, reversed(products), strict=True):
            draws.append(Draw(epoch + _REPEAT * visits[product], product, stand_in))
            visits[product] += 1
        return draws


def training_products(directory: Path, recipe: Recipe, share: Share) -> BalancedProducts:
    """The products of the training split, as a recipe visits and augments them.

    Raises:
        UsageError: the batch cannot be shared among the processes, or there are too few products for one.
        DatasetError: the dataset cannot be read.
    """
    if recipe.batch_size % share.world_size:
        raise UsageError(
            f"a batch of {recipe.batch_size} products cannot be shared evenly among {share.world_size} processes"
        )
    size = recipe.model.image_size
    kind = BalancedProducts if recipe.sampling == "balanced" else ProportionalProducts
    return kind(
        directory,
        "train",
        reader=ClipReader(
            n_frames=recipe.model.num_frames,
            size=reading_size(size, recipe.crop),
            transform=Augment(size, recipe.crop, recipe.flip, recipe.jitter),
        ),
        seed=recipe.seed,
        batch_size=recipe.batch_size // share.world_size,
        share=share,
        drop_last=True,
        on_damaged="skip",
    )
