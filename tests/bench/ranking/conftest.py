"""Small blocks are given to the compiled loops too."""

import pytest

from rope.bench.ranking.counting import LOOPS


@pytest.fixture(autouse=True)
def compiled_loops(monkeypatch):
    """As if numpy had had enough to do; without numba this changes nothing."""
    monkeypatch.setattr(LOOPS, "room", 0)
