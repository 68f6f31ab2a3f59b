import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cope.cli import app
from cope.recipe import PRESETS


def test_recipes_are_listed_and_printed():
    listed = CliRunner().invoke(app, ["recipes"]).output
    assert [line.split()[0] for line in listed.splitlines()] == list(PRESETS)
    printed = CliRunner().invoke(app, ["recipe", "paper"]).output
    assert "batch_size: 84" in printed.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe", "papr"], "papr: neither a file nor a preset; presets are"),
        (["train", "nowhere", "--out", "run", "--preset", "tiny"], "nowhere"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments, message, tmp_path):
    done = subprocess.run([sys.executable, "-m", "cope", *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) in {(1, 1), (2, 1)}
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_help_needs_neither_torch_nor_transformers():
    code = "import sys; from cope.cli import app; print({'torch', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
