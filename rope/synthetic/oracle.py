"""How far a reader comes on a synthetic set who knows what was planted: the ceiling that scores are looked at against.

    python -m rope.synthetic.oracle --products 3000 --seed 1

Nothing is drawn and no pixel is read. The oracle knows every word that can be said and finds those that were not
misheard. It sees shape, parts and pattern of a product without fault, and its three colours in a light drawn as that of
the sample is; it reads no printed brand and no proportions. Two samples are as alike as the evidence that they show one
product is strong.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, permutations
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray
from rope.console import output
from rope.domain import DOMAINS, Domain
from rope.synthetic.appearance import Appearance
from rope.synthetic.camera import Light, draw_light
from rope.synthetic.catalogue import Product, plan_catalogue
from rope.synthetic.release import VALIDATION_SHARE, place
from rope.synthetic.samples import draw_text, sample_generator
from rope.synthetic.scenes import LIGHTS
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.vocabulary import AUDIENCES, BRANDS, CATEGORIES, COLOUR_WORDS, PATTERN_WORDS, SLOGANS
from rope.table import Table

__all__ = ["READERS", "ceiling"]


_N_ATTRIBUTES: Final = 4
"""Of the selling points of its category, how many a product has."""

_POINTS: Final = tuple(point for category in CATEGORIES for point in category.attributes)

_SAID_OF_ANY: Final = {*AUDIENCES, *SLOGANS, *(set(chain(*PATTERN_WORDS.values())) & set(_POINTS))}
"""Words that may be about something else than they seem to be."""

_IMPOSSIBLE: Final = -1e9
"""Evidence of two samples that cannot show one product."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the oracle knows of n samples of one domain.

    Attributes:
        products: the product of each, int64 [n].
        words: for each thing that texts name, which of its values agree with each text, bool [n, values].
        looks: outline, parts and pattern of each, as numbers of equal looks, int64 [n].
        colours: logarithms of the three colours in the light of each sample, [n, 9].
    """

    products: npt.NDArray[np.int64]
    words: tuple[npt.NDArray[np.bool_], ...]
    looks: npt.NDArray[np.int64]
    colours: FloatArray


def ceiling(n_products: int, seed: int) -> dict[str, dict[str, float]]:
    """R@1 in percent of each reader for each pair of domains, on the products that a release has in its split `test`.

    Where several samples are as good an answer, the share of right ones among them counts.

    Args:
        n_products: as given to `write_release`.
        seed: the same.

    >>> ceiling(30, seed=0)["both"]["P2V"] >= ceiling(30, seed=0)["text"]["P2V"]
    True
    """
    catalogue = plan_catalogue(n_products, seed)
    placed = place(catalogue, seed, VALIDATION_SHARE)
    products = [one.product for one in placed if one.prefix == "test"]
    look_of = {look: i for i, look in enumerate(sorted({_outline(product.look) for product in catalogue}))}
    readings = {domain: _read(domain, products, look_of, seed) for domain in DOMAINS}
    pairs = list(permutations(DOMAINS, 2))
    return {
        name: {f"{a[0]}2{b[0]}".upper(): _recall(readings[a], readings[b], compare) for a, b in pairs}
        for name, compare in READERS.items()
    }


def _outline(look: Appearance) -> tuple[str, tuple[bool, ...], str]:
    return look.shape, look.options, look.pattern


def _read(
    domain: Domain, products: Sequence[Product], look_of: Mapping[tuple[str, tuple[bool, ...], str], int], seed: int
) -> _Reading:
    samples = [(product, number) for product in products for number in range(product.counts[domain])]
    texts = [draw_text(sample_generator(seed, domain, p.index, number), domain, p.wording) for p, number in samples]
    rng = generator(seed, Stream.ORACLE, DOMAINS.index(domain))
    return _Reading(
        np.array([product.index for product, _ in samples]),
        tuple(np.array(slot) for slot in zip(*(_words_of(text or "") for text in texts), strict=True)),
        np.array([look_of[_outline(product.look)] for product, _ in samples]),
        np.array([_seen(product.look, draw_light(rng, *LIGHTS[domain])) for product, _ in samples]),
    )


def _goods(text: str) -> list[bool]:
    """Which category with which of its selling points a text may be about."""
    named = _named(text, [category.words for category in CATEGORIES])
    said = [
        {word for word in category.attributes if word in text and word not in _SAID_OF_ANY} for category in CATEGORIES
    ]
    return _or_all(
        [
            is_named and points <= set(chosen)
            for category, is_named, points in zip(CATEGORIES, named, said, strict=True)
            for chosen in combinations(category.attributes, _N_ATTRIBUTES)
        ]
    )


def _named(text: str, values: Iterable[Sequence[str]]) -> list[bool]:
    """Which values a text names by one of their words; all where it names none."""
    return _or_all([any(word in text for word in words if word not in _SAID_OF_ANY) for words in values])


def _or_all(agreeing: list[bool]) -> list[bool]:
    return agreeing if any(agreeing) else [True] * len(agreeing)


def _words_of(text: str) -> tuple[list[bool], ...]:
    brands = [(brand.latin, brand.chinese) for brand in BRANDS]
    return _goods(text), *(_named(text, v) for v in (brands, COLOUR_WORDS.values(), PATTERN_WORDS.values()))


def _seen(look: Appearance, light: Light) -> list[float]:
    """Logarithms of the colours of a product in a light, red, green and blue of body, pattern and trim."""
    seen = []
    for colour in (look.body, look.second, look.trim):
        grey = light.wash * sum(colour) / 3
        for level, gain in zip(colour, light.gains, strict=True):
            seen.append(float(np.log(8 + gain * (grey + (1 - light.wash) * level) + light.lift)))
    return seen


def _by_text(a: _Reading, b: _Reading) -> FloatArray:
    """Evidence of the texts, [n, m]: for each thing named, how much likelier one product has both values than two."""
    total = np.zeros((len(a.products), len(b.products)))
    for left, right in zip(a.words, b.words, strict=True):
        share = left.astype(float) @ right.T.astype(float) * left.shape[1]
        alone = np.outer(left.sum(axis=1), right.sum(axis=1))
        with np.errstate(divide="ignore"):
            total += np.maximum(np.log(share / np.maximum(alone, 1)), _IMPOSSIBLE)
    return total


def _by_frames(a: _Reading, b: _Reading) -> FloatArray:
    """Evidence of the frames, [n, m]: other looks are other products, and near colours speak for one."""
    first_b = {product: i for i, product in reversed(list(enumerate(b.products.tolist())))}
    same = [(i, first_b[product]) for i, product in enumerate(a.products.tolist())]
    change = np.array([a.colours[i] - b.colours[j] for i, j in same])  # of one product in two lights
    whiten = np.linalg.cholesky(np.linalg.inv(np.cov(change.T) + 1e-4 * np.eye(change.shape[1])))
    left, right = a.colours @ whiten, b.colours @ whiten
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.where(a.looks[:, None] == b.looks, -squares / 2, _IMPOSSIBLE)


READERS: Final[dict[str, Callable[[_Reading, _Reading], FloatArray]]] = {
    "text": _by_text,
    "frames": _by_frames,
    "both": lambda a, b: _by_text(a, b) + _by_frames(a, b),
}
"""What a reader looks at -> the evidence that samples of two domains show one product, [n, m]."""


def _recall(a: _Reading, b: _Reading, compare: Callable[[_Reading, _Reading], FloatArray]) -> float:
    evidence = compare(a, b)
    best = evidence >= evidence.max(axis=1, keepdims=True) - 1e-9
    right = best & (a.products[:, None] == b.products)
    return float(100 * (right.sum(axis=1) / best.sum(axis=1)).mean())


def main() -> None:
    """Print the table for one set."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scores = ceiling(arguments.products, arguments.seed)
    pairs = list(scores["both"])
    table = Table(f"R@1 in %, {arguments.products} products, seed {arguments.seed}")
    table.add_column("reader")
    table.add_columns(*pairs, "mean")
    for name, by_pair in scores.items():
        table.add_row(name, *(f"{by_pair[pair]:.2f}" for pair in pairs), f"{np.mean([*by_pair.values()]):.2f}")
    output().print(table)


if __name__ == "__main__":
    main()
