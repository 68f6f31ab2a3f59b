"""Failures with pictures: the ranks are those of the score, and the page holds all it shows."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import rope.bench
from rope.bench.failures.find import FailureOptions
from rope.bench.failures.found import results_of
from rope.bench.io.readers import read_embeddings
from rope.bench.ranking.engine import ComputeSettings, Labelled
from rope.bench.ranking.similarity import Vectors
from rope.bench.score import sides_of
from rope.bench.stats.query_ranks import load_ranks
from rope.bench.stats.slices import POSITIVE_BINS, bin_name
from rope.domain import Pair
from rope.errors import UsageError
from tests.bench.test_domains import grouped_case
from tests.bench.test_score import random_case


@pytest.fixture(scope="module")
def report(dataset, embeddings):
    return rope.bench.evaluate([embeddings], dataset)


@pytest.mark.parametrize("pair", ["P2V", "P2P"])
def test_results_are_in_the_order_of_a_sort_by_float64(pair):
    vectors, labels = random_case(3)
    sides = sides_of(vectors, labels)
    name = Pair(*({"P": "page", "V": "video"}[letter] for letter in pair.split("2")))
    asked, gallery = sides[name.query], sides[name.gallery]
    units = [side.labelled.vectors.raw * side.labelled.vectors.inverse_norms[:, None] for side in (asked, gallery)]
    within = name.query == name.gallery
    has_positive = [gallery.product_ids.count(product) > within for product in asked.product_ids]
    rows = np.flatnonzero(has_positive)[:5].tolist()
    for row, found in zip(
        rows, results_of(name, [asked.sample_ids[i] for i in rows], sides, ComputeSettings()), strict=True
    ):
        cosines = units[1] @ units[0][row]
        order = [i for i in np.argsort(-cosines, kind="stable") if not within or i != row]
        assert found.n_candidates == len(order)
        assert [one.similarity for one in found.top] == pytest.approx(cosines[order[:5]])
        right = [gallery.product_ids[i] == asked.product_ids[row] for i in order]
        assert [one.is_positive for one in found.top] == right[:5]
        assert found.best.rank == 1 + right.index(True)


def test_a_tie_counts_against_the_model_in_the_list_too():
    vectors, labels = random_case(3)
    vectors["video"].vectors[:] = 1
    sides = sides_of(vectors, labels)
    (found,) = results_of(Pair("page", "video"), sides["page"].sample_ids[:1], sides, ComputeSettings())
    assert [one.is_positive for one in found.top] == [False] * 5
    assert found.best.rank == found.n_candidates - found.n_positives + 1


def test_a_sample_with_a_vector_of_its_own_as_a_query_is_asked_by_that():
    sides = sides_of(*random_case(3))
    page, video = sides["page"], sides["video"]
    other = np.random.default_rng(9).normal(size=page.labelled.vectors.raw.shape).astype(np.float32)
    sides["page"] = replace(page, queries=Labelled(Vectors.of(other), page.labelled.products))
    row = next(i for i, product in enumerate(page.product_ids) if product in video.product_ids)
    (found,) = results_of(Pair("page", "video"), [page.sample_ids[row]], sides, ComputeSettings())
    cosines = video.labelled.vectors.raw @ other[row] * video.labelled.vectors.inverse_norms
    assert found.top[0].similarity == pytest.approx(cosines.max() / np.linalg.norm(other[row]), rel=1e-5)


def test_a_query_is_shown_its_own_gallery_alone():
    sides = sides_of(*grouped_case())
    (found,) = results_of(Pair("live", "page"), ["x-c"], sides, ComputeSettings())
    assert ({one.sample_id for one in found.top}, found.best.rank) == ({"x/1", "x/2"}, 1)


def test_the_page_holds_its_pictures_and_every_rank_is_that_of_the_score(report, dataset, embeddings, tmp_path):
    found = report.failures([embeddings], dataset, FailureOptions(n=2))
    assert {one.pair for one in found.value} == set(report.ranks.cross_pairs)
    for one in found.value:
        pair = report.ranks.pairs[one.pair]
        assert one.rank == one.results.best.rank == pair.rank[pair.query_ids.index(one.query_id)]
    found.save_page(tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text("utf-8")
    assert page == found.page()
    assert not re.search(r"""(?:src|href)=["'](?!data:)|url\(|@import""", page)
    images = re.findall(r'<img src="data:image/webp;base64,([^"]+)"', page)
    assert len(images) >= 6 * len(found.value)
    assert all(max(Image.open(io.BytesIO(base64.b64decode(one))).size) <= 120 for one in set(images))
    assert len(page) < 40_000 * len(found.value)


def test_a_text_is_shown_as_it_is_and_cut(report, dataset, embeddings, monkeypatch):
    found = report.failures([embeddings], dataset, FailureOptions(pair="P2V", n=1))
    from rope.dataset import samples

    original = samples.samples_in_views

    def altered(*words):
        return [
            type(one)(**{**{f: getattr(one, f) for f in one.__slots__}, "text": "<b>" + "x" * 400})
            for one in original(*words)
        ]

    monkeypatch.setattr(samples, "samples_in_views", altered)
    assert "&lt;b&gt;" + "x" * 297 + "…" in found.page()


