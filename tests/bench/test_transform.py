"""Vectors that are centred, whitened or cut before they are scored, fitted on the training split alone."""

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

import rope.bench
from rope.bench.doctor.hubs import nearest
from rope.bench.io.given import embeddings_of
from rope.bench.io.writer import write_embeddings
from rope.bench.questions import diagnose
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from rope.bench.transform import VectorTransform, fitted_on_itself, transformed
from rope.dataset.directory import SampleLabels, read_labels
from rope.errors import EmbeddingError, UsageError


def made(dataset, split, shift):
    """Vectors of 6 numbers, those of a domain around a point of its own if `shift`."""
    given = {}
    for i, (domain, labels) in enumerate(read_labels(dataset, split).items()):
        rng = np.random.default_rng([i, len(labels.sample_ids)])
        given[domain] = (labels.sample_ids, rng.normal(size=(len(labels.sample_ids), 6)) + shift * np.eye(6)[i])
    return given


def units(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def train(dataset):
    return made(dataset, "train", 3.0)


@pytest.fixture(scope="module")
def given(dataset):
    return made(dataset, "validation", 3.0)


def test_centring_subtracts_the_mean_of_unit_training_vectors(dataset, train, given):
    means = {domain: units(array).mean(axis=0) for domain, (_, array) in train.items()}
    by_hand = {domain: (ids, units(array) - means[domain]) for domain, (ids, array) in given.items()}
    report = rope.bench.evaluate(given, dataset, name="m", transform=VectorTransform("centre", train))
    wanted = rope.bench.evaluate(by_hand, dataset, name="m")
    assert {name: pair["R@1"] for name, pair in report.pairs.items()} == {
        name: pair["R@1"] for name, pair in wanted.pairs.items()
    }


def test_whitened_training_vectors_are_equally_wide_in_all_directions(dataset, train):
    from rope.bench.transform import _whitening

    rows = np.random.default_rng(0).normal(size=(50, 4)) * [1, 5, 0.1, 1e-9]
    turned = (rows - rows.mean(axis=0)) @ _whitening([rows - rows.mean(axis=0)])
    assert turned.shape == (50, 3)  # the last direction holds rounding
    assert np.cov(turned.T, bias=True) == pytest.approx(np.eye(3), abs=1e-9)


def test_the_result_says_what_was_done_and_on_what_it_was_fitted(dataset, train, given):
    report = rope.bench.evaluate(given, dataset, transform=VectorTransform("whiten", train), dims=2)
    told = report.to_dict()
    assert told["model"] == "embeddings (whitened)@2"
    assert told["transform"]["kind"] == "whiten"
    assert sorted(told["transform"]["fitted_on"]) == ["live", "page", "video"]
    assert told["embeddings"]["page"]["dim"] == 2
    schema = json.loads(files("rope.bench").joinpath("result.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(told)
    assert "transform" not in rope.bench.evaluate(given, dataset).to_dict()


def test_nothing_but_the_training_split_is_fitted_on(dataset, given):
    with pytest.raises(EmbeddingError, match="must be of the training split, and all of it"):
        rope.bench.evaluate(given, dataset, transform=VectorTransform("centre", given))


def test_training_vectors_are_of_the_same_model(dataset, train, given):
    wider = {domain: (ids, np.hstack([array, array])) for domain, (ids, array) in train.items()}
    with pytest.raises(UsageError, match="have 6 dimensions, and those of the training split 12"):
        rope.bench.evaluate(given, dataset, transform=VectorTransform("centre", wider))


def test_a_vector_that_is_the_mean_of_its_domain_is_refused(dataset, train, given):
    same = {domain: (ids, np.ones_like(array)) for domain, (ids, array) in train.items()}
    flat = {domain: (ids, np.ones_like(array)) for domain, (ids, array) in given.items()}
    with pytest.raises(EmbeddingError, match="are the mean of their domain"):
        rope.bench.evaluate(flat, dataset, transform=VectorTransform("centre", same))


def test_a_zero_vector_stays_refused_when_it_is_centred(dataset, train, given):
    ids, array = given["page"]
    zero = {**given, "page": (ids, np.vstack([np.zeros((1, 6)), array[1:]]))}
    with pytest.raises(EmbeddingError, match="zero"):
        rope.bench.evaluate(zero, dataset, transform=VectorTransform("centre", train))


def test_the_command_shows_the_gain(rope_bench, dataset, train, given, tmp_path):
    write_embeddings(tmp_path / "train.parquet", train)
    write_embeddings(tmp_path / "given.parquet", given)
    words = ["--data", dataset, "--centre", tmp_path / "train.parquet", "--json", tmp_path / "r.json"]
    code, out, err = rope_bench("score", tmp_path / "given.parquet", *words)
    assert code == 0, err
    told = json.loads((tmp_path / "r.json").read_text("utf-8"))
    plain = rope.bench.evaluate([tmp_path / "given.parquet"], dataset).headline
    gain = 100 * (told["headline"]["value"] - plain)
    assert f"centred: {gain:+.2f} points of mean R@1, which is {100 * plain:.2f} without" in out
    assert told["model"] == "given (centred)"
    promised = diagnose([tmp_path / "given.parquet"], dataset).value.retrieval.centred
    assert told["transform"]["headline_without"] == plain
    assert told["transform"]["headline_promised"] == pytest.approx(promised.headline)
    assert f"fitted on the scored split itself, {100 * promised.change:+.2f}" in out
    code, _, err = rope_bench("score", tmp_path / "given.parquet", *words, "--whiten", tmp_path / "train.parquet")
    assert (code, "give one of them" in err) == (2, True)


def in_roles(given, shift):
    """The same samples with other vectors as queries, around another point."""
    return {domain: (ids, array, array[:, ::-1] + shift) for domain, (ids, array) in given.items()}


def test_vectors_of_queries_are_centred_by_those_of_training_queries(dataset, train, given):
    asked, fitted = in_roles(given, 2.0), in_roles(train, 2.0)
    by_hand = {
        domain: (ids, *(units(one) - units(fitted[domain][role]).mean(axis=0) for role, one in ((1, a), (2, q))))
        for domain, (ids, a, q) in asked.items()
    }
    report = rope.bench.evaluate(asked, dataset, name="m", transform=VectorTransform("centre", fitted))
    wanted = rope.bench.evaluate(by_hand, dataset, name="m")
    assert {name: pair["MRR"] for name, pair in report.pairs.items()} == {
        name: pair["MRR"] for name, pair in wanted.pairs.items()
    }
    for one, other in ((asked, train), (given, fitted)):
        with pytest.raises(UsageError, match="have roles and those of the training split have none, or the other way"):
            rope.bench.evaluate(one, dataset, transform=VectorTransform("centre", other))


def by_local_scaling(train, given, k=10):
    """Domain A -> domain B -> 2 cos - r of every two samples, with r of the ten nearest training queries of A."""
    scaled = {}
    for a, (_, queries) in given.items():
        for b, (_, gallery) in given.items():
            near = np.sort(units(gallery) @ units(train[a][1]).T, axis=1)[:, -k:].mean(axis=1)
            scaled[a, b] = 2 * units(queries) @ units(gallery).T - near
    return scaled


def test_csls_ranks_by_the_cosine_less_the_density_of_training_queries(dataset, train, given):
    labels, wanted = read_labels(dataset, "validation"), by_local_scaling(train, given)
    report = rope.bench.evaluate(given, dataset, transform=VectorTransform("csls", train))
    assert report.to_dict()["embeddings"]["page"]["n_query_vectors"] == len(labels["page"].sample_ids)
    for a in labels:
        for b in (one for one in labels if one != a):
            same = np.array(labels[a].product_ids)[:, None] == np.array(labels[b].product_ids)[None]
            best = np.where(same, wanted[a, b], -np.inf).max(axis=1, keepdims=True)
            ranks = 1 + (~same & (wanted[a, b] >= best)).sum(axis=1)
            assert report.pairs[pair_name(a, b)]["R@1"] == np.mean(ranks[same.any(axis=1)] == 1), (a, b)
            assert report.pairs[pair_name(a, b)]["MRR"] == pytest.approx(np.mean(1 / ranks[same.any(axis=1)]))


def pair_name(a, b):
    return f"{a[0].upper()}2{b[0].upper()}"


def test_csls_takes_a_hub_from_the_first_place(dataset, train, given):
    """A gallery sample that is nearest to all training queries no longer is to all queries."""
    centre = np.ones(6)
    rng = np.random.default_rng(0)
    hub = {d: (ids, centre + rng.normal(size=array.shape)) for d, (ids, array) in given.items()}
    fitted = {d: (ids, centre + rng.normal(size=array.shape)) for d, (ids, array) in train.items()}
    hub["live"] = (hub["live"][0], np.vstack([centre, hub["live"][1][1:]]))
    rows, _ = transformed(embeddings_of(hub, ["page", "video", "live"]), VectorTransform("csls", fitted), dataset)

    def first(queries, gallery):
        found = nearest(Vectors.of(queries), Vectors.of(gallery), 1, ComputeSettings())[:, 0]
        return float(np.mean(found == 0))

    plain = first(hub["page"][1].astype(np.float32), hub["live"][1].astype(np.float32))
    assert first(rows["page"].queries.vectors, rows["live"].vectors) < plain


def test_all_vectors_of_a_gallery_are_equally_long_and_dims_are_cut_before(dataset, train, given):
    rows, _ = transformed(embeddings_of(given, list(given)), VectorTransform("csls", train), dataset, 3)
    lengths = np.concatenate([np.linalg.norm(one.vectors, axis=1) for one in rows.values()])
    assert lengths == pytest.approx(lengths[0])
    assert {one.vectors.shape[1] for one in rows.values()} == {3 + 3 + 1}
    halves = {domain: (ids, array[:, :3]) for domain, (ids, array) in given.items()}
    fitted = {domain: (ids, array[:, :3]) for domain, (ids, array) in train.items()}
    again, _ = transformed(embeddings_of(halves, list(given)), VectorTransform("csls", fitted), dataset)
    assert np.array_equal(rows["video"].vectors, again["video"].vectors)


def test_a_model_of_many_vectors_cannot_be_scaled_locally(dataset, train, given):
    rows, fitted = (embeddings_of(one, list(one)) for one in (given, train))
    n = len(rows["page"].sample_ids)
    rows["page"] = replace(rows["page"], vectors=rows["page"].vectors[:-1], offsets=np.minimum(np.arange(n + 1), n - 1))
    with pytest.raises(UsageError, match="--csls: every page needs one vector, and some have many or none"):
        transformed(rows, VectorTransform("csls", train), dataset)
    assert fitted_on_itself(fitted, "centre").keys() == fitted.keys()


@pytest.mark.parametrize("kind", ["centre", "csls"])
def test_a_domain_that_training_lacks_cannot_be_fitted_on(monkeypatch, dataset, train, given, kind):
    labels = {**read_labels(dataset, "train"), "live": SampleLabels([], [])}
    monkeypatch.setattr("rope.bench.transform.read_labels", lambda *_: labels)
    without = {**train, "live": ([], np.zeros((0, 6)))}
    with pytest.raises(UsageError, match="live: the training split has none of this domain"):
        transformed(embeddings_of(given, list(given)), VectorTransform(kind, without), dataset)


def test_a_zero_vector_stays_refused_when_it_is_scaled(dataset, train, given):
    ids, array = given["page"]
    zero = {**given, "page": (ids, np.vstack([np.zeros((1, 6)), array[1:]]))}
    with pytest.raises(EmbeddingError, match="zero"):
        rope.bench.evaluate(zero, dataset, transform=VectorTransform("csls", train))


def test_run_takes_the_same_options_and_one_model_at_a_time(rope_bench, dataset, tmp_path):
    words = ["run", "--model", "baselines:handcrafted", "--data", dataset]
    code, _, err = rope_bench(*words, "--split", "train", "--out", tmp_path / "train.parquet")
    assert code == 0, err
    told = tmp_path / "r.json"
    given = ["--out", tmp_path / "e.parquet", "--json", told, "--csls", tmp_path / "train.parquet"]
    code, out, err = rope_bench(*words, *given)
    assert code == 0, err
    assert "CSLS: " in out
    assert json.loads(told.read_text("utf-8"))["transform"]["kind"] == "csls"
    code, _, err = rope_bench(*words, "--model", "baselines:other", *given)
    assert (code, "take vectors of one model on one dataset" in err) == (2, True)
