"""How a scene gets into a picture: placing a sprite, light, lens, motion, and JPEG."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from rope.synthetic.seeds import uniform

__all__ = ["Light", "Pose", "blur_motion", "draw_light", "encode_jpeg", "illuminate", "place", "shadow_of"]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a sprite is in a picture.

    Attributes:
        x, y: its centre, in pixels from the top left corner.
        size: its longer side in pixels.
        angle: its turn in degrees, clockwise.
        squeeze: its width as seen, as a share of its true width: below 1 when it is turned away.
        slant: shear to the side, as a share of the height.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0
    squeeze: float = 1.0
    slant: float = 0.0


@dataclass(frozen=True, slots=True)
class Light:
    """What a camera and its light do to the colours of a scene.

    Attributes:
        gains: factors of red, green and blue.
        wash: share of grey mixed into every colour.
        lift: levels (0 to 255) added to every channel.
    """

    gains: tuple[float, float, float]
    wash: float
    lift: float


def draw_light(rng: np.random.Generator, cast: float, exposure: float, wash: float) -> Light:
    """Draw a light: white balance off by up to `cast` a channel, brightness by up to `exposure`, as shares of 1."""
    brightness = 1 + uniform(rng, -exposure, exposure)
    red, green, blue = (brightness * (1 + uniform(rng, -cast, cast)) for _ in range(3))
    return Light((red, green, blue), uniform(rng, 0.0, wash), uniform(rng, 0.0, 60 * wash))


def illuminate(image: Image.Image, light: Light) -> Image.Image:
    """The RGB image under a light.

    >>> dim = Light((0.5, 0.5, 0.5), wash=0.0, lift=10.0)
    >>> illuminate(Image.new("RGB", (1, 1), (200, 100, 0)), dim).getpixel((0, 0))
    (110, 60, 10)
    """
    grey = light.wash / 3
    matrix: list[float] = []
    for channel, gain in enumerate(light.gains):
        matrix += [gain * (grey + (1 - light.wash) * (channel == other)) for other in range(3)] + [light.lift]
    return image.convert("RGB", tuple(matrix))


def place(canvas: Image.Image, sprite: Image.Image, pose: Pose) -> None:
    """Paste an RGBA sprite into an RGB canvas at a pose; what lies outside is cut off."""
    shrink = max(1, int(max(sprite.size) / pose.size))
    small = sprite.reduce(shrink) if shrink > 1 else sprite
    matrix, (width, height) = _affine(small.size, pose)
    moved = small.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    canvas.paste(moved, (round(pose.x - width / 2), round(pose.y - height / 2)), moved)


def shadow_of(sprite: Image.Image, darkness: int) -> Image.Image:
    """The soft shadow of a sprite, itself a sprite of the same size; `darkness` from 0 to 255."""
    alpha = sprite.getchannel("A").filter(ImageFilter.BoxBlur(sprite.width * 0.04))
    shadow = Image.new("RGBA", sprite.size, (30, 28, 36, 255))
    shadow.putalpha(alpha.point([value * darkness // 255 for value in range(256)]))
    return shadow


def blur_motion(image: Image.Image, dx: int, dy: int) -> Image.Image:
    """The image as if it had moved by (dx, dy) pixels while the shutter was open.

    Pixels that come in over one border are those that went out over the other.
    """
    halfway = ImageChops.blend(image, ImageChops.offset(image, dx, dy), 0.5)
    return ImageChops.blend(halfway, ImageChops.offset(halfway, dx // 2, dy // 2), 0.5)


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """The image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _affine(
    size: tuple[int, int], pose: Pose
) -> tuple[tuple[float, float, float, float, float, float], tuple[int, int]]:
    """Matrix from pixels of the output to those of a sprite of `size`, and the size of the output."""
    scale = pose.size / max(size)
    angle = np.deg2rad(pose.angle)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = turn @ np.array([[scale * pose.squeeze, scale * pose.slant], [0.0, scale]])
    extent = np.ceil(np.abs(forward) @ np.array(size)) + 2
    back = np.linalg.inv(forward)
    shift = np.array(size) / 2 - back @ (extent / 2)
    (a, b), (d, e) = back.tolist()
    return (a, b, float(shift[0]), d, e, float(shift[1])), (int(extent[0]), int(extent[1]))
