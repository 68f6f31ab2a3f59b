"""Drawings of the model pages: inline SVG, coloured by the style sheet."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from leaderboard.entry import Entry
from leaderboard.projection import Point
from rope.bench.doctor.charts import Line, lines
from rope.bench.doctor.growth import expected_hits, gallery_sizes
from rope.bench.metrics import KS, mean
from rope.bench.ranks import PairRanks, Ranks
from rope.domain import CROSS_DOMAIN_PAIRS, DOMAINS, LETTER_OF

__all__ = ["growth_chart", "hit_rate_chart", "map_chart", "pair_style"]

_DOMAIN_OF = {letter: domain for domain, letter in LETTER_OF.items()}


def pair_style(name: str) -> str:
    """Classes of a pair: the colour of the query's domain; the second of a domain's two pairs is dashed.

    >>> pair_style("P2V"), pair_style("P2L")
    ('of-page', 'of-page dashed')
    """
    query, gallery = name.split("2")
    dashed = " dashed" if gallery == "L" or (query, gallery) == ("L", "V") else ""
    return f"of-{_DOMAIN_OF[query]}{dashed}"


def hit_rate_chart(entry: Entry) -> Markup | None:
    """R@k of the six pairs over k; None where no pair has two values of k."""
    series = []
    for pair in CROSS_DOMAIN_PAIRS:
        points = [(float(k), value) for k in KS if (value := entry.value(pair.name, f"R@{k}")) is not None]
        if len(points) > 1:
            series.append(Line(pair.name, pair_style(pair.name), points))
    return _drawing(lines("R@k of the six pairs, in percent, as k grows", "k", series)) if series else None


def growth_chart(ranks: Ranks, n_gallery: Mapping[str, int]) -> Markup | None:
    """Expected R@1 of the six pairs in random smaller galleries; None where some query has no negative.

    Args:
        ranks: of the model.
        n_gallery: pair -> gallery samples.
    """
    negatives = {pair.name: n_gallery[pair.name] - ranks.pairs[pair.name].n_positives for pair in CROSS_DOMAIN_PAIRS}
    smallest = min(int(of_pair.min()) for of_pair in negatives.values())
    if smallest < 2:
        return None
    sizes = gallery_sizes(smallest)

    def at(pair: PairRanks, name: str, size: int) -> float:
        return mean(expected_hits(pair.rank - 1, negatives[name], size, 1))

    series = [
        Line(name, pair_style(name), [(float(size), at(ranks.pairs[name], name, size)) for size in sizes])
        for name in negatives
    ]
    return _drawing(lines("R@1 of the six pairs, in percent, as the gallery grows", "negatives in the gallery", series))


def map_chart(points: Sequence[Point]) -> Markup | None:
    """Samples by their first two principal components: the product is the colour, the domain is the shape."""
    if not points:
        return None
    width, height, margin = 520, 360, 16
    left, right = min(point.x for point in points), max(point.x for point in points)
    low, high = min(point.y for point in points), max(point.y for point in points)
    scale = min((width - 2 * margin) / max(right - left, 1e-9), (height - 2 * margin) / max(high - low, 1e-9))
    parts = []
    for point in points:
        x = width / 2 + (point.x - (left + right) / 2) * scale
        y = height / 2 - (point.y - (low + high) / 2) * scale
        parts.append(
            f'<g class="product-{point.product}" transform="translate({x:.1f} {y:.1f})">{_SHAPES[point.domain]}</g>'
        )
    title = "Samples of eight products by their first two principal components"
    return _drawing(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{"".join(parts)}</svg>')


_SHAPES = dict(
    zip(
        DOMAINS,
        (
            '<rect x="-4" y="-4" width="8" height="8" rx="1"/>',
            '<circle r="4.4"/>',
            '<path d="M0,-5.6 L5.2,4 L-5.2,4 Z"/>',
        ),
        strict=True,
    )
)


def _drawing(svg: str) -> Markup:
    """Let a chart through the template's escaping: its texts are ours, its numbers are numbers."""
    return Markup(svg)  # noqa: S704
