"""What an order drawn at random comes to, beside each R@k: in results, comparisons, slices and the long tail."""

import json
from dataclasses import replace

import numpy as np
import pytest

import rope.bench
from rope.bench.metrics import KS
from rope.bench.questions import compare, slices, tail
from rope.bench.stats.by_chance import candidates_of
from rope.bench.stats.compare_tables import as_latex, as_markdown
from rope.bench.stats.query_ranks import load_ranks
from rope.bench.stats.slices import parts_of
from rope.dataset.directory import read_labels
from rope.domain import pair_of
from rope.errors import UsageError


@pytest.fixture(scope="module")
def report(dataset):
    rng = np.random.default_rng(0)
    labels = read_labels(dataset, "validation")
    given = {d: (rows.sample_ids, rng.normal(size=(len(rows.sample_ids), 4))) for d, rows in labels.items()}
    return rope.bench.evaluate(given, dataset, name="a")


def drawn(labels, pair, query_ids, k, n_orders=4000):
    """R@k of orders that are really drawn: for each query a random gallery of its own domain's size."""
    of, rng = pair_of(pair), np.random.default_rng(7)
    product = dict(zip(labels[of.query].sample_ids, labels[of.query].product_ids, strict=True))
    gallery = labels[of.gallery]
    hits = []
    for query in query_ids:
        right = [
            owner == product[query]
            for sample, owner in zip(gallery.sample_ids, gallery.product_ids, strict=True)
            if of.query != of.gallery or sample != query
        ]
        hits += [any(right[i] for i in rng.choice(len(right), k, replace=False)) for _ in range(n_orders // 10)]
    return np.mean(hits)


def test_a_result_keeps_what_chance_comes_to_and_a_file_gives_it_back(report, tmp_path):
    told = report.to_dict()["by_chance"]
    assert told["P2V"] == {f"R@{k}": report.score.pairs["P2V"].at_random[k] for k in KS}
    report.save(tmp_path / "r.json")
    assert load_ranks(tmp_path / "r.json").by_chance == report.ranks.by_chance


def test_chance_of_an_earlier_result_follows_from_its_galleries(report, tmp_path):
    report.save(tmp_path / "r.json")
    raw = json.loads((tmp_path / "r.json").read_text("utf-8"))
    del raw["by_chance"]
    (tmp_path / "r.json").write_text(json.dumps(raw), "utf-8")
    again = load_ranks(tmp_path / "r.json").by_chance
    assert again["P2P"] == pytest.approx(report.ranks.by_chance["P2P"])
    raw["one_shot"] = {}  # queries have their own galleries, of sizes that the file does not hold
    (tmp_path / "r.json").write_text(json.dumps(raw), "utf-8")
    assert load_ranks(tmp_path / "r.json").by_chance == {}


@pytest.mark.parametrize("wrong", [None, {"P2V": None}, {"P2V": {"R@1": "much"}}])
def test_a_result_whose_chance_is_no_number_is_refused_in_a_sentence(report, tmp_path, wrong):
    report.save(tmp_path / "r.json")
    raw = json.loads((tmp_path / "r.json").read_text("utf-8"))
    (tmp_path / "r.json").write_text(json.dumps({**raw, "by_chance": wrong}), "utf-8")
    with pytest.raises(UsageError, match=r"r\.json"):
        load_ranks(tmp_path / "r.json")


def test_compare_has_a_row_of_a_random_order(report):
    other = replace(report.ranks, origin=replace(report.ranks.origin, model="b"))
    answer = compare([report.ranks, other], "R@5")
    chance = report.ranks.by_chance["P2V"][5]
    assert answer.value.by_chance["P2V"] == answer.plain["by_chance"]["P2V"] == chance
    for text in (as_markdown(answer.value), as_latex(answer.value), str(answer)):
        row = next(line for line in text.splitlines() if "random order" in line)
        assert f"{100 * chance:.2f}" in row
    without = [replace(one, by_chance={}) for one in (report.ranks, other)]
    for models, metric in (([report.ranks, other], "MRR"), (without, "R@5")):
        assert compare(models, metric).value.by_chance is None
        assert "random order" not in as_markdown(compare(models, metric).value)


def test_slices_and_thirds_have_the_chance_of_their_own_queries(report, dataset):
    found = slices(report, dataset, pair="P2V").value
    one = next(one for one in found if one.kind == "positives" and one.pair == "P2V")
    queries = parts_of(report.ranks, dataset)["positives"]["P2V"] == one.name
    ids = [q for q, is_in in zip(report.ranks.pairs["P2V"].query_ids, queries, strict=True) if is_in]
    assert one.by_chance[5] == pytest.approx(drawn(read_labels(dataset, "validation"), "P2V", ids, 5), abs=0.02)
    third = next(third for third in tail(report, dataset).value if third.pair == "V2L")
    assert 0 < third.by_chance < 1
    assert tail(report, dataset, metric="mAP").plain["parts"][0]["by_chance"] is None


def test_a_query_has_as_many_candidates_as_it_is_compared_with(report, dataset):
    labels = read_labels(dataset, "validation")
    found = candidates_of(report.ranks, dataset)
    assert set(found["P2P"].tolist()) == {len(labels["page"].sample_ids) - 1}
    assert set(found["L2P"].tolist()) == {len(labels["page"].sample_ids)}


def shop_of(product):
    return "x" if product == "b1" else "y"


def test_candidates_are_those_of_the_query_s_own_gallery(report, monkeypatch, dataset):
    labels = read_labels(dataset, "validation")
    halved = {
        domain: replace(rows, galleries=[shop_of(product) for product in rows.product_ids])
        for domain, rows in labels.items()
    }
    monkeypatch.setattr("rope.bench.stats.by_chance.read_labels", lambda *_: halved)
    ranks = report.ranks
    product = [ranks.product_ids[i] for i in ranks.pairs["V2L"].products]
    wanted = [halved["live"].galleries.count(shop_of(one)) for one in product]
    assert max(wanted) < len(labels["live"].sample_ids)
    assert candidates_of(ranks, dataset)["V2L"].tolist() == wanted
