"""A map of some products over the domains, by t-SNE: one colour per product, one marker per domain, as in the paper.

A picture to look at, no measurement: distances between far points mean nothing, and another seed gives another map.
"""

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from rope.bench.doctor.markers import matplotlib_markers
from rope.bench.io.embeddings import DomainEmbeddings, align
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName, in_order
from rope.errors import UsageError
from rope.extras import needed_by
from rope.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "Points", "choose_points", "draw_map", "hex_colours", "lay_out", "save_map"]

FORMATS: Final = (".png", ".svg")
_PERPLEXITY: Final = 30.0
_PRODUCTS: Final = 30
"""Products that are drawn where nothing else is asked for, as their colours can still be told apart."""

_SIDE_INCHES: Final = 7.0
_DPI: Final = 200


@dataclass(frozen=True, slots=True)
class Points:
    """The samples of some products.

    Attributes:
        vectors: float32 [n, dim], of length 1.
        products: the product of each, integers [n] that index `product_ids`.
        domains: the domain of each, n of them.
        product_ids: in the order of the products' colours.
        sample_ids: of each, n of them.
    """

    vectors: npt.NDArray[np.float32]
    products: npt.NDArray[np.int64]
    domains: list[DomainName]
    product_ids: list[str]
    sample_ids: list[str]


def choose_points(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    *,
    n_products: int | None,
    seed: int,
) -> Points:
    """All samples of products drawn at random among those that every domain has.

    Args:
        embeddings: of each domain, in any order.
        labels: of a split.
        n_products: how many, at least 2; None for 30, or all that there are.
        seed: of the draw.

    Raises:
        EmbeddingError: the embeddings are not of these samples, see `rope.bench.io.embeddings.align`.
        UsageError: there are fewer products.
    """
    aligned = align(dict(embeddings), labels)
    shared = sorted(set.intersection(*(set(rows.product_ids) for rows in labels.values())))
    n_products = n_products if n_products is not None else min(_PRODUCTS, len(shared))
    if not 2 <= n_products <= len(shared):
        raise UsageError(
            f"--products {n_products}: expected from 2 to {len(shared)}, the products that have samples in all of "
            f"{', '.join(labels)}"
        )
    drawn = np.random.default_rng(seed).choice(len(shared), n_products, replace=False)
    place_of = {shared[product]: place for place, product in enumerate(sorted(drawn.tolist()))}
    vectors, products, domains, sample_ids = [], [], list[DomainName](), list[str]()
    for domain, rows in labels.items():
        for row, product in enumerate(rows.product_ids):
            if product in place_of:
                vectors.append(aligned[domain].vectors[row])
                products.append(place_of[product])
                domains.append(domain)
                sample_ids.append(rows.sample_ids[row])
    stacked = np.stack(vectors).astype(np.float64)
    unit = (stacked / np.linalg.norm(stacked, axis=1, keepdims=True)).astype(np.float32)
    return Points(unit, np.array(products, np.int64), domains, list(place_of), sample_ids)


def lay_out(points: Points, *, seed: int) -> npt.NDArray[np.float32]:
    """Places [n, 2] of the points in the plane, by t-SNE (van der Maaten and Hinton, 2008) on cosine distances.

    The perplexity is 30, or a third of the points where they are few. The same machine gives the same places; another
    may differ in the last digits, and so, after many steps, in the picture.

    Args:
        points: at least 4.
        seed: of the start.

    Raises:
        UsageError: there are fewer than 4 points, or scikit-learn is not installed.
    """
    n = len(points.domains)
    if n < 4:
        raise UsageError(f"a map of {n} samples cannot be laid out; expected at least 4, so choose more products")
    with needed_by("t-SNE", "figures"):
        from sklearn.manifold import TSNE  # type: ignore[import-untyped,unused-ignore]
    from threadpoolctl import threadpool_limits

    # On unit vectors the squared Euclidean distance, which t-SNE takes, is twice the cosine distance.
    method = TSNE(perplexity=min(_PERPLEXITY, (n - 1) / 3), init="pca", random_state=seed, n_jobs=1)
    with threadpool_limits(1):  # the order of sums, and so the picture, would change with the number of threads
        places: npt.NDArray[np.float32] = method.fit_transform(points.vectors)
    return places


def draw_map(points: Points, places: npt.NDArray[np.float32]) -> "Figure":
    """The figure of a map; colours go round the circle of hues, and the legend names the domains.

    Args:
        points: what is shown.
        places: where, [n, 2].

    Raises:
        UsageError: matplotlib is not installed.
    """
    with needed_by("a figure", "figures"):
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    colours = np.array(_colours(len(points.product_ids)))
    figure = Figure(figsize=(_SIDE_INCHES, _SIDE_INCHES), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    shown = in_order(points.domains)
    markers = matplotlib_markers(shown)
    for domain in shown:
        rows = np.array([other == domain for other in points.domains])
        axes.scatter(
            places[rows, 0],
            places[rows, 1],
            c=colours[points.products[rows]],
            marker=markers[domain],
            s=26,
            linewidths=0.4,
            edgecolors="white",
            gid=domain,
        )
    handles = [Line2D([], [], marker=markers[d], linestyle="", color="#555555", label=d) for d in shown]
    axes.legend(handles=handles, loc="upper left", frameon=False)
    return figure


def save_map(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG or SVG; the same figure gives the same bytes.

    Raises:
        UsageError: the name ends otherwise.
    """
    import matplotlib

    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(FORMATS)}")
    kind = path.suffix.lower()[1:]
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    # Without a salt, names inside an SVG are random.
    with atomic_path(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "rope-bench"}):
        figure.savefig(temporary, format=kind, dpi=_DPI, metadata=metadata)


def hex_colours(n: int) -> list[str]:
    """The colours of `n` products, for a page.

    >>> hex_colours(1)
    ['#bf1313']
    """
    return [f"#{''.join(f'{round(255 * part):02x}' for part in colour)}" for colour in _colours(n)]


def _colours(n: int) -> list[tuple[float, float, float]]:
    """`n` colours with different hues; neighbours on the circle differ in brightness too.

    >>> len(set(_colours(30)))
    30
    """
    return [colorsys.hsv_to_rgb(i / n, (0.9, 0.6)[i % 2], (0.75, 0.95, 0.55)[i % 3]) for i in range(n)]
