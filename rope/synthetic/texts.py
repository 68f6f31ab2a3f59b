"""What is written and said: Chinese titles of pages, speech as a recogniser hears it, and comments of buyers."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.synthetic.appearance import Colour
from rope.synthetic.seeds import pick
from rope.synthetic.vocabulary import (
    ASIDES,
    AUDIENCES,
    FILLERS,
    OFF_TOPIC,
    ON_TOPIC,
    OPENINGS,
    OPINIONS,
    SLOGANS,
    Brand,
    Category,
)

__all__ = ["Wording", "colour_name", "draw_comment", "draw_speech", "draw_title", "mishear", "names_category"]


@dataclass(frozen=True, slots=True)
class Wording:
    """What can be said about a product."""

    brand: Brand
    category: Category
    attributes: tuple[str, ...]
    colours: tuple[str, ...]
    patterns: tuple[str, ...]


_HUES: Final = (
    (0.04, "red"),
    (0.11, "orange"),
    (0.19, "yellow"),
    (0.44, "green"),
    (0.54, "cyan"),
    (0.69, "blue"),
    (0.8, "purple"),
    (0.94, "pink"),
    (1.01, "red"),
)
"""Upper end of a range of hues (0 to 1) -> its name."""

_JOINTS: Final = ("", "", " ", ",", "，", ", ")

_HOMOPHONES: Final = dict(
    zip(
        "的在它做买是款包杯裙鞋帽衣裤奶色红绿蓝看真这个要好拍价家条花格伞灯表水霜",
        "得再他作卖事宽报悲群协冒一酷耐涩洪率兰砍针者各药号排架加调化隔散登标睡双",
        strict=True,
    )
)


def colour_name(colour: Colour) -> str:
    """Name of a colour, a key of `COLOUR_WORDS`.

    >>> [colour_name(rgb) for rgb in [(200, 20, 20), (30, 60, 200), (245, 245, 240), (20, 20, 20)]]
    ['red', 'blue', 'white', 'black']
    """
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    if value < 0.2:
        return "black"
    if saturation < 0.12:
        return "white" if value > 0.8 else "grey"
    return next(name for end, name in _HUES if hue < end)


def draw_title(rng: np.random.Generator, wording: Wording) -> str:
    """Draw a page's title: some of the product's words among words that any shop writes.

    One title in eight parts its words with ", ".
    """
    words = [pick(rng, wording.category.words)]
    words += _some(rng, wording.attributes, 2)
    words += [pick(rng, SLOGANS), pick(rng, AUDIENCES)]
    words += [pick(rng, wording.colours)] if rng.random() < 0.4 else []
    words += [pick(rng, wording.patterns)] if rng.random() < 0.4 else []
    shuffled = [words[i] for i in rng.permutation(len(words))]
    return pick(rng, ("", "", "", "", " ", " ", " ", ", ")).join(_brand_in_title(rng, wording.brand) + shuffled)


def draw_speech(rng: np.random.Generator, wording: Wording, n_phrases: int, on_topic: float) -> str | None:
    """Draw the recognised speech of a video or a live clip; None (one in ten) where nothing was recognised.

    Args:
        rng: where the choices come from.
        wording: what can be said about the product.
        n_phrases: phrases after the opening, each of about ten characters.
        on_topic: probability that a phrase is about the product at all.
    """
    if rng.random() < 0.1:
        return None
    phrases = [pick(rng, OPENINGS)]
    for _ in range(n_phrases):
        template = pick(rng, ON_TOPIC if rng.random() < on_topic else OFF_TOPIC)
        phrases.append(_fill(rng, template, wording))
        phrases += [pick(rng, FILLERS)] if rng.random() < 0.35 else []
    joined = "".join(phrase + pick(rng, _JOINTS) for phrase in phrases)
    return mishear(rng, joined.strip(" ,，"), rate=0.03)


def draw_comment(rng: np.random.Generator, wording: Wording) -> str | None:
    """Draw what a buyer writes in a review: one to three short phrases, half of them about the product.

    One review in ten has photos alone, and None comes back.
    """
    if rng.random() < 0.1:
        return None
    phrases = [pick(rng, OPINIONS if rng.random() < 0.5 else ASIDES) for _ in range(int(rng.integers(1, 4)))]
    return pick(rng, ("，", " ", "。")).join(_fill(rng, phrase, wording) for phrase in phrases)


def mishear(rng: np.random.Generator, text: str, rate: float) -> str:
    """Make the errors of a speech recogniser: wrong characters of the same sound, dropped ones and doubled ones.

    Each character is dropped or doubled with probability `rate` in all, and with probability `4 * rate` exchanged where
    one that sounds like it is known.

    >>> mishear(np.random.default_rng(0), "这款杯子", 0.0)
    '这款杯子'
    """
    return "".join(
        _hear(character, float(draw), rate) for character, draw in zip(text, rng.random(len(text)), strict=True)
    )


def names_category(text: str, category: Category) -> bool:
    """Whether a text says outright what kind of product it is about."""
    return any(word in text for word in category.words)


def _hear(character: str, draw: float, rate: float) -> str:
    if draw < rate and character not in " ,，":
        return "" if draw < rate / 2 else character * 2
    return _HOMOPHONES.get(character, character) if draw > 1 - 4 * rate else character


def _brand_in_title(rng: np.random.Generator, brand: Brand) -> list[str]:
    spellings = (brand.latin, brand.chinese, f"{brand.latin}/{brand.chinese}", None, None)
    spelling = pick(rng, spellings)
    return [spelling] if spelling else []


def _some(rng: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    return [words[i] for i in rng.permutation(len(words))[:count]]


def _fill(rng: np.random.Generator, template: str, wording: Wording) -> str:
    return template.format(
        word=pick(rng, wording.category.words),
        brand=wording.brand.chinese,
        colour=pick(rng, wording.colours),
        pattern=pick(rng, wording.patterns),
        attribute=pick(rng, wording.attributes),
    )