def test_the_command_is_the_method(rope_bench, dataset, embeddings, report, tmp_path):
    words = [embeddings, "--data", dataset, "--pair", "V2L", "--choose", "near", "--queries", 3]
    files = ["--html", tmp_path / "a.html", "--json", tmp_path / "a.json"]
    code, out, err = rope_bench("gallery", *words, *files)
    assert (code, f"wrote {tmp_path / 'a.html'}" in out) == (0, True), err
    found = report.failures([embeddings], dataset, FailureOptions("near", "V2L", 3))
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == found.to_dict()
    assert (tmp_path / "a.html").read_text("utf-8") == found.page()


def test_what_a_model_loses_to_another_is_shown_with_both_ranks(dataset, embeddings, report, tmp_path):
    rng = np.random.default_rng(0)
    noisy = {
        d: (r.sample_ids, r.vectors + rng.normal(size=r.vectors.shape))
        for d, r in read_embeddings([embeddings]).items()
    }
    worse = rope.bench.evaluate(noisy, dataset, name="noisy")
    found = worse.failures(noisy, dataset, FailureOptions("lost", n=9), against=report)
    assert found.value
    assert all(one.rank > 1 and one.other_rank == 1 for one in found.value)
    assert f"in {report.provenance.model} at 1" in found.page()


def test_the_hubs_are_those_of_the_doctor(dataset, embeddings, report):
    found = report.failures([embeddings], dataset, FailureOptions("hubs", "V2P", n=9))
    hubs = rope.bench.diagnose([embeddings], dataset).value.retrieval.pairs["V2P"].hubs
    counts = {hub.sample_id: hub.n_lists for hub in hubs.worst}
    assert found.value
    for one in found.value:
        assert f"of {counts[one.hub]:,} queries" in one.why
        assert one.rank > 1


def test_a_slice_keeps_queries_of_it_alone(dataset, embeddings, report):
    part = bin_name(int(report.ranks.pairs["P2V"].n_positives[0]), POSITIVE_BINS)
    found = report.failures([embeddings], dataset, FailureOptions("random", "P2V", n=99, part=f"positives={part}"))
    assert {bin_name(one.results.n_positives, POSITIVE_BINS) for one in found.value} == {part}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choose": "best"}, "--choose 'best': expected one of worst, near, hubs, random, lost"),
        ({"n": 0}, "--queries 0: expected 1 or more"),
        ({"n": 40}, "240 queries of 6 pairs, and a page holds 200 at most"),
        ({"pair": "P2X"}, "--pair 'P2X': expected one of P2V"),
        ({"choose": "hubs", "pair": "P2P"}, "looks at pairs of two domains, and P2P is of one"),
        ({"choose": "lost"}, "--choose lost: shows what another model finds; give its embeddings with --against"),
        ({"part": "colour=red"}, "expected KIND=NAME, where KIND is one of category, text length"),
        ({"part": "category=red"}, "no query is in this slice; those of category are"),
    ],
)
def test_what_cannot_be_shown_is_refused(options, message, dataset, embeddings, report):
    with pytest.raises(UsageError, match=re.escape(message)):
        report.failures([embeddings], dataset, FailureOptions(**options))


def test_other_vectors_than_those_scored_are_refused(dataset, embeddings, report):
    given = {domain: (rows.sample_ids, rows.vectors) for domain, rows in read_embeddings([embeddings]).items()}
    ids, vectors = given["live"]
    with pytest.raises(UsageError, match="the vectors of live are not those that were scored"):
        report.failures({**given, "live": (ids, vectors + 1)}, dataset)


def test_the_doctor_names_the_hubs_and_shows_them_if_asked(dataset, embeddings, tmp_path):
    found = rope.bench.diagnose([embeddings], dataset)
    found.save_page(tmp_path / "a.html")
    found.save_page(tmp_path / "b.html", pictures=True)
    plain, shown = ((tmp_path / name).read_text("utf-8") for name in ("a.html", "b.html"))
    assert "<img" not in plain
    worst = [hub for pair in found.value.retrieval.pairs.values() for hub in pair.hubs.worst]
    assert len(re.findall(r'<img src="data:image/webp;base64,[^"]+" alt="(?:page|video|live) \S+"', shown)) == len(
        worst
    )


def test_a_comparison_says_what_to_look_at(dataset, embeddings, report):
    given = read_embeddings([embeddings]).items()
    zeroed = {domain: (rows.sample_ids, np.ones_like(rows.vectors)) for domain, rows in given}
    flat = rope.bench.evaluate(zeroed, dataset, name="flat")
    said = str(rope.bench.compare([report, flat]))
    assert "rope-bench gallery B --against A --choose lost --pair " in said
    assert "where A and B are the embeddings of embeddings and flat" in said


def test_centred_vectors_are_shown_as_they_were_scored(rope_bench, dataset, embeddings, tmp_path):
    train, data = tmp_path / "train.parquet", ["--data", dataset]
    rope_bench("run", "--model", "baselines:handcrafted", *data, "--split", "train", "--out", train)
    shown, scored = tmp_path / "gallery.json", tmp_path / "score.json"
    for command, file in (("gallery", shown), ("score", scored)):
        assert rope_bench(command, embeddings, *data, "--centre", train, "--json", file)[0] == 0
    ranks = load_ranks(scored)
    failures = json.loads(shown.read_text())["failures"]
    assert failures
    for one in failures:
        of_pair = ranks.pairs[one["pair"]]
        assert one["rank"] == of_pair.rank[of_pair.query_ids.index(one["query_id"])]
