"""A product drawn once, cut out of its background; scenes place and light it."""

from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from rope.synthetic.appearance import Appearance, Colour
from rope.synthetic.patterns import pattern_mask
from rope.synthetic.shapes import SHAPES, Point, ShapePart

__all__ = ["SPRITE_SIDE", "draw_sprite", "font"]

SPRITE_SIDE: Final = 224
"""Pixels of a sprite's longer side, before the product's own stretch."""

_SIDE: Final = 2 * SPRITE_SIDE
"""Shapes are drawn at twice the size and reduced, which smooths their edges."""

_INK: Final[Colour] = (38, 36, 40)
_PALE: Final[Colour] = (238, 236, 230)


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font at a size in pixels; it has Latin letters alone."""
    return ImageFont.load_default(size)


def draw_sprite(look: Appearance) -> Image.Image:
    """Draw a product as an RGBA image, transparent around it, at most `SPRITE_SIDE` wide and high."""
    fills = {
        "body": _material(look),
        "trim": _flat(look.trim),
        "ink": _flat(_INK),
        "pale": _flat(_PALE),
        "hole": _flat(_PALE),
    }
    canvas, alpha = _flat(_PALE), Image.new("L", (_SIDE, _SIDE))
    for part in _parts_of(look):
        mask = _mask(part)
        canvas.paste(_rounded(fills[part.paint], mask), mask=mask)
        alpha.paste(0 if part.paint == "hole" else 255, mask=mask)
    _print_brand(canvas, look)
    canvas.putalpha(alpha)
    return canvas.resize((round(SPRITE_SIDE * look.width), round(SPRITE_SIDE * look.height)), Image.Resampling.BOX)


def _flat(colour: Colour) -> Image.Image:
    return Image.new("RGB", (_SIDE, _SIDE), colour)


def _material(look: Appearance) -> Image.Image:
    mask = Image.fromarray(pattern_mask(look.pattern, _SIDE, look.period).astype(np.uint8) * 255)
    return Image.composite(_flat(look.second), _flat(look.body), mask)


def _parts_of(look: Appearance) -> list[ShapePart]:
    """The parts that this product has: those that all have, and the optional ones that it was given."""
    options = iter(look.options)
    return [part for part in SHAPES[look.shape].parts if not part.optional or next(options)]


def _mask(part: ShapePart) -> Image.Image:
    mask = Image.new("L", (_SIDE, _SIDE))
    draw = ImageDraw.Draw(mask)
    points = [(x * _SIDE, y * _SIDE) for x, y in part.points]
    if part.outline == "ellipse":
        draw.ellipse(points, fill=255)
    elif part.outline == "box":
        draw.rounded_rectangle(points, radius=_SIDE * 0.04, fill=255)
    else:
        draw.polygon(_round_off(points) if part.outline == "curve" else points, fill=255)
    return mask


def _round_off(points: list[Point], rounds: int = 3) -> list[Point]:
    """Cut the corners of a closed polygon (Chaikin's rule), each round halving the angles."""
    for _ in range(rounds):
        pairs = zip(points, points[1:] + points[:1], strict=True)
        points = [
            (a * (1 - share) + c * share, b * (1 - share) + d * share)
            for (a, b), (c, d) in pairs
            for share in (0.25, 0.75)
        ]
    return points


def _rounded(fill: Image.Image, mask: Image.Image) -> Image.Image:
    """Darken towards the edges, more at the lower right, as if the part bulged under a light from the upper left."""
    soft = ImageChops.offset(mask.filter(ImageFilter.BoxBlur(_SIDE * 0.03)), -6, -6)
    shade = soft.point([round(0.62 * 255 + 0.38 * value) for value in range(256)])
    return ImageChops.multiply(fill, Image.merge("RGB", (shade, shade, shade)))


def _print_brand(canvas: Image.Image, look: Appearance) -> None:
    """Print the brand word on a patch of the trim colour, as large as the shape's label box allows."""
    (x0, y0), (x1, y1) = ((x * _SIDE, y * _SIDE) for x, y in SHAPES[look.shape].label)
    size = round(y1 - y0)
    while size > 12 and font(size).getlength(look.brand) > 0.92 * (x1 - x0):
        size -= 2
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle((x0, y0, x1, y1), radius=8, fill=look.trim)
    colour = _PALE if sum(look.trim) < 3 * 140 else _INK
    draw.text(((x0 + x1) / 2, (y0 + y1) / 2), look.brand, fill=colour, font=font(size), anchor="mm")
