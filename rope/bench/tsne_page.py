"""A map of samples as one HTML file that needs nothing else, with what each sample is on hover and by keyboard."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined

from rope.bench.doctor.markers import shapes_of
from rope.bench.inline import inline_json
from rope.bench.io.provenance import Provenance
from rope.bench.tsne import Points, hex_colours
from rope.dataset.pictures import SamplePicture
from rope.domain import DomainName, in_order
from rope.errors import UsageError

__all__ = ["MOST_PICTURES", "check_size", "render_map"]

MOST_PICTURES: Final = 1500
"""Samples of a map with pictures: at 3 to 5 KB each, the page stays below 10 MB."""

_WIDTH: Final = 1000
_HEIGHT: Final = 700
_MARGIN: Final = 16


def check_size(points: Points, *, has_pictures: bool) -> None:
    """Refuse a page that would be too large.

    Raises:
        UsageError: pictures of more samples than `MOST_PICTURES` are wanted.
    """
    if has_pictures and len(points.domains) > MOST_PICTURES:
        raise UsageError(
            f"--pictures: the products drawn have {len(points.domains):,} samples, and a page holds {MOST_PICTURES:,} "
            "pictures at most; give fewer --products, or leave out --pictures"
        )


def render_map(
    points: Points,
    places: npt.NDArray[np.float32],
    provenance: Provenance,
    categories: Mapping[str, str | None],
    pictures: Mapping[DomainName, Mapping[str, SamplePicture]] | None,
) -> str:
    """Render the page: a complete HTML document, the same for the same input.

    Args:
        points: what is shown.
        places: where, [n, 2].
        provenance: what the vectors are of.
        categories: of the products.
        pictures: domain -> sample id -> what is shown of it; None for ids alone.
    """
    environment = Environment(
        loader=PackageLoader("rope.bench", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    domains = in_order(points.domains)
    return environment.get_template("tsne.html.j2").render(
        provenance=provenance,
        domains=domains,
        shapes=shapes_of(domains),
        colours=hex_colours(len(points.product_ids)),
        products=[(product, categories.get(product)) for product in points.product_ids],
        width=_WIDTH,
        height=_HEIGHT,
        points=_placed(points, places),
        has_pictures=pictures is not None,
        data=inline_json(_told(points, categories, pictures)),
    )


def _placed(points: Points, places: npt.NDArray[np.float32]) -> list[tuple[str, str, int, DomainName]]:
    """x, y, product and domain of each sample, in the frame of the drawing."""
    low, high = places.min(axis=0), places.max(axis=0)
    frame = np.array([_WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN])
    scale = float((frame / np.maximum(high - low, 1e-9)).min())
    middle = np.array([_WIDTH, _HEIGHT]) / 2
    x, y = (middle + (places - (low + high) / 2) * scale * [1, -1]).T
    products = points.products.tolist()
    return [(f"{a:.1f}", f"{b:.1f}", p, d) for a, b, p, d in zip(x, y, products, points.domains, strict=True)]


def _told(
    points: Points,
    categories: Mapping[str, str | None],
    pictures: Mapping[DomainName, Mapping[str, SamplePicture]] | None,
) -> list[dict[str, Any]]:
    """What the card of each sample says."""
    told = []
    for sample, product, domain in zip(points.sample_ids, points.products.tolist(), points.domains, strict=True):
        picture = (pictures or {}).get(domain, {}).get(sample, SamplePicture((), None))
        owner = points.product_ids[product]
        of_sample = {"sample": sample, "product": owner, "category": categories.get(owner), "text": picture.text}
        told.append({**of_sample, "image": picture.images[0] if picture.images else None})
    return told
