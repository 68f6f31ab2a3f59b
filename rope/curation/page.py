"""The report as one HTML file that needs nothing else: no script, no font, no image from elsewhere."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from rope.curation.report import CurationReport, Scores, StageReport
from rope.curation.row_pictures import RowPictures
from rope.dataset.pictures import SamplePicture

__all__ = ["page_template", "render_page"]

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 420, 144, 16, 20


def page_template(name: str) -> Template:
    """A template of this package, whose values are shown as they are and must all be there."""
    environment = Environment(
        loader=PackageLoader("rope.curation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"histograms": _histograms, "value": _value}
    return environment.get_template(name)


def render_page(report: CurationReport) -> str:
    """Render the page: a complete HTML document, the same for the same report and images."""
    pictures = RowPictures()

    def picture(row_id: str) -> SamplePicture:
        return pictures.of(report.records.get(row_id))

    return page_template("page.html.j2").render(
        report=report, n_raw=report.stages[0].count.rows_in, picture=picture, records=report.records
    )


def _value(value: object) -> str:
    """The value of an option in a line.

    >>> _value({"live": 0.1}), _value([]), _value(True)
    ('live 0.1', 'none', 'yes')
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _histograms(stage: StageReport) -> list[tuple[str, Markup]]:
    """A drawing for each domain: kept rows stacked on those that were not, and the cut."""
    scores = stage.scores
    if scores is None:
        return []
    domains = sorted({*scores.kept, *scores.rejected})
    return [(domain, _histogram(scores, domain, stage.cuts.get(domain, ()))) for domain in domains]


def _histogram(scores: Scores, domain: str, cuts: Sequence[float | None]) -> Markup:
    n_bins = len(next(iter([*scores.kept.values(), *scores.rejected.values()])))
    kept = scores.kept.get(domain, (0,) * n_bins)
    rejected = scores.rejected.get(domain, (0,) * n_bins)
    unit = (_HEIGHT - _BOTTOM - _TOP) / max(map(sum, zip(kept, rejected, strict=True)))
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
    for cut in cuts:
        if cut is None or not scores.low <= cut <= scores.high:
            continue
        at = _WIDTH * (cut - scores.low) / ((scores.high - scores.low) or 1)
        anchor = "start" if at < _WIDTH / 2 else "end"
        parts.append(f'<line class="cut" x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="{floor}"/>')
        shift = 5 if anchor == "start" else -5
        parts.append(f'<text x="{at + shift:.1f}" y="12" text-anchor="{anchor}">cut {cut:g}</text>')
    label = f"{scores.column} of {domain}: {sum(kept):,} kept, {sum(rejected):,} rejected"
    drawing = "".join(parts)  # numbers and words of ours
    return Markup(f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{drawing}</svg>')  # noqa: S704
