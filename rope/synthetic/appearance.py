"""What a product looks like, decided before a pixel is drawn."""

import colorsys
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rope.synthetic.patterns import PATTERNS
from rope.synthetic.seeds import pick, uniform
from rope.synthetic.shapes import SHAPES

__all__ = ["Appearance", "Colour", "draw_appearance", "look_alike"]

Colour = tuple[int, int, int]
"""Red, green, blue, each 0 to 255."""

_PATTERNS: Final = tuple(PATTERNS)


@dataclass(frozen=True, slots=True)
class Appearance:
    """Everything that the drawing of a product depends on.

    Attributes:
        shape: name of a shape of `rope.synthetic.shapes`.
        options: which of the shape's optional parts this product has, in their order.
        width, height: stretch of the shape, about 1.
        body, second, trim: colours of the main material, of the pattern on it, and of the other parts.
        pattern: name of a pattern of `rope.synthetic.patterns`.
        period: repeats of the pattern across the product.
        brand: the printed word.
    """

    shape: str
    options: tuple[bool, ...]
    width: float
    height: float
    body: Colour
    second: Colour
    trim: Colour
    pattern: str
    period: float
    brand: str


def draw_appearance(rng: np.random.Generator, shape: str, brand: str) -> Appearance:
    """Draw an appearance for a product of a given shape."""
    n_options = sum(part.optional for part in SHAPES[shape].parts)
    return Appearance(
        shape=shape,
        options=tuple(bool(rng.random() < 0.5) for _ in range(n_options)),
        width=uniform(rng, 0.82, 1.0),
        height=uniform(rng, 0.82, 1.0),
        body=_draw_colour(rng),
        second=_draw_colour(rng),
        trim=_draw_colour(rng),
        pattern=pick(rng, _PATTERNS),
        period=uniform(rng, 3.0, 8.0),
        brand=brand,
    )


def look_alike(rng: np.random.Generator, original: Appearance, brand: str) -> Appearance:
    """Draw a product that is easily taken for `original`: same shape and pattern, near colours, its own brand word."""
    return replace(
        original,
        body=_near(rng, original.body),
        second=_near(rng, original.second),
        trim=_near(rng, original.trim),
        period=original.period * uniform(rng, 0.9, 1.1),
        brand=brand,
    )


def _draw_colour(rng: np.random.Generator) -> Colour:
    """A fifth of the colours are greys, from white to black, as in a shop."""
    saturation = uniform(rng, 0.0, 0.1) if rng.random() < 0.2 else uniform(rng, 0.3, 0.9)
    return _from_hsv(uniform(rng, 0.0, 1.0), saturation, uniform(rng, 0.25, 0.97))


def _near(rng: np.random.Generator, colour: Colour) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    hue += uniform(rng, 0.03, 0.08) * (1 if rng.random() < 0.5 else -1)
    return _from_hsv(hue % 1.0, saturation * uniform(rng, 0.85, 1.1), value * uniform(rng, 0.85, 1.1))


def _from_hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, min(saturation, 1.0), min(value, 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)
