import numpy as np
import pytest

from rope.bench.engine import Effort, Labelled
from rope.bench.one_shot import Draws, classify, draw_supports, mean_interval
from rope.bench.similarity import Vectors, exact_cosine
from rope.errors import EmbeddingError
from tests.bench.reference import float32


def labelled(vectors, products) -> Labelled:
    return Labelled(Vectors.of(float32(vectors)), np.asarray(products, np.int64))


def two_domains(seed: int):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(9, 4))
    sides = []
    for _ in range(2):
        products = np.sort(rng.choice(9, size=25))
        sides.append(labelled(centres[products] + 0.7 * rng.normal(size=(25, 4)), products))
    return sides


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_equals_a_double_loop(seed):
    support, queries = two_domains(seed)
    draws = Draws(seed=seed, trials=3)
    result = classify(support, queries, draws, Effort())
    for trial, accuracy in enumerate(result.accuracies):
        drawn = draw_supports(support.products, draws, trial)
        correct = []
        for query, product in zip(queries.vectors.raw, queries.products, strict=True):
            cosines = {int(support.products[i]): exact_cosine(query, support.vectors.raw[i]) for i in drawn}
            if product in cosines:
                own = cosines.pop(int(product))
                correct.append(all(own > other for other in cosines.values()))
        assert accuracy == np.mean(correct)


def test_constant_embeddings_are_never_right():
    ones = labelled(np.ones((6, 2)), np.arange(6) // 2)
    assert classify(ones, ones, Draws(seed=0), Effort()).mean == 0


def test_queries_of_products_without_support_are_left_out():
    support, queries = labelled(np.eye(3), [0, 1, 2]), labelled(np.eye(3), [0, 2, 7])
    result = classify(support, queries, Draws(seed=0, trials=1), Effort())
    assert (result.n_queries, result.n_no_support, result.n_products) == (2, 1, 3)
    assert result.accuracies == (0.5,)
    assert result.std is None
    assert result.interval is None


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_draws_take_each_product_and_no_more_than_it_has(shots):
    products = np.array([0, 0, 0, 4, 9, 9])
    drawn = draw_supports(products, Draws(seed=1, shots=shots), trial=0)
    assert products[drawn].tolist() == [0] * min(shots, 3) + [4] + [9] * min(shots, 2)


def test_draws_differ_between_trials_and_are_uniform():
    products = np.zeros(4, np.int64)
    counts = np.bincount([draw_supports(products, Draws(seed=3), trial)[0] for trial in range(4000)])
    assert np.all(np.abs(counts - 1000) < 120)  # four standard deviations


def test_draws_nest_as_shots_grow():
    products = np.repeat(np.arange(20), 6)
    few, many = (set(draw_supports(products, Draws(seed=5, shots=k), 2).tolist()) for k in (1, 3))
    assert few < many


def test_several_shots_are_averaged_as_unit_vectors():
    support = labelled([[10, 0], [0, 0.1], [0, -1]], [0, 0, 1])
    queries = labelled([[1, 1], [0, -1]], [0, 1])
    assert classify(support, queries, Draws(seed=0, trials=1, shots=2), Effort()).mean == 1


def test_shots_that_cancel_out_are_an_error():
    support = labelled([[1, 0], [-1, 0], [0, 1]], [0, 0, 1])
    with pytest.raises(EmbeddingError, match="cancel out"):
        classify(support, support, Draws(seed=0, trials=1, shots=2), Effort())


def test_no_product_in_common_is_an_error():
    with pytest.raises(ValueError, match="support domain"):
        classify(labelled([[1]], [0]), labelled([[1]], [1]), Draws(seed=0), Effort())


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 0, "trials": 0}, {"seed": 0, "shots": 0}])
def test_draws_check_their_values(options):
    with pytest.raises(ValueError, match="need seed"):
        Draws(**options)


@pytest.mark.parametrize(("n", "quantile"), [(5, 2.7764), (20, 2.0930), (100, 1.9842)])
def test_interval_uses_students_t(n, quantile):
    """Quantiles from any printed table of Student's t."""
    values = [float(i) for i in range(n)]
    low, high = mean_interval(values)
    half = quantile * np.std(values, ddof=1) / np.sqrt(n)
    assert (high - low) / 2 == pytest.approx(half, rel=3e-3)
