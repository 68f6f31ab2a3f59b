"""What surrounds a product: rooms, hands, presenters, badges, and what a streaming app lays over the picture."""

from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rope.synthetic.appearance import Colour
from rope.synthetic.seeds import pick, uniform
from rope.synthetic.sprite import font

__all__ = ["draw_hand", "draw_overlay", "draw_presenter", "draw_room", "draw_studio", "stick_badge"]

Size = tuple[int, int]

_SKINS: Final[tuple[Colour, ...]] = ((244, 205, 178), (228, 180, 148), (198, 146, 112), (150, 104, 78))
_BADGES: Final = ("SALE", "-30%", "HOT", "NEW", "2024", "GIFT")
_CHAT: Final = ("so cute", "size M?", "1", "+1 please", "how much", "nice!", "link?", "in stock?", "666", "love it")


def draw_studio(rng: np.random.Generator, size: Size) -> Image.Image:
    """Draw the background of a page: white in half of the cases, else a light tint with a soft gradient."""
    if rng.random() < 0.5:
        return Image.new("RGB", size, "white")
    top, bottom = _colour(rng, 225, 255), _colour(rng, 205, 245)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), _ramp(size))


def draw_room(rng: np.random.Generator, size: Size) -> Image.Image:
    """Draw a home: wall, table, and a clutter of things out of focus."""
    width, height = size
    room = Image.new("RGB", size, _muted(rng, 90, 220))
    draw = ImageDraw.Draw(room)
    draw.rectangle((0, uniform(rng, 0.5, 0.8) * height, width, height), fill=_muted(rng, 60, 200))
    for _ in range(int(rng.integers(8, 18))):
        x, y = uniform(rng, -0.1, 1.0) * width, uniform(rng, 0.0, 1.0) * height
        box = (x, y, x + uniform(rng, 0.06, 0.4) * width, y + uniform(rng, 0.04, 0.22) * height)
        shape = draw.rectangle if rng.random() < 0.6 else draw.ellipse
        shape(box, fill=_muted(rng, 20, 240))
    return room.filter(ImageFilter.BoxBlur(uniform(rng, 1.0, 5.0)))


def draw_presenter(rng: np.random.Generator, size: Size) -> Image.Image:
    """Draw a live studio: coloured wall, shelf and lamps, and a presenter from the hips up."""
    width, height = size
    scene = Image.composite(_flat(rng, size, 60, 200), _flat(rng, size, 120, 255), _ramp(size))
    draw = ImageDraw.Draw(scene)
    for _ in range(int(rng.integers(3, 9))):  # things on the shelf behind
        x, y = uniform(rng, 0.0, 1.0) * width, uniform(rng, 0.05, 0.4) * height
        draw.rectangle((x, y, x + 0.12 * width, y + 0.07 * height), fill=_colour(rng, 60, 250))
    scene = scene.filter(ImageFilter.BoxBlur(3))
    _draw_person(rng, ImageDraw.Draw(scene), uniform(rng, 0.35, 0.65) * width, width, height)
    return scene


def _draw_person(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, width: int, height: int) -> None:
    skin, hair, clothes = pick(rng, _SKINS), _colour(rng, 15, 90), _colour(rng, 30, 240)
    head, top = 0.13 * width, uniform(rng, 0.14, 0.2) * height
    draw.ellipse((x - 1.4 * head, top - 0.4 * head, x + 1.4 * head, top + 3.6 * head), fill=hair)
    shoulders = top + 2.9 * head
    draw.rounded_rectangle(
        (x - 0.34 * width, shoulders, x + 0.34 * width, 1.2 * height), radius=0.16 * width, fill=clothes
    )
    draw.rectangle((x - 0.4 * head, top + 2 * head, x + 0.4 * head, shoulders + 0.3 * head), fill=skin)
    draw.ellipse((x - head, top, x + head, top + 2.5 * head), fill=skin)
    draw.chord((x - 1.05 * head, top - 0.2 * head, x + 1.05 * head, top + 1.4 * head), 180, 360, fill=hair)
    for side in (-0.4, 0.4):
        eye = (x + side * head, top + 1.25 * head)
        draw.ellipse((eye[0] - 2, eye[1] - 1.5, eye[0] + 2, eye[1] + 1.5), fill=(30, 24, 24))
    draw.arc((x - 0.4 * head, top + 1.5 * head, x + 0.4 * head, top + 2.1 * head), 20, 160, fill=(170, 60, 60), width=2)


