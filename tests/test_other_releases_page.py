"""The example of docs/other-releases.md does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rope.sources.faults import RULES
from rope.sources.formats import FORMATS

PAGE = (Path(__file__).parents[1] / "docs" / "other-releases.md").read_text("utf-8")


def block(language: str, after: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_builds_and_is_sound(tmp_path, monkeypatch):
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    subprocess.run([sys.executable, "-c", block("python", "A complete example")], check=True, cwd=tmp_path)
    commands = [line.split() for line in block("sh", "A complete example").splitlines()]
    for command in [command for command in commands if command[0] == "rope"]:
        module = "from rope.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", module, *command[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "validation: 2 products, 2 pages, 2 videos, 0 lives" in done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_named(name):
    assert name in PAGE or name == "rope"


def test_the_faults_of_the_page_are_faults():
    table = PAGE[PAGE.index("| kind |") : PAGE.index("In a JSON file")]
    kinds = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert len(kinds) == 9
    assert set(kinds) <= set(RULES)
