"""The tutorials, followed from their first command to their last."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
MAIN = {"rope": "rope.cli", "rope-bench": "rope.bench.cli"}

SAID = {
    "score-your-vectors.md": ["mean R@1 of the six cross-domain pairs", "Models share a rank", "wrote doctor.html"],
    "run-your-model.md": ["grid-4: 0 vectors kept", "grid-4 - grid-2", "product size", "mean R@1 of the 6 cross"],
    "curate-a-pool.md": ["forecast for 1,000,000 rows", "first: what became of 344 rows", "curated: sound"],
}
"""What the commands of each page must print, in order."""


def follow(page: Path, folder: Path) -> str:
    """Write the files of a page and run its commands; returns all that they printed."""
    said = ""
    environment = os.environ | {"ROPE_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hf"), "COLUMNS": "200"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TUTORIALS.parents[1]), os.environ.get("PYTHONPATH", "")])
    for kind, text in re.findall(r"```(\w+)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        if kind != "sh":
            (folder / text.partition("\n")[0].removeprefix("# ")).write_text(text, "utf-8")
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line)
            start = [] if program == "python" else ["-c", f"from {MAIN[program]} import main; main()"]
            command = [sys.executable, *start, *words]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            said += done.stdout + done.stderr
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_a_tutorial_works_as_it_stands(name, tmp_path):
    said = follow(TUTORIALS / name, tmp_path)
    found = [said.find(text) for text in SAID[name]]
    assert -1 not in found, said
    assert found == sorted(found)


def test_every_tutorial_is_followed():
    assert {page.name for page in TUTORIALS.glob("*.md")} == set(SAID)
