"""A sample that is drawn division by division is the one that is drawn at once."""

import numpy as np
import pyarrow as pa
import pytest

from rope.curation.sampling import divided
from rope.curation.sampling.divided import draw_divided
from rope.curation.sampling.sample import SampleSize, draw_sample, join_units, make_units


def parts_of(seed, n_parts=7, n_rows=400):
    generator = np.random.default_rng(seed)
    for _ in range(n_parts):
        keys = pa.array([f"k{i}" for i in generator.integers(0, 900, n_rows)])
        categories = pa.array([[None, "b", "a", "c"][i] for i in generator.integers(0, 4, n_rows)])
        domains = pa.array([("page", "video", "live")[i] for i in generator.integers(0, 3, n_rows)])
        yield make_units(keys, categories, domains, seed=3)


@pytest.mark.parametrize("division_rows", [10**6, 1000, 100])
@pytest.mark.parametrize("size", [SampleSize(rate=0.1), SampleSize(count=300), SampleSize(rate=1.0)])
def test_the_keys_and_weights_are_those_of_a_sample_drawn_at_once(size, division_rows):
    whole = draw_sample(join_units(list(parts_of(0))), size)
    drawn = draw_divided(parts_of(0), 2800, size, division_rows)
    assert np.array_equal(drawn.units.hashes, whole.units.hashes)
    assert np.array_equal(drawn.weight, whole.weight)
    assert (drawn.strata, drawn.pool.tolist()) == (whole.strata, whole.pool.tolist())


def test_no_division_holds_the_keys_of_the_pool(monkeypatch):
    sizes = []
    counted = divided.count_strata
    monkeypatch.setattr(divided, "count_strata", lambda units: sizes.append(len(units.hashes)) or counted(units))
    draw_divided(parts_of(0), 2800, SampleSize(rate=0.1), 280)
    assert len(sizes) == 10
    assert max(sizes) < 150


def test_a_pool_without_rows_gives_no_sample():
    assert len(draw_divided([], 0, SampleSize(rate=0.1)).units.hashes) == 0
