import numpy as np
import pytest

from rope.bench.doctor import frontier
from rope.bench.doctor.frontier import Accuracy, centre, measure_frontier, score_variant
from rope.bench.doctor.geometry import moments
from rope.bench.ranking.engine import ComputeSettings
from tests.bench.doctor.cases import as_sides, clusters

PAIRS = ("P2V", "V2P", "P2L", "L2P", "V2L", "L2V")
NOTHING = Accuracy.of(dict.fromkeys(PAIRS, 0.0), dict.fromkeys(PAIRS, 0.0), n_lost=0)


def moments_of(sides):
    return {domain: moments(side.vectors) for domain, side in sides.items()}


def raw(sides):
    return {domain: side.vectors.raw for domain, side in sides.items()}


@pytest.mark.parametrize("blocks", [(7, 11), (1024, 2048)])
@pytest.mark.parametrize("dim", [3, 16])
def test_signs_score_as_the_engine_scores_them(dim, blocks, monkeypatch):
    """Few dimensions, so that most comparisons are ties."""
    monkeypatch.setattr(frontier, "_HEIGHT", blocks[0])
    monkeypatch.setattr(frontier, "_WIDTH", blocks[1])
    sides = as_sides(clusters(dim=dim))
    signs = frontier._signs(sides, moments_of(sides))
    expected = score_variant(sides, signs, NOTHING, ComputeSettings())
    assert frontier._score_signs(sides, signs, NOTHING, ComputeSettings()) == expected
    assert 0 < expected.headline < 1


def test_centring_undoes_a_shift_of_a_domain():
    apart, together = as_sides(clusters(gap=6.0)), as_sides(clusters())
    as_they_are = score_variant(apart, raw(apart), NOTHING, ComputeSettings())
    centred = score_variant(apart, centre(apart, moments_of(apart)), as_they_are, ComputeSettings())
    assert centred.headline > 0.8 * score_variant(together, raw(together), NOTHING, ComputeSettings()).headline
    assert centred.change == pytest.approx(centred.headline - as_they_are.headline)
    assert centred.change > 0.1


def test_rows_without_direction_are_lost_and_count_as_misses():
    sides = as_sides(clusters(noise=0.01))
    arrays = {domain: side.vectors.raw.copy() for domain, side in sides.items()}
    assert score_variant(sides, arrays, NOTHING, ComputeSettings()).headline == 1
    arrays["page"][:10] = 0
    accuracy = score_variant(sides, arrays, NOTHING, ComputeSettings())
    assert accuracy.n_lost == 10
    assert accuracy.r_at_1["P2V"] == 30 / 40


def test_a_collapsed_domain_is_lost_whole():
    sides = as_sides({domain: (np.ones_like(v), p) for domain, (v, p) in clusters().items()})
    accuracy = score_variant(sides, centre(sides, moments_of(sides)), NOTHING, ComputeSettings())
    assert (accuracy.headline, accuracy.n_lost) == (0, 120)


def test_int8_holds_127_steps_of_the_largest_value():
    sides = as_sides(clusters())
    codes = frontier._int8(sides)
    units = {domain: side.vectors.raw * side.vectors.inverse_norms[:, None] for domain, side in sides.items()}
    scale = np.max([np.abs(of_domain).max(axis=0) for of_domain in units.values()], axis=0) / 127
    for domain, vectors in codes.items():
        steps = vectors / scale
        assert np.abs(steps - np.rint(steps)).max() < 1e-4
        assert np.abs(steps).max() < 127.001
        assert np.abs(vectors - units[domain]).max(axis=0) == pytest.approx(scale / 2, rel=0.3)


def test_the_frontier_lists_each_variant_with_its_bytes():
    sides = as_sides(clusters(dim=36))
    full = score_variant(sides, raw(sides), NOTHING, ComputeSettings())
    points = measure_frontier(sides, moments_of(sides), full, ComputeSettings())
    assert [(point.name, point.bytes_per_sample) for point in points] == [
        ("float32", 144), ("first 18", 72), ("first 9", 36), ("int8", 36), ("binary", 5),
    ]  # fmt: skip
    assert points[0].accuracy == full
    assert points[2].accuracy.headline < points[1].accuracy.headline < full.headline
