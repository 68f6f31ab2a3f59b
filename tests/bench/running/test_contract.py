"""The second version of the contract of embedders: roles, many vectors a sample, samples without a vector."""

import json
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from rope.bench.evaluation import evaluate
from rope.bench.io.readers import read_embeddings
from rope.bench.metrics import KS
from rope.bench.running.run import run_embedder
from rope.dataset.directory import read_labels
from rope.domain import DOMAINS
from rope.errors import EmbeddingError, FileError, UsageError
from tests.bench.ranking.test_maxsim import slow_scores
from tests.bench.running.test_run import write_dataset

COUNTS = {"page": 14, "video": 12, "live": 9}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), counts=COUNTS)


def vector_of(sample, *, role="", dim=8, n=0):
    rng = np.random.default_rng([int(sample.sample_id), DOMAINS.index(sample.domain), len(role), n])
    return np.random.default_rng(int(sample.sample_id) // 2).normal(size=dim) + rng.normal(size=dim)


class Roles:
    """Another vector as a query."""

    name, fingerprint = "roles", "1"

    def embed(self, samples, role):
        return np.array([vector_of(sample, role=role) for sample in samples], np.float32)


class Late:
    """One to three vectors a sample, none of some."""

    name, fingerprint = "late", "1"

    def embed(self, samples):
        return [
            np.array([vector_of(sample, n=n) for n in range(int(sample.sample_id) % 4)], np.float32).reshape(-1, 8)
            for sample in samples
        ]


class LateRoles(Late):
    """More vectors as a query."""

    def embed(self, samples, role="gallery"):
        return [np.concatenate([one, one[:1] + 1]) if role == "query" else one for one in super().embed(samples)]


class Abstaining(Roles):
    """No vector of every third sample."""

    abstains = True

    def embed(self, samples):
        rows = super().embed(samples, "gallery")
        rows[[int(sample.sample_id) % 3 == 0 for sample in samples]] = np.nan
        return rows


def run(model, data, out, **options):
    return run_embedder(model, data, out, **{"batch_size": 4, "progress": False, **options})


def bags(rows):
    offsets = np.arange(len(rows.vectors) + 1) if rows.offsets is None else rows.offsets
    return [rows.vectors[start:stop] for start, stop in pairwise(offsets)]


def oracle(embeddings, labels, pair):
    """R@k of a pair by double loops over exact similarities."""
    domain = {"P": "page", "V": "video", "L": "live"}
    asked, gallery = domain[pair[0]], domain[pair[2]]
    queries = embeddings[asked].queries or embeddings[asked]
    scores = slow_scores(
        bags(queries),
        labels[asked].product_ids,
        bags(embeddings[gallery]),
        labels[gallery].product_ids,
        same=asked == gallery,
    )
    ranks = [score.rank for score in scores if score is not None]
    return [np.mean([rank <= k for rank in ranks]) for k in KS]


@pytest.mark.parametrize("model", [Roles, Late, LateRoles, Abstaining])
def test_a_run_scores_what_double_loops_do(model, data, tmp_path):
    out = run(model(), data, tmp_path / "e.parquet")
    report, labels = evaluate(out, data, missing="given"), read_labels(data, "validation")
    embeddings = read_embeddings([out], any_number=True)
    for domain, rows in embeddings.items():
        assert rows.sample_ids == labels[domain].sample_ids
    for pair, numbers in report.pairs.items():
        assert [numbers[f"R@{k}"] for k in KS] == pytest.approx(oracle(embeddings, labels, pair)), pair
    quick = evaluate(out, data, missing="given", quick=True)
    assert quick.headline == report.headline
    assert all(quick.pairs[pair]["MRR"] == report.pairs[pair]["MRR"] for pair in quick.pairs)


def test_roles_are_not_one_and_the_same(data, tmp_path):
    out = run(Roles(), data, tmp_path / "e.parquet")
    assert pq.read_schema(out).names == ["domain", "sample_id", "embedding", "query_embedding"]
    report = evaluate(out, data)
    found = read_embeddings([out], any_number=True)
    swapped = {d: (rows.sample_ids, rows.queries.vectors, rows.vectors) for d, rows in found.items()}
    given = {d: (rows.sample_ids, rows.vectors, rows.queries.vectors) for d, rows in found.items()}
    assert evaluate(given, data, name="e").to_dict()["pairs"] == report.to_dict()["pairs"]
    assert evaluate(swapped, data).headline != report.headline
    assert report.to_dict()["embeddings"]["page"]["n_query_vectors"] == COUNTS["page"]


@pytest.mark.parametrize("model", [Roles, Late, LateRoles, Abstaining])
def test_a_stopped_run_ends_with_the_same_bytes(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr("rope.bench.running.run._BATCHES_A_PART", 1)
    whole = run(model(), data, tmp_path / "whole.parquet").read_bytes()
    stopping, calls = model(), []

    def stop(samples, **role):
        calls.append(samples)
        if len(calls) > 9:
            raise KeyboardInterrupt
        return model.embed(stopping, samples, **role)

    stopping.embed = stop if model in (Late, Abstaining) else lambda samples, role: stop(samples, role=role)
    with pytest.raises(KeyboardInterrupt):
        run(stopping, data, tmp_path / "e.parquet")
    assert not (tmp_path / "e.parquet").exists()
    assert run(model(), data, tmp_path / "e.parquet").read_bytes() == whole


def test_many_vectors_from_memory_are_those_of_the_file(data, tmp_path):
    out = run(Late(), data, tmp_path / "e.parquet")
    found = read_embeddings([out], any_number=True)
    given = {domain: (rows.sample_ids, bags(rows)) for domain, rows in found.items()}
    arrays = {}
    for domain, rows in found.items():
        arrays |= {domain: rows.vectors, f"{domain}_ids": rows.sample_ids, f"{domain}_lengths": np.diff(rows.offsets)}
    np.savez(tmp_path / "e.npz", **arrays)
    expected = evaluate(out, data, missing="given").to_dict()
    for other in (given, tmp_path / "e.npz"):
        again = evaluate(other, data, name="e", missing="given").to_dict()
        assert {key: again[key] for key in ("pairs", "one_shot")} == {
            key: expected[key] for key in ("pairs", "one_shot")
        }
    with pytest.raises(EmbeddingError, match=r"page: 4 samples without a vector; --missing last ranks them last: '0'"):
        evaluate(out, data)


def test_nothing_averages_many_vectors(data, tmp_path):
    out = run(Late(), data, tmp_path / "e.parquet")
    with pytest.raises(FileError, match="many vectors each, which only rope-bench score and run take; they are never"):
        read_embeddings([out])
    from rope.bench.io.given import embeddings_of
    from rope.bench.questions import diagnose

    with pytest.raises(FileError, match="never averaged"):
        diagnose(out, data)
    with pytest.raises(EmbeddingError, match="page '0' has 2 vectors, and this command takes one of each sample"):
        embeddings_of({"page": (["0", "1"], [np.eye(2), np.eye(2)])}, DOMAINS)


def test_samples_without_a_vector_rank_last_and_are_counted(data, tmp_path, caplog):
    out = run(Abstaining(), data, tmp_path / "e.parquet")
    report = evaluate(out, data, missing="last")
    assert "5 of 14 pages, 4 of 12 videos, 3 of 9 lives have no vector and are ranked last" in caplog.text
    told = report.to_dict()["embeddings"]
    assert [told[domain]["n_without_vector"] for domain in DOMAINS] == [5, 4, 3]
    ranks = report.ranks.pairs["P2V"]
    silent = [i for i, query in enumerate(ranks.query_ids) if int(query) % 3 == 0]
    n_gallery = COUNTS["video"]
    assert ranks.rank[silent].tolist() == [n_gallery - n + 1 for n in ranks.n_positives[silent]]
    listed = {domain: (rows.sample_ids, rows.vectors) for domain, rows in listed_rows(out).items()}
    assert evaluate(listed, data, missing="last").to_dict()["pairs"] == report.to_dict()["pairs"]
    with pytest.raises(EmbeddingError, match="page: 5 samples without an embedding: '0', '3', '6'"):
        evaluate(listed, data)
    with pytest.raises(FileError, match="row 1: the embedding is null"):
        read_embeddings([out])


def listed_rows(out):
    found = read_embeddings([out], any_number=True)
    return {domain: rows.take(np.flatnonzero(np.diff(rows.offsets))).simplified() for domain, rows in found.items()}


def test_a_domain_without_any_vector_scores_zero(data):
    labels = read_labels(data, "validation")
    rng = np.random.default_rng(0)
    given = {d: (labels[d].sample_ids, rng.normal(size=(n, 4))) for d, n in COUNTS.items() if d != "live"}
    given["live"] = (labels["live"].sample_ids, [np.zeros((0, 4))] * COUNTS["live"])
    report = evaluate(given, data, missing="last")
    assert report.pairs["P2L"]["R@1"] == report.pairs["L2P"]["MRR"] - report.pairs["L2P"]["MRR"] == 0
    assert report.one_shot["P2L"]["expected"] == report.one_shot["L2P"]["expected"] == 0
    nothing = {d: (labels[d].sample_ids, [np.zeros((0, 4))] * n) for d, n in COUNTS.items()}
    with pytest.raises(EmbeddingError, match="no sample of any domain has a vector"):
        evaluate(nothing, data, missing="last")


def test_the_command_ranks_last_where_it_is_asked_to(data, tmp_path, rope_bench):
    out = run(Abstaining(), data, tmp_path / "e.parquet")
    code, _, err = rope_bench("score", out, "--data", data)
    assert (code, "--missing last" in err) == (1, True)
    code, text, _ = rope_bench("score", out, "--data", data, "--missing", "last", "--json", "-")
    assert code == 0
    assert json.loads(text)["embeddings"]["page"]["n_without_vector"] == 5


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda n: [np.ones((1, 2))] * (n - 1), "returned 3 arrays, expected 4"),
        (lambda n: [np.ones((1, 2 + i)) for i in range(n)], "returned vectors of several dimensions"),
        (lambda n: [np.ones(2)] * n, r"returned list, expected a NumPy array of floats \[n, dim\], or a list"),
        (lambda n: [np.array([[1.0, np.nan]])] * n, "page '0': the embedding holds NaN"),
    ],
)
def test_a_list_that_is_none_of_vectors_is_named(result, expected, data, tmp_path):
    class Wrong:
        name, fingerprint = "wrong", "1"

        def embed(self, samples):
            return result(len(samples))

    with pytest.raises(EmbeddingError, match=f"^wrong: .*{expected}"):
        run(Wrong(), data, tmp_path / "e.parquet")


def test_roles_of_two_dimensions_are_refused(data, tmp_path):
    class Wrong(Roles):
        def embed(self, samples, role):
            return np.ones((len(samples), 3 if role == "query" else 2))

    with pytest.raises(EmbeddingError, match="have dimension 2 in a gallery and 3 as queries"):
        run(Wrong(), data, tmp_path / "e.parquet")
    with pytest.raises(UsageError, match="expected"):
        evaluate({"page": (["1"],)}, data)
