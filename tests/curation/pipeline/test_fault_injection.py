"""Faults at known rates: what is made is what a calm run makes, byte for byte."""

from collections import Counter

import pytest

from rope.curation.pipeline.fault_injection import CALM_ATTEMPT, FAULTS, FaultInjection
from rope.curation.pipeline.runner import run_recipe
from tests.curation.pools import HALF, POISON, files_of, local, recipe_of

N_RUNS = 10
STAGES = (POISON + 'raises = ["r01"]\nrejects = ["r11"]', HALF + "parts = 2")
LETHAL = (POISON + 'segfaults = ["r05"]',)
LIMITS = "global_deadline_s = 1.0\ndeadline_s = 1.0\nrow_deadline_s = 0.0"


def test_strikes_come_at_the_asked_rate_each_fault_as_often_and_never_in_the_end():
    drawn = Counter(FaultInjection(1, 0.3).draw(f"s/{task}", attempt) for task in range(5000) for attempt in range(4))
    assert drawn[None] == pytest.approx(0.7 * 10_000 + 10_000, rel=0.02)
    assert {fault: drawn[fault] for fault in FAULTS} == pytest.approx(dict.fromkeys(FAULTS, 3000 / 7), rel=0.2)
    assert CALM_ATTEMPT == 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a pool."""
    return tmp_path_factory.mktemp("pool")


def made(folder, stages, work, fault_injection=None):
    recipe = recipe_of(folder, *stages, n_rows=12, shard_rows=6, limits=LIMITS, work=work)
    run_recipe(recipe, local(), fault_injection=fault_injection, progress=False)
    return files_of(recipe)


@pytest.fixture(scope="module")
def calm(folder):
    return made(folder, STAGES, "calm")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(N_RUNS))
def test_a_run_with_injected_faults_ends_with_the_bytes_of_a_calm_one(seed, folder, calm):
    quick = tuple(fault for fault in FAULTS if fault != "hang")  # a hang costs its whole deadline; it is struck below
    assert made(folder, STAGES, f"struck{seed}", FaultInjection(seed, faults=quick)) == calm


@pytest.mark.slow
def test_a_lethal_row_is_told_from_injected_faults(folder):
    fault_injection = FaultInjection(5, rate=0.5, faults=("raise", "segfault", "kill", "torn"))
    assert made(folder, LETHAL, "struck", fault_injection) == made(folder, LETHAL, "lethal")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_by_itself_is_survived(fault, folder, calm):
    assert made(folder, STAGES, f"only_{fault}", FaultInjection(1, rate=0.4, faults=(fault,))) == calm
