"""The diagnosis as one HTML file that needs nothing else: no script, no font, no image from elsewhere.

The template sees the JSON of the diagnosis and pictures, so the page cannot show a number that is not in that JSON.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rope.bench.doctor.charts import Line, histograms, in_words, lines, pair_style, tones_of
from rope.bench.doctor.diagnosis import Diagnosis, as_json
from rope.bench.doctor.markers import shapes_of
from rope.bench.io.provenance import Provenance
from rope.dataset.pictures import SamplePicture
from rope.domain import DomainName, Pair, cross_domain_pairs, domain_of_label, domains_of, pair_of

__all__ = ["render_page"]


def render_page(
    diagnosis: Diagnosis,
    provenance: Provenance,
    pictures: Mapping[DomainName, Mapping[str, SamplePicture]] | None = None,
) -> str:
    """Render the page: a complete HTML document, the same for the same diagnosis and provenance.

    Args:
        diagnosis: of the embeddings.
        provenance: what they are called; its notes on the embeddings are not shown.
        pictures: domain -> sample id -> what is shown of the worst hubs; None for their ids alone.
    """
    data = as_json(diagnosis)
    environment = Environment(
        loader=PackageLoader("rope.bench.doctor", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "decimal": _decimal, "in_words": in_words}
    environment.filters |= {"domain": domain_of_label, "arrow": _arrow, "pair_style": pair_style}
    template = environment.get_template("page.html.j2")
    domains = list(data["rows"])
    return template.render(
        data=data,
        provenance=provenance,
        domains=domains,
        tones=tones_of(domains),
        shapes=shapes_of(domains),
        n_pairs=len(cross_domain_pairs(domains)),
        pair=Pair,
        pair_of=pair_of,
        pictures=pictures or {},
        nothing=SamplePicture((), None),
        charts=_charts(data),
    )


def _percent(fraction: float | None, digits: int = 1) -> str:
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def _points(fraction: float) -> str:
    """A difference in percentage points, with its sign.

    >>> _points(-0.0123), _points(0.0)
    ('−1.2', '+0.0')
    """
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _arrow(name: str) -> str:
    """A pair as it is read.

    >>> _arrow("P2V")
    'P→V'
    """
    return name.replace("2", "→")


def _decimal(number: float | None, digits: int = 2) -> str:
    return "–" if number is None else f"{number:,.{digits}f}"


def _charts(data: dict[str, Any]) -> dict[str, Any]:
    retrieval = data["retrieval"]
    charts: dict[str, Any] = {
        "gaps": {name: _gap_chart(name, gap) for name, gap in data["gaps"].items() if gap["edges"]},
        "spectrum": _spectrum_chart(data["shapes"]),
        "growth": None,
        "growth_mean": None,
        "frontier": None,
    }
    if retrieval and retrieval["sizes"]:
        charts["growth"] = _growth_chart(retrieval)
        charts["growth_mean"] = _mean_growth_chart(retrieval)
    if retrieval and retrieval["frontier"]:
        charts["frontier"] = _frontier_chart(retrieval["frontier"])
    return charts


def _gap_chart(name: str, gap: dict[str, Any]) -> Markup:
    first, second = (domain_of_label(label) for label in name.split("-"))
    shares = [(f"of-{first}", gap["first"]), (f"of-{second}", gap["second"])]
    return _drawing(histograms(f"{first} and {second} along the line through their centroids", gap["edges"], shares))


def _spectrum_chart(shapes: dict[str, Any]) -> Markup | None:
    series = [
        Line(domain, f"of-{domain}", [(int(n), share) for n, share in shape["cumulative"].items()])
        for domain, shape in shapes.items()
        if shape["cumulative"]
    ]
    return _drawing(lines("Variance held by the first directions", "principal directions", series)) if series else None


def _growth_chart(retrieval: dict[str, Any]) -> Markup:
    series = [
        Line(
            name,
            pair_style(name, domains_of(retrieval["growth"])),
            list(zip(retrieval["sizes"], growth["r_at_1"], strict=True)),
        )
        for name, growth in retrieval["growth"].items()
    ]
    return _drawing(lines("R@1 as the gallery grows, by pair", "negatives in the gallery", series))


def _mean_growth_chart(retrieval: dict[str, Any]) -> Markup:
    names = {"r_at_10": "R@10", "r_at_1": "R@1", "r_at_1_one_positive": "R@1, one positive"}
    n_pairs, series = in_words(len(retrieval["pairs"])), []
    for key, name in names.items():
        points = list(zip(retrieval["sizes"], retrieval["mean_growth"][key], strict=True))
        series.append(Line(name, f"curve-{key.replace('_', '-')}", points))
    return _drawing(lines(f"Mean of the {n_pairs} pairs as the gallery grows", "negatives in the gallery", series))


def _frontier_chart(frontier: list[dict[str, Any]]) -> Markup:
    def line(style: str, points: list[dict[str, Any]], *, joined: bool) -> Line:
        places = [(point["bytes_per_sample"], point["accuracy"]["headline"]) for point in points]
        return Line("headline", style, places, [point["name"] for point in points], joined)

    floats = [point for point in frontier if point["name"] not in ("int8", "binary")]
    codes = [point for point in frontier if point["name"] in ("int8", "binary")]
    series = [line("curve-r-at-1", floats, joined=True), line("curve-codes", codes, joined=False)]
    return _drawing(lines("R@1 against bytes a sample", "bytes a sample", series))


def _drawing(svg: str) -> Markup:
    """Let a chart through the template's escaping: its texts are names of ours, its numbers are numbers."""
    return Markup(svg)  # noqa: S704
