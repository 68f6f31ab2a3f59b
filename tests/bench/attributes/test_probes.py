import numpy as np
import pytest

from rope.bench.attributes.examples import Examples
from rope.bench.attributes.probes import STRENGTHS, choose_strength, fit_path, fit_probe

optimize = pytest.importorskip("scipy.optimize", reason="scipy, the independent optimiser, is not installed")
pytest.importorskip("torch", reason="probes are fitted with torch")


def examples(n: int, kind: str, seed: int, signal: float = 1.0) -> Examples:
    rng = np.random.default_rng(seed)
    targets = np.eye(3, dtype=bool)[np.arange(n) % 3] if kind == "softmax" else rng.random((n, 3)) < 0.4
    vectors = signal * targets @ rng.normal(size=(3, 5)) + rng.normal(size=(n, 5))
    return Examples(vectors / np.linalg.norm(vectors, axis=1)[:, None], np.arange(n) // 2, targets)


def objective(parameters, vectors, targets, kind: str, strength: float) -> float:
    """The definition, sample by sample."""
    weights, bias = parameters[:-3].reshape(-1, 3), parameters[-3:]
    loss = 0.0
    for vector, target in zip(vectors, targets, strict=True):
        logits = vector @ weights + bias
        if kind == "softmax":
            loss -= np.log(np.exp(logits)[target] / np.exp(logits).sum()).sum()
        else:
            chance = 1 / (1 + np.exp(-logits))
            loss -= np.log(np.where(target, chance, 1 - chance)).sum()
    return loss / len(vectors) + strength / 2 * float((weights**2).sum())


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("strength", [1e-1, 1e-3])
def test_a_probe_is_the_minimum_that_another_optimiser_finds(kind, strength):
    train = examples(24, kind, 0)
    moved = train.units - train.units.mean(axis=0)
    moved /= np.sqrt((moved**2).sum(axis=1).mean())
    found = optimize.minimize(
        objective, np.zeros(18), (moved, train.targets, kind, strength), method="BFGS", options={"gtol": 1e-5}
    )
    logits = fit_path(train, kind, [1.0, strength])[-1].logits(train.units)
    design = np.column_stack([moved, np.ones(24)])
    parameters = np.linalg.lstsq(design, logits, rcond=None)[0].ravel()  # of the linear function, on the scale above
    assert np.allclose(design @ parameters.reshape(-1, 3), logits, atol=1e-9)
    assert objective(parameters, moved, train.targets, kind, strength) <= found.fun + 1e-9
    assert np.allclose(parameters, found.x, atol=1e-2)


def test_the_start_of_a_fit_does_not_change_where_it_ends():
    train = examples(30, "softmax", 1)
    straight, along = fit_path(train, "softmax", [1e-3])[-1], fit_path(train, "softmax", STRENGTHS[:4])[-1]
    assert np.allclose(straight.logits(train.units), along.logits(train.units), atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "column", "expected"),
    [("softmax", [0, 0, 0], -np.inf), ("sigmoid", [0, 0, 0], -np.inf), ("sigmoid", [1, 1, 1], np.inf)],
)
def test_labels_that_nobody_or_everybody_has_are_not_fitted(kind, column, expected):
    units = np.eye(3)
    targets = np.array([[1, 0], [0, 1], [1, 0]], bool)
    train = Examples(units, np.arange(3), np.column_stack([targets, np.array(column, bool)]))
    logits = fit_path(train, kind, [1e-2])[0].logits(units)
    assert (logits[:, 2] == expected).all()
    assert np.isfinite(logits[:, :2]).all()


def test_equal_vectors_are_fitted_by_intercepts_alone():
    train = Examples(np.tile([1.0, 0.0], (4, 1)), np.arange(4), np.eye(2, dtype=bool)[[0, 0, 0, 1]])
    (probe,) = fit_path(train, "softmax", [1e-2])
    assert np.diff(probe.logits(np.array([[1.0, 0.0]]))) == pytest.approx(np.log(1 / 3), abs=1e-4)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_noise_is_regularised_more_than_signal(kind):
    noise, signal = (choose_strength(examples(90, kind, 2, strong), kind, 0) for strong in (0.0, 9.0))
    assert noise >= 1e-1 > signal


def test_without_a_second_product_the_strength_is_the_middle_one():
    train = Examples(np.eye(3), np.arange(3), np.eye(3, dtype=bool))
    assert fit_probe(train, "softmax", 0)[1] == 1e-3
