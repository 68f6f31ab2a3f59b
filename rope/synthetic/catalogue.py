"""The products that a synthetic set is about, planned before anything is drawn."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rope.domain import DOMAINS, DomainName
from rope.errors import UsageError
from rope.synthetic.appearance import Appearance, draw_appearance, look_alike
from rope.synthetic.seeds import Stream, generator, pick
from rope.synthetic.texts import Wording, colour_name
from rope.synthetic.vocabulary import BRANDS, CATEGORIES, COLOUR_WORDS, PATTERN_WORDS, Category

__all__ = ["Product", "check_request", "plan_catalogue"]

_RANGE_OF: Final[dict[DomainName, tuple[int, int]]] = {"page": (2, 5), "video": (2, 4), "live": (1, 3)}
"""Fewest and most samples of a product that is not at the head of the sales."""

_REVIEWS: Final = (1, 4)
"""The same of reviews. They are drawn apart, so that a set without them has the products of one with them."""

_LOOK_ALIKE_SHARE: Final = 0.2
"""Share of the families that have two to four members; about 43 % of the products are in one of them."""

_HEAD_SHARE: Final = 0.05
"""Share of products that sell so well that they have twice the samples."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the synthetic catalogue.

    Attributes:
        index: its place in the catalogue, from 0.
        look: what is drawn.
        wording: what can be said about it.
        counts: how many samples it has in each domain.
        family: number of its family. The products of a family are look-alikes: one shape and pattern, near colours.
    """

    index: int
    look: Appearance
    wording: Wording
    counts: dict[DomainName, int]
    family: int

    @property
    def category(self) -> str:
        """Name of its category."""
        return self.wording.category.name


def check_request(n_products: int, seed: int) -> None:
    """Check the arguments of a set.

    Raises:
        UsageError: fewer than 2 products, which no split can part, or a seed below 0.
    """
    if n_products < 2:
        raise UsageError(f"products is {n_products}; expected at least 2")
    if seed < 0:
        raise UsageError(f"seed is {seed}; expected 0 or more")


def plan_catalogue(n_products: int, seed: int) -> tuple[Product, ...]:
    """Plan `n_products` products: their categories (few are frequent, most are rare), families, looks and words.

    >>> products = plan_catalogue(5, seed=1)
    >>> [product.index for product in products]
    [0, 1, 2, 3, 4]
    >>> products == plan_catalogue(9, seed=1)[:5]
    True
    """
    products: list[Product] = []
    family = 0
    while len(products) < n_products:
        products += _plan_family(generator(seed, Stream.CATALOGUE, family), family, first_index=len(products))
        family += 1
    return tuple(_with_reviews(product, seed) for product in products[:n_products])


def _with_reviews(product: Product, seed: int) -> Product:
    n_reviews = _few(generator(seed, Stream.N_REVIEWS, product.index), *_REVIEWS)
    return replace(product, counts={**product.counts, "review": n_reviews})


def _plan_family(rng: np.random.Generator, family: int, first_index: int) -> list[Product]:
    category = CATEGORIES[_zipf(rng, len(CATEGORIES))]
    n_members = int(rng.integers(2, 5)) if rng.random() < _LOOK_ALIKE_SHARE else 1
    founder = draw_appearance(rng, category.name, pick(rng, BRANDS).latin)
    looks = [founder] + [look_alike(rng, founder, pick(rng, BRANDS).latin) for _ in range(n_members - 1)]
    return [
        Product(first_index + i, look, _draw_wording(rng, look, category), _draw_counts(rng), family)
        for i, look in enumerate(looks)
    ]


def _zipf(rng: np.random.Generator, n: int) -> int:
    """Draw k from 0 to n - 1 with a probability in proportion to 1 / (k + 2)."""
    weights = 1 / np.arange(2, n + 2)
    return int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(), side="right"))


def _draw_wording(rng: np.random.Generator, look: Appearance, category: Category) -> Wording:
    chosen = rng.permutation(len(category.attributes))[:4]
    return Wording(
        brand=next(brand for brand in BRANDS if brand.latin == look.brand),
        category=category,
        attributes=tuple(category.attributes[i] for i in chosen),
        colours=COLOUR_WORDS[colour_name(look.body)],
        patterns=PATTERN_WORDS[look.pattern],
    )


def _draw_counts(rng: np.random.Generator) -> dict[DomainName, int]:
    factor = 2 if rng.random() < _HEAD_SHARE else 1
    return {domain: factor * _few(rng, *_RANGE_OF[domain]) for domain in DOMAINS}


def _few(rng: np.random.Generator, low: int, high: int) -> int:
    """A count from `low` to `high`, each half as likely as the one before it."""
    return min(low + int(rng.geometric(0.5)) - 1, high)
