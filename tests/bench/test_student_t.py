import pytest

from rope.bench.student_t import t_quantile, two_sided_p


@pytest.mark.parametrize(
    ("tail", "degrees", "quantile"),
    [
        (0.025, 1, 12.7062),
        (0.025, 2, 4.30265),
        (0.025, 5, 2.57058),
        (0.025, 49, 2.00958),
        (0.025, 120, 1.97993),
        (0.2, 10, 0.879058),
        (0.0005, 7, 5.40788),
    ],
)
def test_quantiles_are_those_of_printed_tables(tail, degrees, quantile):
    assert t_quantile(tail, degrees) == pytest.approx(quantile, rel=5e-6)
    assert two_sided_p(quantile, degrees) == pytest.approx(2 * tail, rel=1e-4)


@pytest.mark.parametrize("degrees", [1.0, 2.5, 30.0, 2526.0])
@pytest.mark.parametrize("tail", [1e-12, 1e-4, 0.025, 0.4])
def test_quantile_and_probability_are_inverse(degrees, tail):
    assert two_sided_p(t_quantile(tail, degrees), degrees) == pytest.approx(2 * tail, rel=1e-9)


def test_far_tails_neither_fail_nor_turn_negative():
    assert 0 <= two_sided_p(1e6, 2526) < 1e-300
    assert two_sided_p(-3.0, 9) == two_sided_p(3.0, 9)


@pytest.mark.parametrize("tail", [0.0, 0.5, -1.0])
def test_a_tail_out_of_range_is_refused(tail):
    with pytest.raises(ValueError, match="tail"):
        t_quantile(tail, 5)
    with pytest.raises(ValueError, match="degrees"):
        two_sided_p(1.0, 0)
