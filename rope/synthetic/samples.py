"""One product's samples, drawn into a folder of images: the part that a release and a raw pool share."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from rope.domain import DOMAINS, Domain, DomainName
from rope.synthetic.camera import encode_jpeg
from rope.synthetic.catalogue import Product
from rope.synthetic.mp4 import write_mp4
from rope.synthetic.scenes import draw_live, draw_page, draw_review, draw_video
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.sprite import draw_sprite
from rope.synthetic.texts import Wording, draw_comment, draw_speech, draw_title

__all__ = [
    "DRAWN_DOMAINS",
    "DrawnSample",
    "ProductTask",
    "draw_ids",
    "draw_product",
    "draw_text",
    "plan_tasks",
    "sample_generator",
]

DRAWN_DOMAINS: Final[tuple[DomainName, ...]] = (*DOMAINS, "review")
"""The domains that can be drawn: those of ROPE, and what buyers write and photograph."""

_STREAM_OF: Final[dict[DomainName, Stream]] = {
    "page": Stream.PAGE,
    "video": Stream.VIDEO,
    "live": Stream.LIVE,
    "review": Stream.REVIEW,
}
_QUALITY_OF: Final[dict[DomainName, int]] = {"page": 85, "video": 70, "live": 45, "review": 55}
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
        ids: domain -> ids of the samples to draw, as many as the product has there; the domains are those to draw.
        mp4_ids: ids of the videos to write as MP4 too.
    """

    folder: Path
    product: Product
    seed: int
    ids: dict[DomainName, tuple[str, ...]]
    mp4_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class DrawnSample:
    """A sample whose images are on disk.

    Attributes:
        domain: one of `DRAWN_DOMAINS`.
        sample_id: unique in its domain.
        product: the index of its product.
        text: title, speech or comment; None where there is none.
        images: file names in `images/`, in temporal order.
        times: frame number (video), timestamp in ms (live) or number (review) of each image; 0 for a page.
    """

    domain: DomainName
    sample_id: str
    product: int
    text: str | None
    images: tuple[str, ...]
    times: tuple[int, ...]


def draw_ids(rng: np.random.Generator, n: int) -> list[str]:
    """Draw `n` distinct integers with gaps, in an order that tells nothing, as text."""
    return [str(100_001 + number) for number in rng.choice(10 * n, size=n, replace=False).tolist()]


def plan_tasks(
    folder: Path,
    products: Sequence[Product],
    seed: int,
    mp4_share: float,
    domains: Sequence[DomainName] = DOMAINS,
) -> list[ProductTask]:
    """Make the folders, give out the ids of the samples, and choose the videos that become MP4.

    Each video becomes MP4 with probability `mp4_share`. Ids are unique inside a domain, no further. The samples of a
    domain do not depend on which others are drawn.
    """
    for name in ("images", "videos") if mp4_share > 0 else ("images",):
        (folder / name).mkdir()
    ids: dict[DomainName, list[str]] = {}
    for domain in domains:
        total = sum(product.counts[domain] for product in products)
        ids[domain] = draw_ids(generator(seed, Stream.IDS, DRAWN_DOMAINS.index(domain)), total)
    videos = ids.get("video", [])
    filmed = generator(seed, Stream.MP4).random(len(videos)) < mp4_share
    mp4_ids = frozenset(compress(videos, filmed.tolist()))
    rest = {domain: iter(of_domain) for domain, of_domain in ids.items()}
    return [ProductTask(folder, product, seed, _take(rest, product.counts), mp4_ids) for product in products]


def _take(rest: dict[DomainName, Iterator[str]], counts: dict[DomainName, int]) -> dict[DomainName, tuple[str, ...]]:
    return {domain: tuple(islice(of_domain, counts[domain])) for domain, of_domain in rest.items()}


def draw_product(task: ProductTask) -> list[DrawnSample]:
    """Draw all samples of a product; each has a random stream of its own."""
    sprite = draw_sprite(task.product.look)
    return [
        _draw_sample(task, sprite, domain, number, sample_id)
        for domain, sample_ids in task.ids.items()
        for number, sample_id in enumerate(sample_ids)
    ]


def _draw_sample(
    task: ProductTask, sprite: Image.Image, domain: DomainName, number: int, sample_id: str
) -> DrawnSample:
    rng = sample_generator(task.seed, domain, task.product.index, number)
    text, frames, times = _SHOOT[domain](rng, task.product, sprite)
    names = tuple(_image_name(task.seed, domain, sample_id, time) for time in times)
    for name, frame in zip(names, frames, strict=True):
        (task.folder / "images" / name).write_bytes(encode_jpeg(frame, _QUALITY_OF[domain]))
    if domain == "video" and sample_id in task.mp4_ids:
        write_mp4(task.folder / "videos" / f"{sample_id}.mp4", frames)
    return DrawnSample(domain, sample_id, task.product.index, text, names, times)


def sample_generator(seed: int, domain: DomainName, product: int, number: int) -> np.random.Generator:
    """The random numbers of one sample."""
    return generator(seed, _STREAM_OF[domain], product, number)


def draw_text(rng: np.random.Generator, domain: Domain, wording: Wording) -> str | None:
    """Draw a title or speech, None where there is none; the first that is drawn of a sample."""
    match domain:
        case "page":
            return draw_title(rng, wording)
        case "video":
            return draw_speech(rng, wording, n_phrases=int(rng.integers(2, 7)), on_topic=0.55)
        case "live":
            return draw_speech(rng, wording, n_phrases=int(rng.integers(4, 12)), on_topic=0.45)


_Shot = tuple[str | None, list[Image.Image], tuple[int, ...]]
"""Text, frames, and the time of each frame."""


def _shoot_page(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    return draw_text(rng, "page", product.wording), [draw_page(rng, sprite)], (0,)


def _shoot_video(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    text = draw_text(rng, "video", product.wording)
    n_frames = int(rng.integers(6, 13))
    return text, draw_video(rng, sprite, n_frames), tuple(30 * i for i in range(n_frames))


def _shoot_live(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    text = draw_text(rng, "live", product.wording)
    n_frames = int(rng.integers(6, 13))
    start = _STREAM_EPOCH_MS + int(rng.integers(10**9))
    return text, draw_live(rng, sprite, n_frames), tuple(start + 1000 * i for i in range(n_frames))


def _shoot_review(rng: np.random.Generator, product: Product, sprite: Image.Image) -> _Shot:
    n_photos = int(rng.integers(1, 4))
    return draw_comment(rng, product.wording), draw_review(rng, sprite, n_photos), tuple(range(n_photos))


_SHOOT: Final[dict[DomainName, Callable[[np.random.Generator, Product, Image.Image], _Shot]]] = {
    "page": _shoot_page,
    "video": _shoot_video,
    "live": _shoot_live,
    "review": _shoot_review,
}


def _image_name(seed: int, domain: DomainName, sample_id: str, time: int) -> str:
    """A name that tells nothing of the product."""
    return f"{uuid.uuid5(uuid.NAMESPACE_OID, f'{seed}/{domain}/{sample_id}/{time}')}.jpg"
