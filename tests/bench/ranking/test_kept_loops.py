"""What numba keeps of compiled loops, and when that is out of date.

Apart from the tests of the loops, which are also run with faults planted in them: then nothing is kept.
"""

import ast
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rope.bench.ranking import counting

pytest.importorskip("numba", reason="the extra 'fast' is not installed, so nothing is compiled")

from rope.bench.ranking import vectors_numba

LOOP = """
from taken_from import NUMBER
from rope.bench.ranking.vectors_numba import compiled

@compiled()
def loop():
    return NUMBER
"""


def test_a_kept_loop_is_compiled_again_when_what_it_takes_from_other_files_changes(tmp_path, monkeypatch):
    """As after an upgrade in place, which leaves what numba has kept."""
    (tmp_path / "kept_loop.py").write_text(LOOP)
    monkeypatch.syspath_prepend(tmp_path)

    def run(number: int, inlined: str) -> tuple[int, int]:
        """What the loop returns, and how often it was found compiled."""
        monkeypatch.setattr(vectors_numba, "INLINED", inlined)
        monkeypatch.setitem(sys.modules, "taken_from", SimpleNamespace(NUMBER=number))
        monkeypatch.delitem(sys.modules, "kept_loop", raising=False)
        loop = importlib.import_module("kept_loop").loop
        return loop(), sum(loop.stats.cache_hits.values())

    assert run(1, "before") == (1, 0)
    assert run(1, "before") == (1, 1)
    assert run(2, "after") == (2, 0)


def test_loops_take_nothing_from_files_whose_changes_go_unnoticed():
    folder = Path(counting.__file__).parent
    for name in ("counting_numba", "product_numba", "vectors_numba"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        taken = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        ours = {module.rpartition(".")[2] for module in taken if module.startswith("rope.")}
        # Of counting, records for what loops return to Python; of the package, blocks.
        assert ours <= {"blocks", "counting", "ranking", "vectors_numba"}, name
