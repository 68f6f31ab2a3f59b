"""Old names of modules and of what is in them work for a release, and tell the new ones."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from rope.moved import MOVED, RENAMED, RENAMED_OPTIONS, renamed_argument, renamed_attribute


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_name_gives_the_objects_of_the_new_module_and_says_so(old, new):
    try:
        module = importlib.import_module(new)
    except ImportError as error:
        pytest.skip(f"needs {error.name}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        alias = importlib.reload(importlib.import_module(old))
    assert all(getattr(alias, name) is getattr(module, name) for name in getattr(module, "__all__", ()))


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"rope\.bench\.never"):
        importlib.import_module("rope.bench.never")


@pytest.mark.parametrize(("module", "old", "new"), [(m, old, new) for m in RENAMED for old, new in RENAMED[m].items()])
def test_an_old_name_in_a_module_gives_the_object_of_the_new_one_and_says_so(module, old, new):
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"needs {error.name}")
    with pytest.warns(DeprecationWarning, match=f"{module}.{old} is now {module}.{new};"):
        assert getattr(found, old) is getattr(found, new)
    with pytest.raises(AttributeError, match="has no attribute 'never'"):
        found.never  # noqa: B018


def test_old_names_work_in_a_fresh_process_also_through_an_old_module():
    program = """
        from leaderboard.board import Cell
        from baselines.options import Options
        from rope.bench.ranks import Ranks
    """
    command = [sys.executable, "-W", "always", "-c", program.replace("        ", "")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.count("DeprecationWarning") == 4


def test_an_old_argument_and_attribute_work_and_say_what_they_are_called_now():
    @renamed_argument("effort", "compute")
    def function(*, compute):
        return compute

    class Report:
        provenance = 5
        subject = renamed_attribute("subject", "provenance")

    with pytest.warns(DeprecationWarning, match="the argument effort is now compute"):
        assert function(effort=3) == 3
    with pytest.warns(DeprecationWarning, match="the attribute subject is now provenance"):
        assert Report().subject == 5


def old_imports(path: Path) -> list[str]:
    """The old names that a file imports."""
    found = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    return [
        f"{path}: {node.module}.{alias.name}"
        for node in found
        for alias in node.names
        if node.module in MOVED or alias.name in RENAMED.get(node.module or "", {})
    ]


def test_nothing_here_imports_an_old_name(tmp_path):
    root = Path(__file__).parents[1]
    folders = ("rope", "cope", "baselines", "leaderboard", "tests", "benchmarks")
    assert [name for folder in folders for path in (root / folder).rglob("*.py") for name in old_imports(path)] == []
    (tmp_path / "old.py").write_text("from rope.bench import Effort\nfrom rope.bench.tally import x\n")
    assert len(old_imports(tmp_path / "old.py")) == 2


def test_an_option_works_by_its_old_name_with_a_line_on_stderr(tmp_path):
    line = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'rope'; from rope.cli import main; main()",
        "export",
        str(tmp_path),
        "--format",
        "webdataset",
    ]
    old, new = (
        subprocess.run([*line, name, str(tmp_path / "x")], capture_output=True, text=True, check=False)
        for name in ("--to", "--out")
    )
    assert (old.returncode, old.stdout) == (new.returncode, new.stdout)
    assert old.stderr == "warning: --to is now --out; the old name goes with the next release\n" + new.stderr
    assert "no dataset" in new.stderr or "rope.json" in new.stderr


def test_every_renamed_option_is_one_of_its_command():
    from tests.core_only.walk import MAIN

    for command, renamed in RENAMED_OPTIONS.items():
        program, *words = command.split()
        found = get_command(importlib.import_module(MAIN[program]).app)
        for word in words:
            found = found.commands[word]
        options = {name for parameter in found.params for name in parameter.opts}
        assert set(renamed.values()) <= options
        assert options.isdisjoint(renamed)
