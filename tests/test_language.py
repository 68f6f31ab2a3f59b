"""Plain, current English in the pages, help texts, docstrings and messages: phrases that had crept in stay out."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *(ROOT / "docs").rglob("*.md")]
MODULES = [path for name in ("rope", "cope", "baselines", "leaderboard") for path in (ROOT / name).rglob("*.py")]

PLAIN = {
    r"\blest\b": "so that ... does not",
    r"\bwere it \w+ed\b|\bbe it an?\b": "if it were; whether it is",
    r"\bsave for\b": "except for",
    r"\b(?:where|there|here)(?:in|of|to|upon)\b": "in which, of it",
    r"\bas yet\b": "yet, so far",
    r"\bheed(?:s|ed)?\b": "follow, take into account",
    r"\bby heart\b": "memorised",
    r"\bparted by\b": "separated by",
    r"\bin the place of\b": "instead of",
    r"\bnothing but (?!each\b)": "only",
    r"\bone's own\b": "your own",
    r"\bas strangers\b": "initialised separately",
    r"\bto the (?:same )?bits?\b": "bitwise equal, bit for bit",
    r"\bbut (?:twice|(?:two|three|four|five|ten) times)\b": "only twice, only five times",
    r"\bthere is no such (?:file|folder|column|name|option|model|pair|stage)\b": "does not exist, is unknown",
    r"\b(?:that|which|what) is no (?:answer|page|number|product|image|video|model|sample)\b": "is not a(n) ...",
    r"\bhow far (?:it|each \w+) is\b": "its progress",
    r"\bslower than it need be\b": "slower than necessary",
}
"""Pattern -> the plain form. Common words with a plain use, such as whose and nor, are not listed."""


def sentences() -> Iterator[tuple[str, str]]:
    """Place and text of each paragraph of a page outside code, and of each string of a module, docstrings included."""
    for page in PAGES:
        text = re.sub(
            r"^ *```.*?^ *```", lambda code: "\n" * code[0].count("\n"), page.read_text("utf-8"), flags=re.S | re.M
        )
        for found in re.finditer(r"(?:^.*\S.*\n?)+", text, re.MULTILINE):
            yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", found[0]
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield f"{module.relative_to(ROOT)}:{node.lineno}", node.value


@cache
def suspects() -> list[tuple[str, str]]:
    """Those in which any of the patterns is found, on one line each."""
    any_of = re.compile("|".join(PLAIN), re.IGNORECASE)
    flat = ((place, " ".join(text.split())) for place, text in sentences())
    return [(place, text) for place, text in flat if any_of.search(text)]


@pytest.mark.parametrize("pattern", PLAIN)
def test_a_phrase_that_nobody_says_today_is_not_written(pattern):
    found = [
        f"{place}: ...{text[max(0, hit.start() - 40) : hit.end() + 30]}..."
        for place, text in suspects()
        for hit in re.finditer(pattern, text, re.IGNORECASE)
    ]
    assert not found, f"write instead: {PLAIN[pattern]}\n" + "\n".join(found)
