"""Vectors that are centred, whitened or cut before they are scored, fitted on the training split alone."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

import rope.bench
from rope.bench.io.writer import write_embeddings
from rope.bench.transform import VectorTransform
from rope.dataset.directory import read_labels
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
