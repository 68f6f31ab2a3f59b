"""One product's samples, drawn into a folder of images: the part that a release and a raw pool share."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from rope.domain import DOMAINS, Domain
from rope.synthetic.camera import encode_jpeg
from rope.synthetic.catalogue import Product
from rope.synthetic.mp4 import write_mp4
from rope.synthetic.scenes import draw_live, draw_page, draw_video
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.sprite import draw_sprite
from rope.synthetic.texts import draw_speech, draw_title

__all__ = ["DrawnSample", "ProductTask", "draw_ids", "draw_product", "plan_tasks"]

_STREAM_OF: Final[dict[Domain, Stream]] = {"page": Stream.PAGE, "video": Stream.VIDEO, "live": Stream.LIVE}
_QUALITY_OF: Final[dict[Domain, int]] = {"page": 85, "video": 70, "live": 45}
"""JPEG quality; streams are compressed hardest."""

_STREAM_EPOCH_MS: Final = 1668122889829
"""When the earliest live clip starts."""


@dataclass(frozen=True, slots=True)
class ProductTask:
    """What a worker needs to draw one product.

    Attributes:
        folder: the folder of the set; `images/` exists in it, and `videos/` where there are `mp4_ids`.
        product: what to draw.
        seed: the seed of the set.
        ids: domain -> ids of the samples to draw, as many as the product has there.
        mp4_ids: ids of the videos to write as MP4 too.
    """

    folder: Path
    product: Product
    seed: int
    ids: dict[Domain, tuple[str, ...]]
    mp4_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class DrawnSample:
    """A sample whose images are on disk.

    Attributes:
        domain: `page`, `video` or `live`.
        sample_id: unique in its domain.
        product: the index of its product.
        text: title or speech; None where nothing was recognised.
        images: file names in `images/`, in temporal order.
        times: frame number (video) or timestamp in ms (live) of each image; 0 for a page.
    """

    domain: Domain
    sample_id: str
    product: int
    text: str | None
    images: tuple[str, ...]
    times: tuple[int, ...]


def draw_ids(rng: np.random.Generator, n: int) -> list[str]:
    """Draw `n` distinct integers with gaps, in an order that tells nothing, as text."""
    return [str(100_001 + number) for number in rng.choice(10 * n, size=n, replace=False).tolist()]


def plan_tasks(folder: Path, products: Sequence[Product], seed: int, mp4_share: float) -> list[ProductTask]:
    """Make the folders, give out the ids of the samples, and choose the videos that become MP4.

    Each video becomes MP4 with probability `mp4_share`. Ids are unique inside a domain, no further.
    """
    for name in ("images", "videos") if mp4_share > 0 else ("images",):
        (folder / name).mkdir()
    ids: dict[Domain, list[str]] = {}
    for number, domain in enumerate(DOMAINS):
        total = sum(product.counts[domain] for product in products)
        ids[domain] = draw_ids(generator(seed, Stream.IDS, number), total)
    filmed = generator(seed, Stream.MP4).random(len(ids["video"])) < mp4_share
    mp4_ids = frozenset(compress(ids["video"], filmed.tolist()))
    rest = {domain: iter(ids[domain]) for domain in DOMAINS}
    return [ProductTask(folder, product, seed, _take(rest, product.counts), mp4_ids) for product in products]


def _take(rest: dict[Domain, Iterator[str]], counts: dict[Domain, int]) -> dict[Domain, tuple[str, ...]]:
    return {domain: tuple(islice(rest[domain], counts[domain])) for domain in DOMAINS}


def draw_product(task: ProductTask) -> list[DrawnSample]:
    """Draw all samples of a product; each has a random stream of its own."""
    sprite = draw_sprite(task.product.look)
    return [
        _draw_sample(task, sprite, domain, number, sample_id)
        for domain in DOMAINS
        for number, sample_id in enumerate(task.ids[domain])
    ]


def _draw_sample(task: ProductTask, sprite: Image.Image, domain: Domain, number: int, sample_id: str) -> DrawnSample:
    rng = generator(task.seed, _STREAM_OF[domain], task.product.index, number)
    text, frames, times = _SHOOT[domain](rng, task.product, sprite)
    names = tuple(_image_name(task.seed, domain, sample_id, time) for time in times)
    for name, frame in zip(names, frames, strict=True):
        (task.folder / "images" / name).write_bytes(encode_jpeg(frame, _QUALITY_OF[domain]))
    if domain == "video" and sample_id in task.mp4_ids:
        write_mp4(task.folder / "videos" / f"{sample_id}.mp4", frames)
    return DrawnSample(domain, sample_id, task.product.index, text, names, times)


_Shot = tuple[str | None, list[Image.Image], tuple[int, ...]]
"""Text, frames, and the time of each frame."""


def _shoot_page(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    return draw_title(rng, product.wording), [draw_page(rng, sprite)], (0,)


def _shoot_video(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    text = draw_speech(rng, product.wording, n_phrases=int(rng.integers(2, 7)), on_topic=0.55)
    n_frames = int(rng.integers(6, 13))
    return text, draw_video(rng, sprite, n_frames), tuple(30 * i for i in range(n_frames))


def _shoot_live(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    text = draw_speech(rng, product.wording, n_phrases=int(rng.integers(4, 12)), on_topic=0.45)
    n_frames = int(rng.integers(6, 13))
    start = _STREAM_EPOCH_MS + int(rng.integers(10**9))
    return text, draw_live(rng, sprite, n_frames), tuple(start + 1000 * i for i in range(n_frames))


_SHOOT: Final[dict[Domain, Callable[[np.random.Generator, Product, Image.Image], _Shot]]] = {
    "page": _shoot_page,
    "video": _shoot_video,
    "live": _shoot_live,
}


def _image_name(seed: int, domain: Domain, sample_id: str, time: int) -> str:
    """A name that tells nothing of the product."""
    return f"{uuid.uuid5(uuid.NAMESPACE_OID, f'{seed}/{domain}/{sample_id}/{time}')}.jpg"
