"""Drawings for the page: inline SVG, coloured by the page's style sheet so that they follow light and dark."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from rope.domain import DOMAINS, DomainName, pair_of

__all__ = ["Line", "compact", "histograms", "in_words", "lines", "pair_style", "tones_of"]

_OTHER_TONES: Final = ("#9a5bd6", "#c2418f", "#7d8f1a", "#1597ab")
"""In turn; they can be read on light and on dark ground."""

_WORDS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten", 12: "twelve"}
_STROKES: Final = ("", " dashed", " dotted")

_WIDTH: Final = 520
_HEIGHT: Final = 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 24, 22, 40
_LABEL_WIDTH: Final = 38
_LETTER: Final = 6.5
"""About the width of a letter of a label."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the tooltip, plain text.
        style: classes of the style sheet.
        points: (x, y) from left to right; x is positive, y a fraction.
        labels: a text beside each point, or none at all.
        joined: whether the points are joined by a line.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()
    joined: bool = True


def lines(title: str, x_label: str, series: Sequence[Line]) -> str:
    """Lines over a logarithmic x axis; y in percent, from 0 or from just below the lowest point, as it fits."""
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    low, high, step = _span(min(ys), max(ys))
    left, right = math.log(min(xs)), math.log(max(xs))

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log(x) - left) / (right - left) if right > left else 0.5
        return (
            _LEFT + share * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = []
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        y = place(math.exp(left), value)[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * value:g}</text>')
    for value, x in _thin([(value, place(value, low)[0]) for value in sorted(set(xs))]):
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{compact(value)}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end" class="axis">{x_label}</text>')
    for line in series:
        parts += _draw(line, [place(x, y) for x, y in line.points])
    return _svg(title, _WIDTH, _HEIGHT, parts)


def _draw(line: Line, points: Sequence[tuple[float, float]]) -> list[str]:
    parts = []
    if line.joined:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {line.style}" points="{path}"><title>{line.name}</title></polyline>')
    for (x, y), (_, value) in zip(points, line.points, strict=True):
        tip = f"{line.name}: {100 * value:.1f} %"
        parts.append(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{tip}</title></circle>')
    for (x, y), label in zip(points, line.labels, strict=False):
        dx, anchor = (4, "end") if x - _LETTER * len(label) > _LEFT else (-4, "start")
        parts.append(f'<text class="label" x="{x + dx:.1f}" y="{y - 8:.1f}" text-anchor="{anchor}">{label}</text>')
    return parts


def histograms(title: str, edges: Sequence[float], shares: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Overlaid histograms with the same bins, each as (classes, share in each bin)."""
    width, height, bottom = 300, 120, 18
    highest = max(max(of_one) for _, of_one in shares)
    step = width / (len(edges) - 1)
    parts = []
    for style, of_one in shares:
        tops = [height - bottom - share / highest * (height - bottom - 6) for share in of_one]
        path = " ".join(f"H{i * step:.1f} V{y:.1f} H{(i + 1) * step:.1f}" for i, y in enumerate(tops))
        parts.append(f'<path class="area {style}" d="M0,{height - bottom} {path} V{height - bottom} Z"/>')
    parts.append(f'<line class="axis-line" x1="0" x2="{width}" y1="{height - bottom}" y2="{height - bottom}"/>')
    parts.append(f'<line class="middle" x1="{width / 2}" x2="{width / 2}" y1="0" y2="{height - bottom}"/>')
    for x, value, anchor in ((0, edges[0], "start"), (width / 2, 0.0, "middle"), (width, edges[-1], "end")):
        parts.append(f'<text x="{x}" y="{height - 4}" text-anchor="{anchor}">{value:.2f}</text>')
    return _svg(title, width, height, parts)


def pair_style(name: str, domains: Sequence[DomainName]) -> str:
    """Classes of a pair: the colour of the query's domain, and one stroke for each of its galleries.

    From the third gallery on all strokes are dotted.

    >>> [pair_style(name, ["page", "video", "live"]) for name in ("P2V", "P2L", "L2P")]
    ['of-page', 'of-page dashed', 'of-live']
    """
    pair = pair_of(name)
    place = [domain for domain in domains if domain != pair.query].index(pair.gallery)
    return f"of-{pair.query}{_STROKES[min(place, len(_STROKES) - 1)]}"


def tones_of(domains: Iterable[DomainName]) -> dict[DomainName, str]:
    """The colours of those domains that are none of ROPE's, for which the style sheets have none.

    >>> tones_of(["page", "review"])
    {'review': '#9a5bd6'}
    """
    return dict(zip((domain for domain in domains if domain not in DOMAINS), cycle(_OTHER_TONES), strict=False))


def in_words(number: int) -> str:
    """A small number of domains or pairs as a word, a larger one in digits; pairs are even in number.

    >>> in_words(6), in_words(20)
    ('six', '20')
    """
    return _WORDS.get(number, str(number))


def compact(number: float) -> str:
    """A count in few characters.

    >>> compact(512), compact(2_000), compact(29_782), compact(1_500_000)
    ('512', '2,000', '29.8k', '1.5M')
    """
    if number >= 1_000_000:
        return f"{number / 1_000_000:.3g}M"
    return f"{number / 1000:.3g}k" if number >= 10_000 else f"{number:,g}"


def _thin(marks: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of marks (value, place), ascending, those whose labels do not run into one another; the last one always.

    >>> _thin([(1, 0.0), (2, 10.0), (3, 50.0), (4, 60.0)])
    [(2, 10.0), (4, 60.0)]
    """
    kept = [marks[-1]]
    for mark in reversed(marks[:-1]):
        if kept[-1][1] - mark[1] >= _LABEL_WIDTH:
            kept.append(mark)
    return kept[::-1]


def _span(lowest: float, highest: float) -> tuple[float, float, float]:
    """Bottom, top and step of a percentage axis that holds two fractions, in about five steps.

    >>> _span(0.02, 0.9)
    (0.0, 1.0, 0.2)
    """
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if highest - lowest <= 5 * step)
    bottom = math.floor(lowest / step + 1e-9) * step
    top = max(math.ceil(highest / step - 1e-9) * step, bottom + step)
    return bottom, top, step


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
