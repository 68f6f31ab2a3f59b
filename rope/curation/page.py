"""The report as one HTML file that needs nothing else: no script, no font, no image from elsewhere."""

import base64
import io
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from rope.curation.report import CurationReport, Scores
from rope.domain import Frame
from rope.errors import DatasetError
from rope.media import decode_frame

__all__ = ["render_page"]

_SIDE: Final = 120
"""Pixels of the longer side of an example."""

_WIDTH, _HEIGHT, _BOTTOM = 420, 130, 20


def render_page(report: CurationReport) -> str:
    """Render the page: a complete HTML document, the same for the same report and images."""
    environment = Environment(
        loader=PackageLoader("rope.curation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thumbnail": _thumbnail, "histograms": _histograms}
    return environment.get_template("page.html.j2").render(report=report, n_raw=report.stages[0].count.rows_in)


def _thumbnail(frame: Frame | None) -> Markup:
    """An image element that holds its image; a grey box where there is none that can be read."""
    try:
        pixels = None if frame is None else decode_frame(frame)
    except DatasetError:
        pixels = None
    if pixels is None:
        return Markup('<div class="none">no image</div>')
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=80)
    data = base64.b64encode(stored.getvalue()).decode("ascii")
    return Markup('<img alt="" src="data:image/jpeg;base64,{}">').format(data)


def _histograms(scores: Scores) -> list[tuple[str, Markup]]:
    """A drawing for each domain: kept rows stacked on those that were not."""
    domains = sorted({*scores.kept, *scores.rejected})
    return [(domain, _histogram(scores, domain)) for domain in domains]


def _histogram(scores: Scores, domain: str) -> Markup:
    n_bins = len(next(iter([*scores.kept.values(), *scores.rejected.values()])))
    kept = scores.kept.get(domain, (0,) * n_bins)
    rejected = scores.rejected.get(domain, (0,) * n_bins)
    unit = (_HEIGHT - _BOTTOM - 4) / max(map(sum, zip(kept, rejected, strict=True)))
    step, floor = _WIDTH / n_bins, _HEIGHT - _BOTTOM
    parts = []
    for i, (n_kept, n_rejected) in enumerate(zip(kept, rejected, strict=True)):
        for style, n, below in (("rejected", n_rejected, 0), ("kept", n_kept, n_rejected)):
            if n:
                y, height = floor - (below + n) * unit, n * unit
                parts.append(
                    f'<rect class="{style}" x="{i * step:.1f}" y="{y:.1f}" width="{step - 1:.1f}" '
                    f'height="{height:.1f}"><title>{n:,} {style}</title></rect>'
                )
    for x, value, anchor in ((0, scores.low, "start"), (_WIDTH, scores.high, "end")):
        parts.append(f'<text x="{x}" y="{_HEIGHT - 4}" text-anchor="{anchor}">{value:.3g}</text>')
    parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{floor}" y2="{floor}"/>')
    drawing = "".join(parts)  # numbers and words of ours
    return Markup(f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{drawing}</svg>')  # noqa: S704