def draw_hand(rng: np.random.Generator, side: int) -> Image.Image:
    """Draw a hand and its wrist as an RGBA sprite of `side` pixels, reaching up from the lower edge."""
    hand = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(hand)
    skin = pick(rng, _SKINS)
    edge: Colour = (int(skin[0] * 0.8), int(skin[1] * 0.78), int(skin[2] * 0.78))
    unit = side / 100
    draw.rounded_rectangle((34 * unit, 62 * unit, 66 * unit, 110 * unit), radius=8 * unit, fill=skin, outline=edge)
    draw.ellipse((24 * unit, 40 * unit, 78 * unit, 84 * unit), fill=skin, outline=edge)
    for finger in range(4):
        left, top = (25 + 13 * finger) * unit, (8 + 4 * abs(finger - 1.5)) * unit
        draw.rounded_rectangle((left, top, left + 11 * unit, 62 * unit), radius=5 * unit, fill=skin, outline=edge)
    draw.rounded_rectangle((8 * unit, 44 * unit, 34 * unit, 58 * unit), radius=6 * unit, fill=skin, outline=edge)
    return hand


def stick_badge(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Stick a promotion onto a page: a round badge in a corner, or a banner along the lower edge."""
    draw = ImageDraw.Draw(canvas)
    width, height = canvas.size
    colour, word = _colour(rng, 40, 235), pick(rng, _BADGES)
    if rng.random() < 0.5:
        radius, x = 0.11 * width, pick(rng, (0.14, 0.86)) * width
        draw.ellipse((x - radius, 0.14 * height - radius, x + radius, 0.14 * height + radius), fill=colour)
        draw.text((x, 0.14 * height), word, fill="white", font=font(20), anchor="mm")
    else:
        draw.rectangle((0, 0.9 * height, width, height), fill=colour)
        draw.text((0.5 * width, 0.95 * height), f"{word}  RMB {_price(rng)}", fill="white", font=font(20), anchor="mm")


def draw_overlay(rng: np.random.Generator, size: Size) -> Image.Image:
    """Draw what a streaming app lays over the picture, as RGBA: viewers, chat, a price banner, hearts."""
    width, height = size
    overlay = Image.new("RGBA", size)
    draw = ImageDraw.Draw(overlay)
    draw.rounded_rectangle((6, 8, 0.45 * width, 28), radius=10, fill=(20, 20, 20, 130))
    draw.text((14, 12), f"{int(rng.integers(100, 9999))} viewers", fill="white", font=font(10))
    for line in range(int(rng.integers(2, 5))):
        y = height - 62 - 17 * line
        draw.rounded_rectangle((6, y, 6 + uniform(rng, 0.3, 0.6) * width, y + 14), radius=6, fill=(0, 0, 0, 120))
        draw.text((11, y + 1), f"user{int(rng.integers(10, 99))}: {pick(rng, _CHAT)}", fill="white", font=font(10))
    if rng.random() < 0.7:
        draw.rectangle((0, height - 40, width, height - 12), fill=(*_colour(rng, 30, 240), 215))
        draw.text((width / 2, height - 26), f"ONLY RMB {_price(rng)}", fill="white", font=font(16), anchor="mm")
    for heart in range(int(rng.integers(2, 7))):
        _draw_heart(draw, uniform(rng, 0.84, 0.96) * width, height - 60 - 24 * heart, (*_colour(rng, 120, 255), 220))
    return overlay


def _draw_heart(draw: ImageDraw.ImageDraw, x: float, y: float, colour: tuple[int, int, int, int]) -> None:
    draw.ellipse((x - 6, y - 5, x, y + 1), fill=colour)
    draw.ellipse((x, y - 5, x + 6, y + 1), fill=colour)
    draw.polygon(((x - 6, y - 1), (x + 6, y - 1), (x, y + 7)), fill=colour)


def _price(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(5, 400))}.90"


def _flat(rng: np.random.Generator, size: Size, low: int, high: int) -> Image.Image:
    return Image.new("RGB", size, _muted(rng, low, high))


def _ramp(size: Size) -> Image.Image:
    return Image.linear_gradient("L").resize(size)


def _colour(rng: np.random.Generator, low: int, high: int) -> Colour:
    red, green, blue = (int(level) for level in rng.integers(low, high, 3))
    return red, green, blue


def _muted(rng: np.random.Generator, low: int, high: int) -> Colour:
    """A colour of things that are not for sale: half as saturated as `_colour` draws them."""
    red, green, blue = _colour(rng, low, high)
    grey = (red + green + blue) // 3
    return (red + grey) // 2, (green + grey) // 2, (blue + grey) // 2
