import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rope.curation.pipeline.engine_local import local_engine
from rope.errors import UsageError
from tests.curation.pools import POISON, recipe_of


def test_a_number_of_workers_below_one_is_refused():
    with pytest.raises(UsageError, match="workers is 0; expected at least 1"), local_engine(0):
        pass


def processes_with(word):
    """Ids of the other processes whose environment holds a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if word.encode() in environment and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


PROGRAM = """
from pathlib import Path
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe

if __name__ == "__main__":
    run_recipe(read_recipe(Path("work.toml")), lambda needs_gpu: local_engine(2), progress=False)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
def test_workers_end_when_the_run_is_killed_even_while_they_hang(tmp_path):
    recipe = recipe_of(tmp_path, POISON + 'hangs = ["r01", "r09"]')
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {"ROPE_TEST_WORD": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 30
    pool_stage = recipe.work / "stages" / "pool"
    while len(list(pool_stage.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    assert len(processes_with(str(tmp_path))) >= 3
    process.kill()
    process.wait()
    while processes_with(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with(str(tmp_path)) == []
