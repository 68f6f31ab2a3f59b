"""Drawings of the model pages: inline SVG, coloured by the style sheet."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from markupsafe import Markup

from leaderboard.board import HEADLINE, Board, BoardRow
from leaderboard.entry import LeaderboardEntry
from leaderboard.projection import MapPoint
from rope.bench.doctor.charts import Line, in_words, lines, pair_style
from rope.bench.doctor.growth import expected_hits, gallery_sizes
from rope.bench.doctor.markers import shapes_of
from rope.bench.metrics import KS, mean
from rope.bench.stats.query_ranks import PairRanks, QueryRanks
from rope.domain import DomainName, domains_of

__all__ = ["cost_charts", "growth_chart", "hit_rate_chart", "map_chart"]


def hit_rate_chart(entry: LeaderboardEntry) -> Markup | None:
    """R@k of the cross-domain pairs over k; None where no pair has two values of k."""
    series = []
    for name in entry.pairs:
        points = [(float(k), value) for k in KS if (value := entry.value(name, f"R@{k}")) is not None]
        if len(points) > 1:
            series.append(Line(name, pair_style(name, entry.domains), points))
    title = f"R@k of the {in_words(len(entry.pairs))} pairs, in percent, as k grows"
    return _drawing(lines(title, "k", series)) if series else None


def growth_chart(ranks: QueryRanks, n_gallery: Mapping[str, int]) -> Markup | None:
    """Expected R@1 of the cross-domain pairs in random smaller galleries; None where some query has no negative.

    Args:
        ranks: of the model.
        n_gallery: pair -> gallery samples.
    """
    negatives = {name: n_gallery[name] - ranks.pairs[name].n_positives for name in ranks.cross_pairs}
    domains = domains_of(negatives)
    smallest = min(int(of_pair.min()) for of_pair in negatives.values())
    if smallest < 2:
        return None
    sizes = gallery_sizes(smallest)

    def at(pair: PairRanks, name: str, size: int) -> float:
        return mean(expected_hits(pair.rank - 1, negatives[name], size, 1))

    series = [
        Line(name, pair_style(name, domains), [(float(size), at(ranks.pairs[name], name, size)) for size in sizes])
        for name in negatives
    ]
    title = f"R@1 of the {in_words(len(negatives))} pairs, in percent, as the gallery grows"
    return _drawing(lines(title, _in_both("negatives in the gallery", "候选集中的负样本数"), series))


def cost_charts(board: Board) -> dict[str, Markup]:
    """The headline against what a row costs: bytes of a stored vector, and parameters; best for its cost is joined.

    A cost that fewer than two rows tell has no chart.
    """
    costs: dict[str, tuple[str, Callable[[BoardRow], int | None]]] = {
        "bytes a sample": ("每个样本的字节数", _bytes_of),
        "parameters": ("参数量", lambda row: row.entry.card.parameters),
    }
    charts = {}
    for label, (chinese, cost_of) in costs.items():
        points = [
            (cost, row.cells[HEADLINE].value, row.name)
            for row in board.rows
            if HEADLINE in row.cells and row.entry.status != "reranked" and (cost := cost_of(row))
        ]
        if len(points) > 1:
            charts[label] = _drawing(
                lines(f"{HEADLINE[0]} against {label}", _in_both(label, chinese), _cost_lines(points))
            )
    return charts


def _bytes_of(row: BoardRow) -> int | None:
    """Of the numbers of a vector as they are stored; None where no vectors are known, or they are not all it takes."""
    score = row.entry.score
    if score is None or row.entry.status == "reranked":
        return None
    note = score["embeddings"][row.entry.domains[0]]
    return int(note["dim"]) * int(np.dtype(note["stored_dtype"]).itemsize)


def _cost_lines(points: Sequence[tuple[int, float, str]]) -> list[Line]:
    """The frontier, from the cheapest row on each that is better than all cheaper ones; and a point for each other."""
    frontier: list[tuple[int, float, str]] = []
    rest: list[tuple[int, float, str]] = []
    for point in sorted(points, key=lambda one: (one[0], -one[1], one[2])):
        (frontier if not frontier or point[1] > frontier[-1][1] else rest).append(point)
    others = [Line(escape(name), "beside", [(float(cost), value)], joined=False) for cost, value, name in rest]
    names = [escape(name) for _, _, name in frontier]
    return [*others, Line("best for its cost", "frontier", [(float(c), v) for c, v, _ in frontier], names)]


def map_chart(points: Sequence[MapPoint], domains: Sequence[DomainName]) -> Markup | None:
    """Samples by their first two principal components: the product is the colour, the domain is the shape.

    Args:
        points: the samples; None comes back where there are none.
        domains: of the dataset, in order.
    """
    if not points:
        return None
    width, height, margin = 520, 360, 16
    left, right = min(point.x for point in points), max(point.x for point in points)
    low, high = min(point.y for point in points), max(point.y for point in points)
    scale = min((width - 2 * margin) / max(right - left, 1e-9), (height - 2 * margin) / max(high - low, 1e-9))
    parts, shapes = [], shapes_of(domains)
    for point in points:
        x = width / 2 + (point.x - (left + right) / 2) * scale
        y = height / 2 - (point.y - (low + high) / 2) * scale
        parts.append(
            f'<g class="product-{point.product}" transform="translate({x:.1f} {y:.1f})">{shapes[point.domain]}</g>'
        )
    title = "Samples of eight products by their first two principal components"
    return _drawing(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{"".join(parts)}</svg>')


def _in_both(english: str, chinese: str) -> str:
    """The label of an axis in both languages; the style sheet shows one."""
    return f'<tspan class="t" lang="en">{english}</tspan><tspan class="t" lang="zh">{chinese}</tspan>'


def _drawing(svg: str) -> Markup:
    """Let a chart through the template's escaping: its texts are ours, its numbers are numbers."""
    return Markup(svg)  # noqa: S704
