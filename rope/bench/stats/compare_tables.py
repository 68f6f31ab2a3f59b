"""A comparison of models as tables for a terminal, Markdown and LaTeX."""

from rope.bench.stats.compare import MEAN, SIGNIFICANT, Comparison, Difference, Standing, leads
from rope.bench.stats.intervals import Interval
from rope.table import Table

__all__ = ["as_latex", "as_markdown", "difference_table", "standing_table", "where_to_look"]


def standing_table(comparison: Comparison) -> Table:
    """The models with their ranks, the pairs and their mean in percent, for a terminal."""
    table = Table(_title(comparison), " ".join(_footnotes(comparison)), n_keys=2)
    for heading in _standing_headings(comparison):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for standing in comparison.standings:
        values = [_percent(standing.intervals[column].value) for column in comparison.columns]
        cells = (str(standing.rank), standing.model, *values, _range(standing.intervals[MEAN]))
        table.add_row(*cells, *_seeds(standing, comparison))
    if comparison.by_chance is not None:
        table.add_section()
        table.add_row(*_chance_cells(comparison))
    return table


def difference_table(comparison: Comparison) -> Table:
    """Every two models in every column, in percentage points, for a terminal."""
    table = Table("Differences, in percentage points", n_keys=2)
    for heading in _difference_headings(comparison):
        table.add_column(heading, justify="left" if heading in ("models", "on") else "right")
    for one in comparison.differences:
        if one.column == comparison.columns[0]:
            table.add_section()
        names = f"{one.a} - {one.b}" if one.column == comparison.columns[0] else ""
        table.add_row(names, *_cells(one, comparison))
    return table


def where_to_look(comparison: Comparison) -> list[str]:
    """A sentence with the command that shows what the best model finds and the next one doesn't; none if nothing."""
    first, second = (standing.model for standing in comparison.standings[:2])
    between = [one for one in comparison.differences if (one.a, one.b) == (first, second) and one.value > 0]
    if not between:
        return []
    most = max(between, key=lambda one: (one.column != MEAN, one.value))
    pair = f" --pair {most.column}" if most.column != MEAN else ""
    return [
        f"{first} is furthest ahead of {second} in {most.column}, {100 * most.value:+.2f} points; with pictures: "
        f"rope-bench gallery B --against A --choose lost{pair} --html lost.html, where A and B are the embeddings of "
        f"{first} and {second}"
    ]


def as_markdown(comparison: Comparison) -> str:
    """Both tables as Markdown; the best of a column is bold only where it is significantly better than the next."""
    best = {column: leads(comparison, column) for column in comparison.columns}
    lines = [_title(comparison), ""]
    lines += _markdown_head(_standing_headings(comparison))
    for standing in comparison.standings:
        values = [
            f"**{text}**" if best[column] == standing.model else text
            for column in comparison.columns
            for text in [_percent(standing.intervals[column].value)]
        ]
        cells = [str(standing.rank), standing.model, *values, _range(standing.intervals[MEAN])]
        lines.append(_markdown_row(cells + _seeds(standing, comparison)))
    if comparison.by_chance is not None:
        lines.append(_markdown_row(_chance_cells(comparison)))
    lines += ["", *_footnotes(comparison), "", "Differences, in percentage points:", ""]
    lines += _markdown_head(_difference_headings(comparison))
    lines += [_markdown_row([f"{one.a} - {one.b}", *_cells(one, comparison)]) for one in comparison.differences]
    return "\n".join(lines) + "\n"


