import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from rope.bench.doctor.charts import Line, lines
from rope.bench.doctor.diagnosis import as_json, diagnose
from rope.bench.doctor.page import render_page
from rope.bench.doctor.tables import tables
from rope.bench.io.provenance import Provenance
from rope.bench.ranking.engine import ComputeSettings
from tests.bench.doctor.cases import as_files, clusters

PROVENANCE = Provenance("a <model> & more", "mini", "0123456789abcdef", "validation", {})


def broken():
    """Embeddings with something of everything: a zero, a NaN, a copy, an id with markup in it."""
    embeddings, labels = as_files(clusters(gap=4.0))
    vectors = embeddings["video"].vectors
    vectors[3], vectors[7, 0], vectors[0] = 0, np.nan, vectors[39]
    embeddings["live"].sample_ids[5] = "[bold]<i>"
    return embeddings, labels


def constant():
    return as_files({domain: (np.ones_like(v), p) for domain, (v, p) in clusters().items()})


def no_live():
    embeddings, labels = as_files(clusters())
    return {domain: embeddings[domain] for domain in ("page", "video")}, labels


CASES = {"clusters": lambda: as_files(clusters(dim=64)), "broken": broken, "constant": constant, "no live": no_live}


class Texts(HTMLParser):
    """The text of table cells and tiles, and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.tags |= {name for name, _ in attributes}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if {"td", "b"} & set(self.open) and "li" not in self.open and "svg" not in self.open:
            self.texts.append(text.strip())


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key, child in value.items() for leaf in (key, *leaves(child))]
    if isinstance(value, list):
        return [leaf for child in value for leaf in leaves(child)]
    return [value]


def spellings(number):
    """Every way in which the page may write a number of the JSON."""
    forms = {f"{number:,.{digits}f}" for digits in range(4)} | {f"{number:.4g}", f"{number:,}"}
    return forms | {f"{100 * number:.1f}", f"{100 * number:+.1f}".replace("-", "−")}


@pytest.mark.parametrize("case", CASES)
def test_every_number_of_the_page_is_in_the_json(case):
    diagnosis = diagnose(*CASES[case](), ComputeSettings())
    page = Texts()
    page.feed(render_page(diagnosis, PROVENANCE))
    values = leaves(as_json(diagnosis))
    known = {form for value in values if isinstance(value, (int, float)) for form in spellings(value)}
    shown = [text for text in page.texts if re.fullmatch(r"[+−]?[\d.,]+(e[+-]\d+)?", text)]
    assert page.open == []
    assert len(shown) > 20
    assert [text for text in shown if text not in known] == []


@pytest.mark.parametrize("case", CASES)
def test_the_page_needs_nothing_else_and_escapes_what_it_is_given(case):
    html = render_page(diagnose(*CASES[case](), ComputeSettings()), PROVENANCE)
    page = Texts()
    page.feed(html)
    assert not page.tags & {"script", "link", "img", "iframe", "src", "href"}
    assert "url(" not in html
    assert "@import" not in html
    assert "a &lt;model&gt; &amp; more" in html
    assert "<i>" not in html


def test_the_page_is_the_same_twice():
    pages = [render_page(diagnose(*CASES["broken"](), ComputeSettings(threads=n)), PROVENANCE) for n in (1, 2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("case", CASES)
def test_the_terminal_shows_findings_and_markup_as_text(case):
    diagnosis = diagnose(*CASES[case](), ComputeSettings())
    console = Console(width=400)
    with console.capture() as capture:
        for table in tables(diagnosis):
            console.print(table)
    text = capture.get()
    for finding in diagnosis.findings:
        assert finding.what in text
    for reason in diagnosis.skipped:
        assert reason in text


@pytest.mark.parametrize("values", [[0.0], [0.5, 0.5], [0.001, 0.002], [0.0, 1.0]])
def test_flat_lines_are_drawn_inside_the_frame(values):
    svg = lines("t", "x", [Line("a", "s", [(i + 1, y) for i, y in enumerate(values)])])
    heights = [float(y) for y in re.findall(r'cy="([^"]+)"', svg)]
    assert all(0 < y < 270 for y in heights)
    assert len(heights) == len(values)
