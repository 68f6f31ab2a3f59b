import numpy as np
import pytest

from rope.bench.doctor import hubs
from rope.bench.doctor.hubs import HubSample, measure_hubness, nearest
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from tests.bench.reference import float32


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("blocks", [(7, 11), (64, 64), (1024, 2048)])
def test_neighbours_equal_a_full_sort(k, blocks, monkeypatch):
    monkeypatch.setattr(hubs, "_HEIGHT", blocks[0])
    monkeypatch.setattr(hubs, "_WIDTH", blocks[1])
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(50, 5)), rng.normal(size=(70, 5))
    cosines = queries @ (gallery / np.linalg.norm(gallery, axis=1, keepdims=True)).T
    found = nearest(Vectors.of(float32(queries)), Vectors.of(float32(gallery)), k, ComputeSettings())
    assert found.tolist() == np.argsort(-cosines, axis=1)[:, :k].tolist()


def test_threads_do_not_change_the_lists():
    vectors = Vectors.of(float32(np.random.default_rng(0).normal(size=(3000, 8))))
    lists = [nearest(vectors, vectors, 10, ComputeSettings(threads=threads)) for threads in (1, 3)]
    assert np.array_equal(*lists)


def test_progress_counts_every_similarity():
    done = []
    vectors = Vectors.of(float32(np.eye(9)))
    nearest(vectors, vectors, 2, ComputeSettings(advance=done.append))
    assert sum(done) == 81


def test_one_hub_takes_all():
    hubness = measure_hubness(np.full((200, 1), 3), [f"g{i}" for i in range(100)])
    assert hubness.worst[0] == HubSample("g3", 200)
    assert hubness.never == 0.99
    assert hubness.top_percent == 1
    assert hubness.skewness == pytest.approx(98 / np.sqrt(99))


def test_even_places_have_no_skewness():
    hubness = measure_hubness(np.arange(12).reshape(6, 2), [str(i) for i in range(12)])
    assert hubness.skewness is None
    assert hubness.never == 0
    assert hubness.expected == 1
