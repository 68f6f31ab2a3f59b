"""Small blocks are given to the compiled loops, and to products of 16-bit numbers, too."""

import pytest

from rope.bench.ranking import engine
from rope.bench.ranking.counting import LOOPS


@pytest.fixture(autouse=True)
def compiled_loops(monkeypatch):
    """As if numpy had had enough to do; without numba this changes nothing."""
    monkeypatch.setattr(LOOPS, "room", 0)
    monkeypatch.setattr(engine, "INT16_PAYS", 0)
