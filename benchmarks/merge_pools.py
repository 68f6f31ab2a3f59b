"""Pools of pictures with known copies, to choose the thresholds of merging and to measure them.

Every pool is drawn from a folder of photos (*.jpg) and a seed. It holds

* *originals*, photos of which no two are copies;
* *copies* of some originals, one for each of `MILD` and `STRONG`;
* *strangers*, which look alike and are no copies: different goods cut out and put on one backdrop, garments of one cut
  with another cloth, garments of one cut and nearly one colour, and goods in one frame with one banner. What is shown
  in a frame is not an original as well, or the two would be copies.

The shop pictures that strangers are cut from are those of the folder that stand on white.
"""

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Rng = np.random.Generator
Change = Callable[[Image.Image, Rng], Image.Image]

FOLDS = 5


@dataclass(frozen=True)
class Picture:
    """A picture of a pool: pictures of one `group` are copies of each other."""

    image: Image.Image
    group: int
    kind: str


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def encoded(image: Image.Image, rng: Rng) -> Image.Image:
    return jpeg(image, int(rng.integers(30, 70)))


def resized(image: Image.Image, rng: Rng) -> Image.Image:
    scale = rng.uniform(0.4, 0.9)
    return image.resize((max(48, round(image.width * scale)), max(48, round(image.height * scale))))


def cropped(least: float, most: float) -> Change:
    def cut(image: Image.Image, rng: Rng) -> Image.Image:
        width, height = (1 - rng.uniform(least, most, 2)) * image.size
        left, top = rng.uniform(0, 1, 2) * (image.width - width, image.height - height)
        return image.crop((round(left), round(top), round(left + width), round(top + height)))

    return cut


def mirrored(image: Image.Image, _: Rng) -> Image.Image:
    return ImageOps.mirror(image)


WORDS = ["SALE", "NEW", "50%", "FREE", "SHIPPING", "HOT", "ORIGINAL", "QUALITY", "SHOP", "2024", "BEST", "OFFER"]


def written(image: Image.Image, rng: Rng) -> Image.Image:
    """One or two lines of text, half of the time on a bar."""
    found = image.copy()
    draw = ImageDraw.Draw(found)
    for _ in range(int(rng.integers(1, 3))):
        size = int(image.height * rng.uniform(0.05, 0.1))
        text = " ".join(rng.choice(WORDS, int(rng.integers(1, 4))))
        font = ImageFont.load_default(size)
        x, y = rng.uniform(0, 0.5) * image.width, rng.uniform(0, 0.9) * image.height
        ink = tuple(rng.integers(0, 256, 3).tolist())
        if rng.random() < 0.5:
            box = draw.textbbox((x, y), text, font)
            draw.rectangle(box, fill=tuple(255 - level for level in ink))
        draw.text((x, y), text, ink, font)
    return found


