import json
from dataclasses import replace

import numpy as np
import pytest

from rope.bench.doctor.diagnosis import as_json, count_similarities, diagnose
from rope.bench.doctor.findings import find
from rope.bench.io.embeddings import align
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.score import score
from tests.bench.doctor.cases import as_files, clusters


def changed(embeddings, domain, change):
    """The embeddings with the vectors of one domain changed in a copy."""
    vectors = embeddings[domain].vectors.copy()
    change(vectors)
    return {**embeddings, domain: replace(embeddings[domain], vectors=vectors)}


def sentences(diagnosis):
    return [f"{finding.severity}: {finding.what} {finding.advice}" for finding in diagnosis.findings]


def test_the_numbers_are_those_of_the_score():
    embeddings, labels = as_files(clusters(noise=1.2))
    retrieval = diagnose(embeddings, labels, ComputeSettings()).retrieval
    scored = score(align(dict(embeddings), labels), labels, Draws(seed=0, trials=1), ComputeSettings())
    assert retrieval.full.headline == scored.headline
    for name, pair in retrieval.pairs.items():
        assert pair.r_at_1 == scored.pairs[name].micro.hit_rate[1]
        assert pair.r_at_1_by_chance == scored.pairs[name].at_random[1]
        assert pair.r_at_1_optimistic == scored.pairs[name].micro.hit_rate_optimistic[1]
        assert (pair.n_queries, pair.n_gallery) == (scored.pairs[name].n_queries, scored.pairs[name].n_gallery)


def test_the_order_of_rows_changes_nothing():
    embeddings, labels = as_files(clusters())
    backward = {
        domain: replace(of, sample_ids=of.sample_ids[::-1], vectors=of.vectors[::-1].copy())
        for domain, of in embeddings.items()
    }
    assert diagnose(backward, labels, ComputeSettings()) == diagnose(embeddings, labels, ComputeSettings(threads=1))


def test_progress_ends_where_it_was_said_to():
    embeddings, labels = as_files(clusters(dim=32))
    done = []
    diagnose(embeddings, labels, ComputeSettings(advance=done.append))
    assert sum(done) == count_similarities(embeddings, labels)


def test_json_survives_a_round_trip():
    embeddings, labels = as_files(clusters())
    plain = as_json(diagnose(embeddings, labels, ComputeSettings()))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def set_rows(rows, value):
    def change(vectors):
        vectors[rows] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_rows([3], 0), "fault: video: 1 sample with a zero vector, which has no direction (video-3)"),
        (set_rows([2, 5], np.nan), "fault: video: 2 samples with NaN or infinity (video-2, video-5)"),
        (set_rows([0, 39], 1), "warning: video: 2 samples with the same vector as a sample of another product"),
    ],
)
def test_embeddings_that_cannot_be_scored_are_diagnosed(change, sentence):
    embeddings, labels = as_files(clusters())
    diagnosis = diagnose(changed(embeddings, "video", change), labels, ComputeSettings())
    assert diagnosis.skipped == ()
    assert diagnosis.retrieval is not None
    assert sentences(diagnosis)[0].startswith(sentence)


def test_a_gap_is_found_and_priced():
    embeddings, labels = as_files(clusters(gap=6.0))
    diagnosis = diagnose(embeddings, labels, ComputeSettings())
    points = 100 * diagnosis.retrieval.centred.change
    expected = f"warning: Mean-centring each domain would add {points:.1f} points to the headline"
    assert any(sentence.startswith(expected) for sentence in sentences(diagnosis))


@pytest.mark.parametrize(("n_products", "warned"), [(10, False), (2500, True), (10_000, True)])
def test_a_gain_within_the_noise_of_few_products_is_no_finding(n_products, warned):
    embeddings, labels = as_files(clusters())
    diagnosis = diagnose(embeddings, labels, ComputeSettings())
    centred = replace(diagnosis.retrieval.centred, change=0.006)
    retrieval = replace(diagnosis.retrieval, centred=centred, n_products=n_products)
    found = find(diagnosis.rows, diagnosis.shapes, diagnosis.gaps, retrieval)
    assert any("would add 0.6 points" in finding.what for finding in found) == warned


def test_long_vectors_are_noted():
    embeddings, labels = as_files(clusters())
    stretched = embeddings["live"].vectors * np.linspace(1, 9, 40, dtype=np.float32)[:, None]
    embeddings["live"] = replace(embeddings["live"], vectors=stretched)
    diagnosis = diagnose(embeddings, labels, ComputeSettings())
    assert any("note: live: long vectors (95 %)" in sentence for sentence in sentences(diagnosis))


def test_the_noisy_domain_is_the_bottleneck():
    arrays = clusters(noise=0.5, a_domain=80)
    vectors, products = arrays["live"]
    arrays["live"] = vectors + 2 * np.random.default_rng(1).normal(size=vectors.shape), products
    diagnosis = diagnose(*as_files(arrays), ComputeSettings())
    assert diagnosis.retrieval.bottleneck == "live"
    assert any("Live is the bottleneck" in sentence for sentence in sentences(diagnosis))


def test_one_hub_is_named():
    made = clusters(n_products=300, a_domain=600, dim=64, noise=3.0)
    arrays = {domain: (v + 1, p) for domain, (v, p) in made.items()}
    arrays["video"][0][17] = np.mean([arrays[domain][0] for domain in ("page", "live")], axis=(0, 1))
    diagnosis = diagnose(*as_files(arrays), ComputeSettings())
    assert diagnosis.retrieval.pairs["P2V"].hubs.worst[0].sample_id == "video-17"
    assert any("'video-17' of " in sentence for sentence in sentences(diagnosis))


def test_constant_embeddings_are_no_model():
    embeddings, labels = as_files({d: (np.ones_like(v), p) for d, (v, p) in clusters().items()})
    diagnosis = diagnose(embeddings, labels, ComputeSettings())
    assert diagnosis.retrieval.full.headline == 0
    assert diagnosis.retrieval.frontier is None
    assert any("The cost frontier" in reason for reason in diagnosis.skipped)
    assert any("Ties cost 100.0 points" in sentence for sentence in sentences(diagnosis))
    assert any("page: all samples have the same direction" in sentence for sentence in sentences(diagnosis))


def test_what_cannot_be_compared_is_left_out_with_a_reason():
    embeddings, labels = as_files(clusters())
    no_live = {domain: embeddings[domain] for domain in ("page", "video")}
    narrow = {**embeddings, "live": replace(embeddings["live"], vectors=embeddings["live"].vectors[:, :8].copy())}
    other = as_files(clusters())[1]
    other["live"].product_ids[:] = [f"other-{i}" for i in range(40)]
    for given, known, reason in (
        (no_live, labels, "Retrieval: no usable row for live."),
        (narrow, labels, "Retrieval: the dimension differs between domains (page 16, video 16, live 8)."),
        (embeddings, other, "Retrieval: no product has both a usable page and a usable live."),
    ):
        diagnosis = diagnose(given, known, ComputeSettings())
        assert diagnosis.retrieval is None
        assert reason in diagnosis.skipped
        assert "P-V" in diagnosis.gaps


def test_one_product_alone_has_no_negative():
    vectors = np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32)
    arrays = {d: (v, np.zeros(4, np.int64)) for d, v in zip(("page", "video", "live"), vectors, strict=True)}
    diagnosis = diagnose(*as_files(arrays), ComputeSettings())
    assert diagnosis.skipped == ("Growth of the gallery: some query has no negative.",)
    assert diagnosis.retrieval.mean_growth is None
