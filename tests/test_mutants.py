"""What `make mutants` tries is there, so that nothing falls out of it by moving."""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text("utf-8"))


def test_modules_and_tests_are_there():
    paths = [path for group in SETTINGS["group"] for path in (*group["modules"], *group["tests"])]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_faults_that_change_nothing_are_of_lines_that_are_there():
    faults = [(one["module"], one["was"]) for one in SETTINGS["same"]]
    texts = {module: " ".join((ROOT / module).read_text("utf-8").split()) for module, _ in faults}
    assert [fault for fault in faults if fault[1] not in texts[fault[0]]] == []
