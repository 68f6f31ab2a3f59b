"""What stands for a sample of each domain wherever samples are drawn: on maps, in galleries, in legends."""

from collections.abc import Iterable
from itertools import cycle
from typing import Final

from markupsafe import Markup

from rope.domain import DomainName

__all__ = ["matplotlib_markers", "shapes_of"]

_MARKERS: Final[dict[DomainName, tuple[str, str]]] = {
    "page": ('<rect x="-4" y="-4" width="8" height="8" rx="1"/>', "s"),
    "video": ('<circle r="4.4"/>', "o"),
    "live": ('<path d="M0,-5.6 L5.2,4 L-5.2,4 Z"/>', "^"),
}
"""Domain -> SVG around the origin, and the same marker of matplotlib."""

_OTHERS: Final = (
    ('<path d="M0,-5.8 L5.4,0 L0,5.8 L-5.4,0 Z"/>', "D"),
    ('<path d="M-1.7,-5 h3.4 v3.3 h3.3 v3.4 h-3.3 v3.3 h-3.4 v-3.3 h-3.3 v-3.4 h3.3 Z"/>', "P"),
    ('<path d="M0,5.6 L5.2,-4 L-5.2,-4 Z"/>', "v"),
)
"""Of domains that are none of ROPE's, in turn."""


def _of(domains: Iterable[DomainName]) -> dict[DomainName, tuple[str, str]]:
    others = cycle(_OTHERS)
    return {domain: _MARKERS.get(domain) or next(others) for domain in domains}


def shapes_of(domains: Iterable[DomainName]) -> dict[DomainName, Markup]:
    """The marker of each domain as SVG, around the origin.

    >>> list(shapes_of(["live", "review"]))
    ['live', 'review']
    """
    return {domain: Markup(svg) for domain, (svg, _) in _of(domains).items()}  # noqa: S704 (drawings of this file)


def matplotlib_markers(domains: Iterable[DomainName]) -> dict[DomainName, str]:
    """The marker of each domain in figures.

    >>> matplotlib_markers(["page", "review", "video"])
    {'page': 's', 'review': 'D', 'video': 'o'}
    """
    return {domain: marker for domain, (_, marker) in _of(domains).items()}
