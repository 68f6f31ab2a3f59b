"""The table of skipped tests at the end of a run."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from tests.skipped import table

ROOT = Path(__file__).parents[1]


def report(nodeid: str, reason: str) -> SimpleNamespace:
    return SimpleNamespace(nodeid=nodeid, longrepr=(nodeid.partition("::")[0], 1, f"Skipped: {reason}"))


def test_reasons_are_counted_and_the_largest_comes_first():
    skipped = [
        report("tests/a.py::one", "no GPU"),
        report("tests/a.py::two", "PyAV is not installed"),
        report("tests/b.py", "PyAV is not installed"),
        report("tests/c.py::three", "PyAV is not installed"),
    ]
    assert table(skipped, n_deselected=12) == [
        "tests  why                                          where",
        "    3  PyAV is not installed                        tests/a.py, tests/b.py and 1 more",
        "    1  no GPU                                       tests/a.py",
        "   12  deselected on the command line, by -m or -k",
    ]


def test_a_run_that_skips_nothing_says_so():
    assert table([]) == ["nothing was skipped"]


def test_a_run_ends_with_the_table(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text("utf-8"), "utf-8")
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\n\n@pytest.mark.skip(reason='no such machine')\ndef test_one(): ...\n", "utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(tmp_path / "none.ini"),
        tmp_path,
    ]
    (tmp_path / "none.ini").write_text("[pytest]\n", "utf-8")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    end = done.stdout[done.stdout.index("what was skipped, and why") :]
    assert "    1  no such machine  " in end