def watermarked(image: Image.Image, rng: Rng) -> Image.Image:
    layer = Image.new("L", image.size)
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(max(8, image.height // 14))
    for y in range(0, image.height, image.height // 4):
        draw.text((int(rng.uniform(0, 0.3) * image.width), y), "SHOP.EXAMPLE", 110, font)
    return Image.composite(Image.new("RGB", image.size, "white"), image, layer)


def tinted(image: Image.Image, rng: Rng) -> Image.Image:
    """Another white balance and saturation."""
    found = ImageEnhance.Color(image).enhance(rng.uniform(0.7, 1.35))
    gains = rng.uniform(0.88, 1.12, 3)
    return found.point([min(255, round(level * gain)) for gain in gains for level in range(256)])


def lit(image: Image.Image, rng: Rng) -> Image.Image:
    found = ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.2))
    return ImageEnhance.Contrast(found).enhance(rng.uniform(0.8, 1.2))


def chained(*changes: Change) -> Change:
    def change(image: Image.Image, rng: Rng) -> Image.Image:
        for one in changes:
            image = one(image, rng)
        return image

    return change


MILD: dict[str, Change] = {
    "encoded again": encoded,
    "resized": resized,
    "cropped by 2 to 6 %": cropped(0.02, 0.06),
    "cropped by 6 to 12 %": cropped(0.06, 0.12),
    "mirrored": mirrored,
    "text over it": written,
    "watermark": watermarked,
    "other colours": tinted,
    "other light": lit,
    "cropped, resized, encoded": chained(cropped(0.02, 0.06), resized, encoded),
    "mirrored, text, encoded": chained(mirrored, written, encoded),
    "other colours, text, resized": chained(tinted, written, resized),
}


def framed(image: Image.Image, rng: Rng) -> Image.Image:
    return ImageOps.expand(image, round(rng.uniform(0.03, 0.08) * min(image.size)), tuple(rng.integers(0, 256, 3)))


STRONG: dict[str, Change] = {
    "frame": framed,
    "padded to a square": lambda image, _: ImageOps.pad(image, (max(image.size),) * 2, color="white"),
    "cropped by 15 to 25 %": cropped(0.15, 0.25),
    "turned by 2 to 4 degrees": lambda image, rng: image.rotate(rng.uniform(2, 4), Image.Resampling.BICUBIC),
    "turned grey": lambda image, _: image.convert("L").convert("RGB"),
}


def cut_out(image: Image.Image) -> tuple[Image.Image, Image.Image] | None:
    """A shop picture's goods and their mask, both cut to the goods; None where it does not stand on white."""
    bright = np.asarray(image.convert("RGB")).min(axis=2) >= 243
    edge = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if edge.mean() < 0.97:
        return None
    filled = Image.fromarray((~bright).astype(np.uint8) * 255).filter(ImageFilter.MedianFilter(5))
    padded = ImageOps.expand(filled, 2, 0)
    outside = padded.copy()
    ImageDraw.floodfill(outside, (0, 0), 128)
    mask = outside.point(lambda level: 0 if level == 128 else 255).crop((2, 2, 2 + image.width, 2 + image.height))
    box = mask.getbbox()
    if box is None or np.asarray(mask).mean() < 255 * 0.08:
        return None
    return image.crop(box), mask.crop(box)


def backdrop(photos: Sequence[Image.Image], rng: Rng) -> Image.Image:
    """A ground for several goods: a photo, sharp or blurred, a gradient, or a plain wall with a floor."""
    side, kind = 320, rng.integers(4)
    if kind <= 1:
        photo = ImageOps.fit(photos[int(rng.integers(len(photos)))], (side, side))
        return photo.filter(ImageFilter.GaussianBlur(6)) if kind else photo
    ends = rng.integers(90, 256, (2, 3))
    ramp = np.linspace(0, 1, side)[:, None, None]
    wall = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (side, side, 3)).astype(np.uint8).copy()
    if kind == 3:
        wall[int(side * rng.uniform(0.7, 0.85)) :] = rng.integers(60, 200, 3)
    return Image.fromarray(wall)


def placed(
    ground: Image.Image, goods: Image.Image, mask: Image.Image, share: float, centre: tuple[float, float]
) -> Image.Image:
    """Goods on a ground: their longer side is `share` of the ground's."""
    scale = share * ground.width / max(goods.size)
    size = (max(1, round(goods.width * scale)), max(1, round(goods.height * scale)))
    found = ground.copy()
    at = (round(centre[0] * ground.width - size[0] / 2), round(centre[1] * ground.height - size[1] / 2))
    found.paste(goods.resize(size), at, mask.resize(size))
    return found


SHIRT = [(0.3, 0.2), (0.42, 0.16), (0.58, 0.16), (0.7, 0.2), (0.88, 0.42), (0.76, 0.48)]
SHIRT += [(0.7, 0.4), (0.7, 0.86), (0.3, 0.86), (0.3, 0.4), (0.24, 0.48), (0.12, 0.42)]
TROUSERS = [(0.36, 0.12), (0.64, 0.12), (0.7, 0.9), (0.53, 0.9), (0.5, 0.36), (0.47, 0.9), (0.3, 0.9)]
DRESS = [(0.42, 0.12), (0.58, 0.12), (0.62, 0.42), (0.78, 0.9), (0.22, 0.9), (0.38, 0.42)]
CUTS = (SHIRT, TROUSERS, DRESS)


def garment(ground: Image.Image, cloth: Image.Image, cut: int, rng: Rng) -> Image.Image:
    """A garment of one cut, a little different each time, of a cloth with a pattern, on a ground."""
    outline = np.array(CUTS[cut]) + rng.normal(0, 0.012, (len(CUTS[cut]), 2))
    mask = Image.new("L", ground.size)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in outline * ground.width], fill=255)
    kind, colour = rng.integers(4), rng.integers(0, 256, 3)
    plain = np.broadcast_to(colour, (*ground.size, 3)).astype(np.float64).copy()
    if kind == 1:
        stripes = (np.arange(ground.width) // int(rng.integers(10, 30))) % 2 == 0
        plain[stripes] = rng.integers(0, 256, 3)
    folds = noise(ground.width, rng)
    image = Image.fromarray(np.clip(plain * (1 + 0.25 * folds[..., None]), 0, 255).astype(np.uint8))
    if kind == 2:
        image = ImageOps.fit(cloth, ground.size)
    if kind == 3:
        print_size = int(ground.width * rng.uniform(0.12, 0.25))
        image.paste(
            ImageOps.fit(cloth, (print_size,) * 2), (ground.width // 2 - print_size // 2, int(0.38 * ground.width))
        )
    return Image.composite(image, ground, mask.filter(ImageFilter.GaussianBlur(1)))


def alike_garment(ground: Image.Image, cut: int, colour: np.ndarray, rng: Rng) -> Image.Image:
    """A garment of a given colour and cut, both a little different each time, with folds of its own."""
    outline = np.array(CUTS[cut]) + rng.normal(0, 0.015, (len(CUTS[cut]), 2))
    mask = Image.new("L", ground.size)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in outline * ground.width], fill=255)
    folds = 0.1 * noise(ground.width, rng) + 0.06 * noise(ground.width, rng, (28, 28))
    cloth = (colour + rng.normal(0, 6, 3)) * (1 + folds[..., None])
    image = Image.fromarray(np.clip(cloth, 0, 255).astype(np.uint8))
    return Image.composite(image, ground, mask.filter(ImageFilter.GaussianBlur(1)))


