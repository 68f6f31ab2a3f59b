import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.provenance import Provenance
from rope.bench.metrics import KS
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.score import score
from rope.bench.stats.intervals import Interval
from rope.bench.stats.query_ranks import PairRanks, ranks_of
from rope.bench.stats.slices import (
    QuerySlice,
    _without_mean,
    bin_name,
    left_out,
    product_thirds,
    read_text_lengths,
    slice_ranks,
    slice_table,
    slices_json,
)
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import CONFIG_OF, CROSS_DOMAIN_PAIRS, DOMAINS
from rope.errors import UsageError
from tests.dataset.conftest import product, sample, small_tables, write_tables

TEXTS = [None, "", "九个字的标题在这里呢", "a" * 20, "b" * 500]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Thirty products; product i has 1 + i % 3 samples a domain, and every third is of no category.

    Samples of the three domains share their ids but not their texts.
    """
    tables = small_tables()
    ids = {str(i): [f"{i}-{j}" for j in range(1 + i % 3)] for i in range(30)}
    for period, config in zip((5, 7, 9), CONFIG_OF.values(), strict=True):
        tables[f"{config}/validation"] = [
            sample(one, key, 1, text=TEXTS[n % period % 5], category=None)
            for key in ids
            for n, one in enumerate(ids[key], int(key))
        ]
    tables["products/validation"] = [
        product(key, ids[key], ids[key], ids[key]) | {"category": [None, "tea", "bread"][int(key) % 3]} for key in ids
    ]
    return write_tables(tmp_path_factory.mktemp("slices") / "data", tables, rows_per_shard=40)


def ranks_on(directory, fingerprint: str):
    labels = read_labels(directory, "validation")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 6))
    embeddings = {
        domain: DomainEmbeddings(
            labels[domain].sample_ids,
            (centres[[int(p) for p in labels[domain].product_ids]] + 0.8 * rng.normal(size=(60, 6))).astype(np.float32),
            "float32",
        )
        for domain in DOMAINS
    }
    result = score(embeddings, labels, Draws(seed=0, trials=1), ComputeSettings())
    return ranks_of(result, Provenance("model", "small", fingerprint, "validation", {}))


@pytest.fixture(scope="module")
def ranks(directory):
    return ranks_on(directory, read_manifest(directory).fingerprint)


@pytest.fixture(scope="module")
def slices(ranks, directory):
    return slice_ranks(ranks, directory)


def names(slices, kind: str, pair: str = "P2V") -> list[str]:
    return [one.name for one in slices if one.kind == kind and one.pair == pair]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("category", ["bread", "tea", "no category"]),
        ("text length", ["no text", "0-9", "10-19", "20-39", "80 or more"]),
        ("positives", ["1", "2-4"]),
        ("product size", ["head", "torso", "tail"]),
    ],
)
def test_the_slices_of_a_pair_hold_each_query_once(slices, ranks, kind, expected):
    assert names(slices, kind) == expected
    for pair in CROSS_DOMAIN_PAIRS:
        shown = [one for one in slices if one.kind == kind and one.pair == pair.name]
        hits = sum(one.n_queries * one.hit_rate[1].value for one in shown)
        assert sum(one.n_queries for one in shown) == len(ranks.pairs[pair.name].rank)
        assert hits == pytest.approx(np.sum(ranks.pairs[pair.name].rank <= 1))


def test_a_slice_is_the_mean_over_its_queries(slices, ranks):
    pair = ranks.pairs["L2P"]
    of_tea = np.array([int(ranks.product_ids[i]) % 3 == 1 for i in pair.products])
    (tea,) = [one for one in slices if (one.name, one.pair) == ("tea", "L2P")]
    assert tea.hit_rate[5].value == pytest.approx(np.mean(pair.rank[of_tea] <= 5))
    assert (tea.n_queries, tea.n_products, tea.has_few_products) == (20, 10, True)
    assert tea.hit_rate[1].low < tea.hit_rate[1].value < tea.hit_rate[1].high


def test_the_lengths_of_a_pair_are_those_of_its_queries(slices, directory):
    names_of = {None: "no text", 0: "0-9", 10: "10-19", 20: "20-39", 500: "80 or more"}
    for pair in CROSS_DOMAIN_PAIRS:
        lengths = read_text_lengths(directory, pair.query, "validation")
        shown = {one.name: one.n_queries for one in slices if one.kind == "text length" and one.pair == pair.name}
        assert shown == Counter(names_of[length] for length in lengths.values())


def test_products_are_ordered_by_their_samples_in_all_domains(slices):
    # Ten products each of 9, 6 and 3 samples, 180 in all: a third of the samples ends at 60 and at 120.
    shown = {one.name: one.n_products for one in slices if one.kind == "product size" and one.pair == "P2V"}
    assert shown == {"head": 7, "torso": 3 + 5, "tail": 5 + 10}


def test_the_mean_is_over_the_six_pairs(slices):
    tail = {one.pair: one for one in slices if one.name == "tail"}
    six = [tail[pair.name] for pair in CROSS_DOMAIN_PAIRS]
    assert tail["mean"].hit_rate[1].value == pytest.approx(np.mean([one.hit_rate[1].value for one in six]))
    assert tail["mean"].n_queries == sum(one.n_queries for one in six)


def test_a_part_that_a_pair_lacks_is_in_no_mean_and_named():
    none = Interval(0.0, None, None, 1)
    found = [QuerySlice("positives", "1", pair, n, 1, {1: none}) for pair, n in (("P2V", 7), ("V2P", 5), ("mean", 12))]
    found += [
        QuerySlice("positives", "2-4", "P2V", 3, 1, {1: none}),
        QuerySlice("positives", "5-9", "P2V", 1, 1, {1: none}),
    ]
    assert _without_mean(found, "positives", ["P2V", "V2P"]) == (
        "positives: no mean where a pair has no such query; give --pair to see 2-4 (3), 5-9 (1)"
    )
    assert _without_mean(found, "category", ["P2V", "V2P"]) is None


def test_queries_without_a_positive_are_counted_by_pair(slices, ranks, directory):
    assert left_out(ranks, directory, slices, "mean") == []
    pair = ranks.pairs["P2V"]
    arrays = {name: getattr(pair, name)[3:] for name in PairRanks.__slots__}
    fewer = replace(ranks, pairs={**ranks.pairs, "P2V": PairRanks(**arrays)})
    sentence = "in no slice, as they have no positive: 3 of 60 in P2V"
    assert left_out(fewer, directory, slices, "mean") == left_out(fewer, directory, slices, "P2V") == [sentence]
    assert left_out(fewer, directory, slices, "V2P") == []


def test_lengths_count_characters_not_bytes(directory):
    lengths = read_text_lengths(directory, "video", "validation")
    assert sorted(set(lengths.values()), key=str) == [0, 10, 20, 500, None]


@pytest.mark.parametrize(("n_products", "few"), [(1, True), (49, True), (50, False)])
def test_few_products_are_fewer_than_fifty(n_products, few):
    assert QuerySlice("category", "tea", "P2V", 99, n_products, {}).has_few_products == few


@pytest.mark.parametrize(("value", "name"), [(0, "0-1"), (1, "0-1"), (2, "2"), (3, "3 or more"), (99, "3 or more")])
def test_bins(value, name):
    assert bin_name(value, (0, 2, 3)) == name


def test_a_number_below_the_first_bin_is_refused():
    with pytest.raises(ValueError, match="below the first slice"):
        bin_name(0, (1, 2))


@pytest.mark.parametrize(
    ("sizes", "thirds"),
    [
        ({"a": 1}, ["head"]),
        ({"a": 1, "b": 1, "c": 1}, ["head", "torso", "tail"]),
        ({"a": 1, "b": 8, "c": 1}, ["tail", "head", "tail"]),
        ({"b": 2, "a": 2}, ["torso", "head"]),
    ],
)
def test_thirds_of_the_samples(sizes, thirds):
    assert [product_thirds(sizes)[name] for name in sizes] == thirds


def test_another_dataset_is_refused(directory):
    with pytest.raises(UsageError, match=r"are of the dataset 000000000000, but .*; give the dataset that was scored"):
        slice_ranks(ranks_on(directory, "0" * 64), directory)


def test_json_and_table_say_which_slices_have_few_products(slices):
    rows = json.loads(json.dumps(slices_json(slices), allow_nan=False))
    assert len(rows) == len(slices)
    assert {row["few_products"] for row in rows if row["by"] == "category"} == {True}
    assert all(
        row["ci95"][f"R@{k}"] == [hits.low, hits.high]
        for row, one in zip(rows, slices, strict=True)
        for k, hits in one.hit_rate.items()
    )
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(slice_table(slices, "mean"))
    text = console.export_text()
    assert text.count(" few │") == sum(one.has_few_products for one in slices if one.pair == "mean")
    assert all(name in text for name in ("torso", "no text", "tea"))
    assert [text.count(kind) for kind in ("category", "product size", "positives", "text length")] == [2, 1, 1, 1]
    (tea,) = [one for one in slices if (one.name, one.pair) == ("tea", "mean")]
    assert f"{100 * tea.hit_rate[1].low:.2f} - {100 * tea.hit_rate[1].high:.2f}" in text


def test_a_slice_of_one_product_has_no_interval():
    alone = QuerySlice("category", "tea", "P2V", 2, 1, {k: Interval(0.5, None, None, 1) for k in KS})
    assert slices_json([alone])[0]["ci95"] == {f"R@{k}": None for k in KS}
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(slice_table([alone], "P2V"))
    assert " - │" in console.export_text()
