"""An embedder that is not a function of the sample is refused, and so are kept vectors that it does not give."""

import numpy as np
import pytest

from rope.bench.io.readers import read_embeddings
from rope.bench.running.checks import TOLERANCE
from rope.bench.running.run import run_embedder
from rope.bench.running.share import RunShare
from rope.errors import EmbeddingError, UsageError
from tests.bench.running.test_run import write_dataset

COUNTS = {"page": 20, "video": 9, "live": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), counts=COUNTS)


class Plain:
    """A vector of each sample alone."""

    name, fingerprint = "plain", "1"

    def __init__(self, weight=1.0):
        self.weight = weight
        self.calls = []

    def embed(self, samples):
        self.calls.append([sample.sample_id for sample in samples])
        return np.array([[int(s.sample_id) + 1, self.weight, 5] for s in samples], np.float32)


class Noisy(Plain):
    """As with dropout, in the domains given."""

    def __init__(self, *domains, size=0.1):
        super().__init__()
        self.domains, self.size, self.rng = domains, size, np.random.default_rng(0)

    def embed(self, samples):
        vectors = super().embed(samples)
        if samples[0].domain in self.domains:
            vectors *= 1 + self.size * self.rng.normal(size=vectors.shape)
        return vectors


class Centred(Plain):
    """As with batch normalisation in training mode."""

    def embed(self, samples):
        vectors = super().embed(samples)
        return vectors - vectors.mean(axis=0) + 0.1


class Padded(Plain):
    """As a mean over padding does: it counts how long the longest text of the batch is."""

    def embed(self, samples):
        vectors = super().embed(samples)
        vectors[:, 2] += 0.5 * max(len(sample.text) for sample in samples)
        return vectors


def run(model, data, out, **options):
    done = []
    run_embedder(model, data, out, **{"batch_size": 8, "progress": False, "report": done.append, **options})
    return done[0]


def test_a_few_samples_of_each_domain_are_embedded_again_in_another_batch(data, tmp_path):
    model = Plain()
    done = run(model, data, tmp_path / "e.parquet")
    assert (done.n_embedded, done.difference) == (30, 0)
    repeated = ["7", "6", "5", "4"]
    assert model.calls[1:3] == [repeated, repeated]
    assert model.calls[-2:] == [["0"], ["0"]]
    assert sum(map(len, model.calls)) == 30 + 2 * (4 + 4 + 1)


@pytest.mark.parametrize("domain", COUNTS)
def test_noise_in_any_domain_is_refused(domain, data, tmp_path):
    with pytest.raises(EmbeddingError, match=f"two calls of embed with the same {domain}s give .* dropout") as caught:
        run(Noisy(domain), data, tmp_path / "e.parquet")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "e.parquet").exists()


@pytest.mark.parametrize("model", [Centred, Padded])
def test_vectors_that_depend_on_the_batch_are_refused(model, tmp_path):
    data = write_dataset(tmp_path / "data", counts={"page": 11, "video": 2, "live": 2})
    with pytest.raises(
        EmbeddingError, match=r"vector of a page depends on the batch .*: 1 - cosine is up to [\d.]+ wh"
    ):
        run(model(), data, tmp_path / "e.parquet", batch_size=11)
    assert run(model(), data, tmp_path / "e.parquet", batch_size=11, check=False).difference is None


def test_rounding_passes_and_is_told(data, tmp_path):
    done = run(Noisy(*COUNTS, size=1e-4), data, tmp_path / "e.parquet")
    assert 1e-10 < done.difference < TOLERANCE
    assert "1 - cosine is at most" in done.sentence("noisy")


@pytest.mark.parametrize("is_finished", [True, False])
def test_kept_vectors_that_the_model_does_not_give_are_refused(is_finished, data, tmp_path):
    out = tmp_path / "e.parquet"
    run(Plain(), data, out, share=None if is_finished else RunShare(0, 2), batch_size=1)
    with pytest.raises(
        UsageError, match=r"kept from an earlier run are not this model's: .* 1 - cosine is up to"
    ) as caught:
        run(Plain(weight=3.0), data, out, batch_size=1)
    assert caught.value.exit_code == 2
    with pytest.raises(EmbeddingError, match="two calls of embed with the same videos"):
        run(Noisy("video", size=1.0), data, out, batch_size=1)
    assert run(Plain(), data, out, batch_size=1).n_kept >= 10


def test_kept_vectors_of_another_dimension_are_refused(data, tmp_path):
    class Wider(Plain):
        def embed(self, samples):
            return super().embed(samples).repeat(2, axis=1)

    run(Plain(), data, tmp_path / "e.parquet")
    with pytest.raises(UsageError, match="the new vectors are of another dimension"):
        run(Wider(), data, tmp_path / "e.parquet")


def test_an_array_that_the_model_uses_again_is_copied(data, tmp_path):
    class Thrifty(Plain):
        buffer = np.empty((64, 3), np.float32)

        def embed(self, samples):
            rows = self.buffer[: len(samples)]
            rows[:] = super().embed(samples)
            return rows

    run(Thrifty(), data, tmp_path / "e.parquet")
    pages = read_embeddings([tmp_path / "e.parquet"])["page"]
    assert pages.vectors[:, 0].tolist() == [int(sample_id) + 1 for sample_id in pages.sample_ids]