def noise(side: int, rng: Rng, cells: tuple[int, int] = (10, 6)) -> np.ndarray:
    coarse = Image.fromarray(rng.normal(0, 1, cells).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def banner(image: Image.Image, rng: Rng, words: str, ink: tuple[int, int, int]) -> Image.Image:
    """The frame of a shop: a border, a bar with words below, and a badge."""
    found = ImageOps.fit(image, (320, 320))
    draw = ImageDraw.Draw(found)
    draw.rectangle((0, 0, 319, 319), outline=ink, width=10)
    draw.rectangle((0, 270, 319, 319), fill=ink)
    draw.text((24, 278), words, "white", ImageFont.load_default(30))
    draw.ellipse((240, 14, 306, 80), fill=ink)
    draw.text((252, 34), "-30%", "white", ImageFont.load_default(20))
    return found


def strangers(
    photos: Sequence[Image.Image], goods: Sequence[tuple[Image.Image, Image.Image]], rng: Rng, sets: int
) -> tuple[list[tuple[Image.Image, str]], set[int], set[int]]:
    """Pictures that look alike, no two of them copies, `sets` of a kind; and the photos and goods shown in frames."""
    found = []
    framed: tuple[set[int], set[int]] = set(), set()
    shown = iter(rng.permutation(len(goods)).tolist())  # in a frame: once, since goods in two frames are one product
    drawn = iter(rng.permutation(len(photos)).tolist())
    for number in range(sets):
        ground = backdrop(photos, rng)
        share, centre = rng.uniform(0.5, 0.9), (rng.uniform(0.42, 0.58), rng.uniform(0.45, 0.6))
        for at in rng.choice(len(goods), min(8, len(goods)), replace=False):
            found.append((placed(ground, *goods[at], share, centre), "goods on one backdrop"))
        ground = backdrop(photos, rng)
        found += [
            (garment(ground, photos[next(drawn)], number % len(CUTS), rng), "garments on one backdrop")
            for _ in range(8)
        ]
        ground, colour = backdrop(photos, rng), rng.integers(60, 230, 3)
        for _ in range(8):
            found.append((alike_garment(ground, number % len(CUTS), colour, rng), "garments of one colour"))
        words, ink = " ".join(rng.choice(WORDS, 2)), tuple(rng.integers(0, 200, 3).tolist())
        for at in itertools.islice(drawn, 4):
            framed[0].add(at)
            found.append((banner(photos[at], rng, words, ink), "one frame and banner"))
        for at in itertools.islice(shown, 2):
            framed[1].add(at)
            on_white = placed(Image.new("RGB", (320, 320), "white"), *goods[at], 0.85, (0.5, 0.5))
            found.append((banner(on_white, rng, words, ink), "one frame and banner"))
    return found, *framed


def draw_pool(photos: Sequence[Image.Image], seed: int, *, sets: int, strong: bool = False) -> list[Picture]:
    """The originals, strangers among them, and one copy of a random eighth of them for each kind of change."""
    rng = np.random.default_rng(seed)
    cuts = [cut_out(photo) for photo in photos]
    natural = [photo for photo, cut in zip(photos, cuts, strict=True) if cut is None]
    shop = [(photo, cut) for photo, cut in zip(photos, cuts, strict=True) if cut is not None]
    alike, framed_photos, framed_goods = strangers(natural, [cut for _, cut in shop], rng, sets)
    originals = [(photo, "photo") for at, photo in enumerate(natural) if at not in framed_photos]
    originals += [(photo, "shop picture") for at, (photo, _) in enumerate(shop) if at not in framed_goods]
    originals += alike
    pool = [Picture(jpeg(image, 85), group, kind) for group, (image, kind) in enumerate(originals)]
    changes = STRONG if strong else MILD
    for name, change in changes.items():
        for group in rng.choice(len(originals), len(originals) // 8, replace=False).tolist():
            pool.append(Picture(jpeg(change(originals[group][0], rng), int(rng.integers(70, 92))), group, name))
    return pool
