"""The products that a step learns from."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from cope.recipe import Sampling, TrainingRecipe
from rope.arrays import IntArray
from rope.dataset.directory import read_products
from rope.errors import UsageError
from rope.feed import BalancedProducts, ProcessShare
from rope.feed.balanced import Draw
from rope.feed.clips import SampleReader
from rope.feed.order import hash64

__all__ = ["WeightedProducts", "category_weights", "n_samples", "training_products"]


_CATEGORY_WEIGHT: Final = 1_000_000

_REPEAT = 1_000_003
"""Added to the epoch of a draw for each earlier visit to its product, so that other samples are drawn."""


class WeightedProducts(BalancedProducts):
    """Products as often as their weights say: what balanced sampling is compared with.

    An epoch has as many visits as there are products, each drawn at random in proportion to the products' weights: some
    come several times, each time with samples drawn again, and some not at all.

    Args:
        sampling: its name, which the draws depend on.
        weigh: gives the weights, int64 [n_products].
        arguments: those of `BalancedProducts`, as `options`.

    Attributes:
        weights: as `weigh` gave them.
    """

    def __init__(
        self,
        sampling: str,
        weigh: Callable[[BalancedProducts], IntArray],
        *arguments: Any,  # noqa: ANN401  this and the next are those of BalancedProducts
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self.weights = weigh(self)
        self._ends = np.cumsum(self.weights)
        self.identity["sampling"] = sampling

    def steps(self, epoch: int, position: int) -> Iterator[tuple[list[Draw], int]]:
        """As in `BalancedProducts`, except for what is visited."""
        draws = self._draws(epoch)
        for places, end in super().steps(epoch, position):
            yield [draws[place.product] for place in places], end

    def _draws(self, epoch: int) -> list[Draw]:
        sampling = str(self.identity["sampling"])
        places = [hash64(sampling, self.seed, epoch, str(i)) % int(self._ends[-1]) for i in range(len(self))]
        products = np.searchsorted(self._ends, places, side="right").tolist()
        visits: Counter[int] = Counter()
        draws = []
        for product, stand_in in zip(products, reversed(products), strict=True):
            draws.append(Draw(epoch + _REPEAT * visits[product], product, stand_in))
            visits[product] += 1
        return draws


def n_samples(products: BalancedProducts) -> IntArray:
    """How many samples each product has, int64 [n_products]."""
    return np.array([products.n_samples(product) for product in range(len(products))])


def category_weights(categories: Sequence[str | None]) -> IntArray:
    """Weights of products by which each category is visited as often as any other, int64 [n_products].

    Products without a category make one of their own. Within a category all products weigh the same, to a millionth of
    the category.

    >>> category_weights(["cup", "cup", "pen", None]).tolist()
    [500000, 500000, 1000000, 1000000]
    """
    sizes = Counter(categories)
    return np.array([_CATEGORY_WEIGHT // sizes[category] for category in categories])


def training_products(
    directory: Path, recipe: TrainingRecipe, share: ProcessShare, reader: SampleReader
) -> BalancedProducts:
    """The products of the training split, as a recipe visits them.

    Args:
        directory: the dataset.
        recipe: of the run.
        share: which process this is.
        reader: what becomes of a sample, see `cope.beginning.make_reader`.

    Raises:
        UsageError: the batch cannot be shared among the processes, or there are too few products for one.
        DatasetError: the dataset cannot be read.
    """
    if recipe.batch_size % share.world_size:
        raise UsageError(
            f"a batch of {recipe.batch_size} products cannot be shared evenly among {share.world_size} processes"
        )
    return _kind(directory, recipe.sampling)(
        directory,
        "train",
        reader=reader,
        seed=recipe.seed,
        batch_size=recipe.batch_size // share.world_size,
        share=share,
        drop_last=True,
        on_damaged="skip",
    )


def _kind(directory: Path, sampling: Sampling) -> Callable[..., BalancedProducts]:
    if sampling == "balanced":
        return BalancedProducts
    if sampling == "proportional":
        return partial(WeightedProducts, sampling, n_samples)
    category_of = read_products(directory, "train")
    return partial(
        WeightedProducts,
        sampling,
        lambda products: category_weights([category_of[product] for product in products.product_ids]),
    )
