"""Search queries with known answers: of each kind, with paraphrases, look-alikes as hard negatives, and grades."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from rope.domain import Frame
from rope.query import Positive, SampleKey, SearchQuery
from rope.synthetic.catalogue import Product
from rope.synthetic.samples import DrawnSample
from rope.synthetic.seeds import Stream, generator, pick

__all__ = ["plant_queries"]

Drawn = tuple[Product, Sequence[DrawnSample]]
"""A product with its samples."""

_PARAPHRASES: Final = (
    "{colour}{pattern}{word}",
    "想买一个{word}，{pattern}的，要{colour}",
    "有没有{attribute}的{colour}{word}",
)
"""Ways to ask for one product."""

_SAME: Final = 3
_FAMILY: Final = 2
_KIND: Final = 1
"""Grades of a wide query: the product asked about, its look-alikes, others of its category and pattern."""


def plant_queries(products: Sequence[Drawn], seed: int) -> list[SearchQuery]:
    """Plant the queries of some products; their images are paths relative to the folder of the set.

    Each product is asked for by three paraphrases, by one photo, and by two; its look-alikes among the products are
    hard negatives. `NUMBER-wide` asks for its category and pattern, with grades. A product that has a look-alike is
    also asked for with a photo of that and the words that tell them apart. The sample that a photo is from is not in
    the gallery of the query.

    Args:
        products: those of one split.
        seed: of the set.
    """
    families: defaultdict[int, list[Drawn]] = defaultdict(list)
    for one in products:
        families[one[0].family].append(one)
    found = []
    for one in products:
        rng = generator(seed, Stream.QUERY, one[0].index)
        others = [other for other in families[one[0].family] if other[0].index != one[0].index]
        hard = tuple(key for other in others for key in _keys(other[1]))
        found += [*_by_text(rng, one, hard), *_by_photos(rng, one, hard), _wide(rng, one, products)]
        found += [_composed(rng, one, others[0])] if others else []
    return found


def _keys(samples: Sequence[DrawnSample]) -> list[SampleKey]:
    return [(one.domain, one.sample_id) for one in samples]


def _answers(samples: Sequence[DrawnSample], without: Sequence[SampleKey] = ()) -> tuple[Positive, ...]:
    return tuple(Positive(*key) for key in _keys(samples) if key not in without)


def _by_text(rng: np.random.Generator, one: Drawn, hard: tuple[SampleKey, ...]) -> Iterator[SearchQuery]:
    product, samples = one
    words = product.wording
    for number, template in enumerate(_PARAPHRASES):
        text = template.format(
            word=pick(rng, words.category.words),
            colour=pick(rng, words.colours),
            pattern=pick(rng, words.patterns),
            attribute=pick(rng, words.attributes),
        )
        name = f"{product.index}-text-{number}"
        yield SearchQuery(name, text, (), _answers(samples), hard, group=f"{product.index}-text")


def _by_photos(rng: np.random.Generator, one: Drawn, hard: tuple[SampleKey, ...]) -> Iterator[SearchQuery]:
    product, samples = one
    for n_photos, name in ((1, "photo"), (2, "photos")):
        shown = [sample for sample in samples if len(sample.images) >= n_photos]
        if len(samples) < 2 or not shown:
            continue
        taken = shown[int(rng.integers(len(shown)))]
        places = sorted(rng.permutation(len(taken.images))[:n_photos].tolist())
        images = tuple(_image(taken, place) for place in places)
        excluded = ((taken.domain, taken.sample_id),)
        yield SearchQuery(f"{product.index}-{name}", None, images, _answers(samples, excluded), hard, excluded)


def _wide(rng: np.random.Generator, one: Drawn, products: Sequence[Drawn]) -> SearchQuery:
    """Any product of the category and pattern answers it, some better than others."""
    product, words = one[0], one[0].wording
    alike = [
        other
        for other in products
        if (other[0].category, other[0].look.pattern) == (product.category, product.look.pattern)
    ]
    grades = [
        _SAME if other.index == product.index else _FAMILY if other.family == product.family else _KIND
        for other, _ in alike
    ]
    positives = [
        Positive(*key, grade) for (_, samples), grade in zip(alike, grades, strict=True) for key in _keys(samples)
    ]
    text = f"{pick(rng, words.patterns)}{pick(rng, words.category.words)}"
    return SearchQuery(f"{product.index}-wide", text, (), tuple(positives))


def _composed(rng: np.random.Generator, one: Drawn, other: Drawn) -> SearchQuery:
    """A photo of a look-alike, and what is different about the product."""
    product, samples = one
    taken = other[1][int(rng.integers(len(other[1])))]
    image = _image(taken, int(rng.integers(len(taken.images))))
    text = f"同款，要{product.wording.brand.chinese}家{pick(rng, product.wording.colours)}的"
    excluded = ((taken.domain, taken.sample_id),)
    hard = tuple(key for key in _keys(other[1]) if key not in excluded)
    return SearchQuery(f"{product.index}-composed", text, (image,), _answers(samples), hard, excluded)


def _image(sample: DrawnSample, place: int) -> Frame:
    return Frame(path=f"images/{sample.images[place]}")