def as_latex(comparison: Comparison) -> str:
    """The table of models for a paper that loads booktabs; bold as in `as_markdown`."""
    best = {column: leads(comparison, column) for column in comparison.columns}
    lines = [
        f"% {_title(comparison)}",
        *(f"% {note}" for note in _footnotes(comparison)),
        rf"\begin{{tabular}}{{rl{'r' * len(comparison.columns)}}}",
        r"\toprule",
        " & ".join(["Rank", "Model", *(column.replace("2", "$\\to$") for column in comparison.columns)]) + r" \\",
        r"\midrule",
    ]
    for standing in comparison.standings:
        values = [
            rf"\textbf{{{text}}}" if best[column] == standing.model else text
            for column in comparison.columns
            for text in [_percent(standing.intervals[column].value)]
        ]
        mean = standing.intervals[MEAN]
        spread = "" if mean.low is None else rf" {{\scriptsize [{_range(mean).replace(' - ', ', ')}]}}"
        name = _escape(standing.model) + (f" ({_n_seeds(standing)})" if comparison.has_groups else "")
        lines.append(" & ".join([str(standing.rank), name, *values]) + spread + r" \\")
    if comparison.by_chance is not None:
        lines += [r"\midrule", " & ".join(["", *_chance_cells(comparison)[1 : 2 + len(comparison.columns)]]) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _footnotes(comparison: Comparison) -> list[str]:
    shared = (
        "Models share a rank where the best of them is not significantly better in the mean (Holm-corrected p < "
        f"{SIGNIFICANT:g}); intervals and tests are clustered by product."
    )
    return [shared, *comparison.notes]


def _standing_headings(comparison: Comparison) -> list[str]:
    seeds = ["seeds (lowest - highest mean)"] if comparison.has_groups else []
    return ["rank", "model", *comparison.columns, "95 % interval of the mean", *seeds]


def _difference_headings(comparison: Comparison) -> list[str]:
    numbers = ["on", "difference", "95 % interval", "p", "p (Holm)", "won/tied/lost", "detectable"]
    return ["models", *numbers, *(["seeds"] if comparison.has_groups else [])]


def _seeds(standing: Standing, comparison: Comparison) -> list[str]:
    """The cell that says how many seeds a model has; none in a table where all have one."""
    if not comparison.has_groups:
        return []
    if len(standing.runs) == 1:
        return ["one seed: over products alone"]
    low, high = standing.spread(MEAN)
    return [f"{_n_seeds(standing)} ({_percent(low)} - {_percent(high)})"]


def _chance_cells(comparison: Comparison) -> list[str]:
    """The row below the models: what nothing learned comes to, without a rank or an interval."""
    chance = comparison.by_chance or {}
    values = [_percent(chance[column]) for column in comparison.columns]
    return ["-", "random order", *values, "-", *(["-"] if comparison.has_groups else [])]


def _n_seeds(standing: Standing) -> str:
    return "one seed" if len(standing.runs) == 1 else f"{len(standing.runs)} seeds"


def _title(comparison: Comparison) -> str:
    return (
        f"{comparison.metric} in %, {comparison.dataset}, {comparison.split} split ({comparison.fingerprint[:12]}), "
        f"{comparison.n_products:,} products, protocol {comparison.protocol}"
    )


def _cells(one: Difference, comparison: Comparison) -> list[str]:
    cells = [
        one.column,
        f"{100 * one.value:+.2f}",
        f"{100 * one.low:+.2f} to {100 * one.high:+.2f}",
        _p(one.p),
        _p(one.p_holm),
        f"{one.wins:,}/{one.ties:,}/{one.losses:,}",
        _percent(one.detectable),
    ]
    return cells + ([f"{one.runs[0]} against {one.runs[1]}"] if comparison.has_groups else [])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _range(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "-"
    return f"{_percent(interval.low)} - {_percent(interval.high)}"


def _p(value: float) -> str:
    """A p-value in three decimals; never 0.

    >>> _p(0.04999), _p(1e-9)
    ('0.050', '<0.001')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _markdown_head(headings: list[str]) -> list[str]:
    return [_markdown_row(headings), "|" + " --- |" * len(headings)]


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _escape(text: str) -> str:
    r"""Text as LaTeX prints it.

    >>> print(_escape("clip_b/32 & 5%"))
    clip\_b/32 \& 5\%
    """
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in text)
