"""The diagnosis for a terminal."""

from collections.abc import Iterable

from rich.text import Text

from rope.bench.doctor.charts import in_words
from rope.bench.doctor.diagnosis import Diagnosis
from rope.bench.doctor.retrieval import Retrieval
from rope.table import Table

__all__ = ["tables"]

_COLOURS = {"fault": "bold red", "warning": "yellow", "note": "blue"}


def tables(diagnosis: Diagnosis) -> list[Table]:
    """Findings, rows, shapes and gaps; then, where retrieval was looked at, pairs, growth and cost."""
    found = [_findings(diagnosis), _rows(diagnosis)]
    if diagnosis.shapes:
        found.append(_shapes(diagnosis))
    if diagnosis.gaps:
        found.append(_gaps(diagnosis))
    if diagnosis.retrieval is not None:
        found += _retrieval(diagnosis.retrieval)
    return found


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title)
    table.add_column(first)
    table.add_columns(*others)
    return table


def _findings(diagnosis: Diagnosis) -> Table:
    table = Table("Findings", show_lines=True)
    table.add_column("")
    table.add_column("what")
    table.add_column("what to do")
    for finding in diagnosis.findings:
        table.add_row(Text(finding.severity, _COLOURS[finding.severity]), finding.what, finding.advice)
    left_out = [f"left out: {reason}" for reason in diagnosis.skipped]
    table.caption = "\n".join(left_out if diagnosis.findings else ["nothing stands out", *left_out])
    return table


def _rows(diagnosis: Diagnosis) -> Table:
    kinds = ("missing", "unknown", "repeated", "not_finite", "zero", "copies", "copies_across_products")
    table = _table("Rows", "domain", "samples", "usable", *(kind.replace("_", " ") for kind in kinds))
    for domain, report in diagnosis.rows.items():
        counts = (report.n_expected, report.n_usable, *(getattr(report, kind).count for kind in kinds))
        table.add_row(domain, *(f"{count:,}" for count in counts))
    return table


def _shapes(diagnosis: Diagnosis) -> Table:
    headings = ("dim", "effective rank", "participation ratio", "mean cosine", "std", "length 5 %", "median", "95 %")
    table = _table("Lengths and dimensions", "domain", *headings)
    for domain, shape in diagnosis.shapes.items():
        norms = diagnosis.rows[domain].norms
        assert norms is not None, "a domain with a shape has usable rows"
        table.add_row(
            domain,
            f"{diagnosis.rows[domain].dim:,}",
            f"{shape.effective_rank:.1f}",
            f"{shape.participation_ratio:.1f}",
            _decimal(shape.mean_cosine, 3),
            _decimal(shape.std_cosine, 3),
            *(f"{length:.4g}" for length in (norms.p5, norms.median, norms.p95)),
        )
    return table


def _gaps(diagnosis: Diagnosis) -> Table:
    table = _table("Gap between domains", "", "distance", "spread", "ratio", "told apart, %")
    for name, gap in diagnosis.gaps.items():
        table.add_row(
            name, f"{gap.distance:.2f}", f"{gap.spread:.2f}", _decimal(gap.ratio, 2), _percent(gap.told_apart)
        )
    return table


def _retrieval(retrieval: Retrieval) -> Iterable[Table]:
    yield _pairs(retrieval)
    yield _consistency(retrieval)
    if retrieval.mean_growth is not None:
        table = _table(
            f"As the gallery grows, mean of the {_n_pairs(retrieval)} pairs in %",
            "negatives",
            "R@1",
            "R@10",
            "R@1, one positive",
        )
        growth = retrieval.mean_growth
        for size, *values in zip(
            retrieval.sizes, growth.r_at_1, growth.r_at_10, growth.r_at_1_one_positive, strict=True
        ):
            table.add_row(f"{size:,}", *map(_percent, values))
        yield table
    if retrieval.frontier is not None:
        table = _table("What smaller vectors would cost", "variant", "bytes", "mean R@1, %", "change", "rows lost")
        for point in retrieval.frontier:
            accuracy = point.accuracy
            change = f"{100 * accuracy.change:+.1f}"
            table.add_row(
                point.name, f"{point.bytes_per_sample:,}", _percent(accuracy.headline), change, f"{accuracy.n_lost:,}"
            )
        yield table


def _pairs(retrieval: Retrieval) -> Table:
    headings = (
        "R@1, %",
        "by chance, %",
        "if centred",
        "ties",
        "hub skewness",
        "never found, %",
        "top 1 % holds, %",
        "queries",
    )
    table = _table(f"{_n_pairs(retrieval).capitalize()} pairs", "pair", *headings)
    for name, pair in retrieval.pairs.items():
        table.add_row(
            name,
            _percent(pair.r_at_1),
            _percent(pair.r_at_1_by_chance),
            f"{100 * retrieval.centred.changes[name]:+.1f}",
            f"+{_percent(pair.r_at_1_optimistic - pair.r_at_1)}",
            _decimal(pair.hubs.skewness, 2),
            _percent(pair.hubs.never),
            _percent(pair.hubs.top_percent),
            f"{pair.n_queries:,}",
        )
    headline, centred = _percent(retrieval.full.headline), _percent(retrieval.centred.headline)
    table.caption = (
        f"mean R@1 of the {_n_pairs(retrieval)} pairs: {headline}; by chance: {_percent(retrieval.by_chance)}; with "
        f"each domain mean-centred: {centred}"
    )
    return table


def _consistency(retrieval: Retrieval) -> Table:
    table = _table("Balance", "", "")
    for name, difference in retrieval.asymmetry.items():
        first, second = name.split("-")
        table.add_row(f"R@1 of {first}2{second} less {second}2{first}, points", f"{100 * difference:+.1f}")
    for domain, value in retrieval.by_domain.items():
        weakest = " (lowest)" if domain == retrieval.bottleneck else ""
        table.add_row(f"mean R@1 of the pairs of {domain}{weakest}, %", _percent(value))
    for route, triangle in retrieval.triangles.items():
        table.add_row(f"{route} returns, %", _percent(triangle.returns))
        table.add_row(f"{route} with every hop right, %", _percent(triangle.stays))
    return table


def _n_pairs(retrieval: Retrieval) -> str:
    return in_words(len(retrieval.pairs))


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def _decimal(number: float | None, digits: int) -> str:
    return "-" if number is None else f"{number:.{digits}f}"
