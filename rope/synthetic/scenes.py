"""The pictures of a product: a shop page, a short video at home, a live stream, and photos in a buyer's review."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from rope.domain import DomainName
from rope.synthetic.camera import (
    Light,
    Pose,
    blur_motion,
    draw_light,
    illuminate,
    place,
    shadow_of,
)
from rope.synthetic.props import draw_hand, draw_overlay, draw_presenter, draw_room, draw_studio, stick_badge
from rope.synthetic.seeds import uniform

__all__ = [
    "LIGHTS",
    "LIVE_SIZE",
    "PAGE_SIZE",
    "REVIEW_SIZE",
    "VIDEO_SIZE",
    "draw_live",
    "draw_page",
    "draw_review",
    "draw_video",
]

PAGE_SIZE: Final = (256, 256)
VIDEO_SIZE: Final = (180, 320)
LIVE_SIZE: Final = (180, 320)
REVIEW_SIZE: Final = (192, 240)
"""Width and height in pixels; videos, streams and reviews are upright, as on a telephone."""

LIGHTS: Final[dict[DomainName, tuple[float, float, float]]] = {
    "page": (0.03, 0.08, 0.06),
    "video": (0.14, 0.2, 0.2),
    "live": (0.18, 0.18, 0.2),
    "review": (0.18, 0.25, 0.22),
}
"""Domain -> `cast`, `exposure` and `wash` of its light, see `draw_light`."""


@dataclass(frozen=True, slots=True)
class _Path:
    """A smooth walk of a product through the frames of a clip: each part swings about its middle.

    Attributes:
        middle: the pose about which it swings.
        swing: how far x, y, size, angle and squeeze go from there.
        phase: where in its swing each of the five starts, in turns.
        speed: swings of each of the five over the clip.
    """

    middle: Pose
    swing: tuple[float, ...]
    phase: tuple[float, ...]
    speed: tuple[float, ...]

    def at(self, moment: float) -> Pose:
        """The pose at a moment of the clip, from 0 to 1."""
        turns = np.array(self.phase) + np.array(self.speed) * moment
        x, y, size, angle, squeeze = (np.array(self.swing) * np.sin(2 * np.pi * turns)).tolist()
        middle = self.middle
        return Pose(
            middle.x + x,
            middle.y + y,
            middle.size * (1 + size),
            middle.angle + angle,
            middle.squeeze * (1 - abs(squeeze)),
            middle.slant,
        )


def draw_page(rng: np.random.Generator, sprite: Image.Image) -> Image.Image:
    """Draw the picture of a product page: RGB, `PAGE_SIZE`.

    One large product, or two of the same, sharp and evenly lit in a studio; a third of the pages bear a promotion.
    """
    width, height = PAGE_SIZE
    page = draw_studio(rng, PAGE_SIZE)
    size = uniform(rng, 0.66, 0.9) * width
    angle = uniform(rng, -8, 8)
    places = [(0.33, 0.62), (0.66, 0.62)] if rng.random() < 0.15 else [(0.5, 1.0)]
    shadow = shadow_of(sprite, 110)
    for x, share in places:
        pose = Pose(x * width, uniform(rng, 0.46, 0.54) * height, share * size, angle, uniform(rng, 0.88, 1.0))
        place(page, shadow, Pose(pose.x + 4, pose.y + 7, pose.size, pose.angle, pose.squeeze))
        place(page, sprite, pose)
    page = illuminate(page, draw_light(rng, *LIGHTS["page"]))
    if rng.random() < 1 / 3:
        stick_badge(rng, page)
    return page


def draw_video(rng: np.random.Generator, sprite: Image.Image, n_frames: int) -> list[Image.Image]:
    """Draw the frames of a short video: RGB, `VIDEO_SIZE`.

    A hand-held camera in a cluttered room; the product turns and comes nearer, a hand comes over its lower part in most
    videos; the light is warmer or colder than on the page, and the picture is slightly soft.
    """
    width, height = VIDEO_SIZE
    room = draw_room(rng, (width + 48, height + 48))
    light = draw_light(rng, *LIGHTS["video"])
    middle = Pose(
        uniform(rng, 0.4, 0.6) * width,
        uniform(rng, 0.42, 0.6) * height,
        uniform(rng, 0.6, 0.95) * width,
        uniform(rng, -14, 14),
        uniform(rng, 0.85, 1.0),
        uniform(rng, -0.12, 0.12),
    )
    path = _draw_path(rng, middle, (0.12 * width, 0.07 * height, 0.2, 12.0, 0.35))
    hand = draw_hand(rng, 110) if rng.random() < 0.75 else None
    grip = (uniform(rng, -0.3, 0.3), uniform(rng, 0.3, 0.5), uniform(rng, -35, 35))
    softness = uniform(rng, 0.2, 0.9)
    shadow = shadow_of(sprite, 120)
    frames = []
    for moment in np.linspace(0, 1, n_frames).tolist():
        pose = path.at(moment)
        frame = _pan(room, VIDEO_SIZE, path, moment)
        place(frame, shadow, Pose(pose.x + 6, pose.y + 9, pose.size, pose.angle, pose.squeeze, pose.slant))
        place(frame, sprite, pose)
        if hand is not None:
            place(frame, hand, _gripping(pose, grip))
        frames.append(illuminate(frame, light).filter(ImageFilter.GaussianBlur(softness)))
    return frames


def draw_live(rng: np.random.Generator, sprite: Image.Image, n_frames: int) -> list[Image.Image]:
    """Draw the frames of a live clip: RGB, `LIVE_SIZE`.

    A presenter holds the product, which is smaller, in motion, half hidden by fingers and by what the app lays over the
    picture, under strongly coloured light.
    """
    width, height = LIVE_SIZE
    studio = draw_presenter(rng, LIVE_SIZE)
    light = draw_light(rng, *LIGHTS["live"])
    middle = Pose(
        uniform(rng, 0.3, 0.7) * width,
        uniform(rng, 0.46, 0.62) * height,
        uniform(rng, 0.5, 0.75) * width,
        uniform(rng, -20, 20),
        uniform(rng, 0.75, 1.0),
        uniform(rng, -0.15, 0.15),
    )
    path = _draw_path(rng, middle, (0.1 * width, 0.06 * height, 0.15, 18.0, 0.45))
    hand = draw_hand(rng, 84)
    grip = (uniform(rng, -0.4, 0.4), uniform(rng, 0.3, 0.5), uniform(rng, -40, 40))
    overlay = draw_overlay(rng, LIVE_SIZE)
    frames = []
    for moment in np.linspace(0, 1, n_frames).tolist():
        pose = path.at(moment)
        frame = studio.copy()
        place(frame, sprite, pose)
        place(frame, hand, _gripping(pose, grip))
        frame = blur_motion(illuminate(frame, _flicker(rng, light)), int(rng.integers(-3, 4)), int(rng.integers(-2, 3)))
        frame.paste(overlay, mask=overlay)
        frames.append(frame)
    return frames


def draw_review(rng: np.random.Generator, sprite: Image.Image, n_photos: int) -> list[Image.Image]:
    """Draw the photos of a review: RGB, `REVIEW_SIZE`.

    Snapshots in one room under one lamp, whose colour is far from daylight: the product is aslant, off the middle and
    often cut off by the edge, and no two photos are equally sharp. There is no badge and no hand.
    """
    width, height = REVIEW_SIZE
    room = draw_room(rng, REVIEW_SIZE)
    light = draw_light(rng, *LIGHTS["review"])
    shadow = shadow_of(sprite, 120)
    photos = []
    for _ in range(n_photos):
        pose = Pose(
            uniform(rng, 0.25, 0.75) * width,
            uniform(rng, 0.3, 0.7) * height,
            uniform(rng, 0.6, 1.15) * width,
            uniform(rng, -25, 25),
            uniform(rng, 0.75, 1.0),
            uniform(rng, -0.18, 0.18),
        )
        photo = room.copy()
        place(photo, shadow, Pose(pose.x + 6, pose.y + 9, pose.size, pose.angle, pose.squeeze, pose.slant))
        place(photo, sprite, pose)
        photos.append(illuminate(photo, light).filter(ImageFilter.GaussianBlur(uniform(rng, 0.2, 1.2))))
    return photos


def _draw_path(rng: np.random.Generator, middle: Pose, swing: tuple[float, ...]) -> _Path:
    phase, speed = rng.random(len(swing)), rng.uniform(0.3, 1.0, len(swing))
    return _Path(middle, swing, tuple(phase.tolist()), tuple(speed.tolist()))


def _pan(room: Image.Image, size: tuple[int, int], path: _Path, moment: float) -> Image.Image:
    """The part of the room that a swaying camera sees; the room is larger than `size`."""
    sway = np.sin(2 * np.pi * (np.array(path.phase[:2]) + 0.7 * moment))
    spare = np.array(room.size) - np.array(size)
    left, top = np.rint(spare * (sway + 1) / 2).astype(int).tolist()
    return room.crop((left, top, left + size[0], top + size[1]))


def _gripping(product: Pose, grip: tuple[float, float, float]) -> Pose:
    """Pose of a hand that holds a product: `grip` is right and down in sizes of the product, and the turn."""
    right, down, turn = grip
    return Pose(product.x + right * product.size, product.y + down * product.size, 0.5 * product.size + 28, turn)


def _flicker(rng: np.random.Generator, light: Light) -> Light:
    """The light in one frame: up to 6 % brighter or darker, as screens and lamps flicker."""
    factor = uniform(rng, 0.94, 1.06)
    red, green, blue = light.gains
    return Light((factor * red, factor * green, factor * blue), light.wash, light.lift)
