import io
import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import typer
from rich.console import Console

from rope.bench.attributes.cli import tail
from rope.bench.stats.intervals import Interval, estimate, micro_estimate
from rope.bench.stats.long_tail import gap_interval, tail_json, tail_of, tail_table
from rope.bench.stats.query_ranks import PairRanks, QueryRanks, RanksProvenance, query_values
from rope.dataset.manifest import read_manifest
from rope.domain import CONFIG_OF, CROSS_DOMAIN_PAIRS
from rope.errors import UsageError
from tests.dataset.conftest import product, sample, small_tables, write_tables

# tea: 6 products of 1 sample a domain; bread: 4 of 2; soap: 2 of 5. Products without a category: 2.
CATEGORIES = 6 * ["tea"] + 4 * ["bread"] + 2 * ["soap"] + 2 * [None]
SAMPLES = 6 * [1] + 4 * [2] + 2 * [5] + 2 * [1]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """In train, soap has 9 products and tea one; bread has none."""
    tables = small_tables()
    for config in CONFIG_OF.values():
        tables[f"{config}/validation"] = [
            sample(f"{i:02d}-{j}", f"{i:02d}", 1) for i, n in enumerate(SAMPLES) for j in range(n)
        ]
        tables[f"{config}/train"] = [sample(f"t{i}-0", f"t{i}", 1) for i in range(10)]
    tables["products/validation"] = [
        product(f"{i:02d}", [], [], []) | {"category": category} for i, category in enumerate(CATEGORIES)
    ]
    tables["products/train"] = [product(f"t{i}", [], [], []) | {"category": "soap" if i else "tea"} for i in range(10)]
    return write_tables(tmp_path_factory.mktemp("tail") / "data", tables, rows_per_shard=99)


@pytest.fixture(scope="module")
def ranks(directory):
    """Every sample a query; products of tea are found, the others at rank 1 to 7 by their number."""
    products = np.repeat(np.arange(14), SAMPLES)
    rank = np.where(products < 6, 1, 1 + products % 7)
    ids = [f"q{i:02d}" for i in range(len(products))]
    hits = (rank[:, None] <= np.array([1, 5, 10, 20, 50])).astype(np.int64)
    pair = PairRanks(ids, products, np.ones_like(rank), rank, rank, 1 / rank, hits)
    origin = RanksProvenance("model", "small", read_manifest(directory).fingerprint, "validation", "1.0")
    return QueryRanks(origin, [f"{i:02d}" for i in range(14)], {one.name: pair for one in CROSS_DOMAIN_PAIRS})


def found(thirds, counting: str, pair: str = "P2V"):
    return {one.name: one for one in thirds if one.counting == counting and one.pair == pair}


def test_each_part_has_the_chance_of_its_own_queries(ranks, directory):
    thirds = found(tail_of(ranks, directory, "R@5"), "product by samples")
    chance = {name: third.by_chance for name, third in thirds.items()}
    assert chance["head"] == pytest.approx(5 / 26)  # one positive, among all 26 samples of the other domain
    assert chance["head - tail"] == pytest.approx(0)
    assert {third.by_chance for third in tail_of(ranks, directory, "MRR")} == {None}


@pytest.mark.parametrize(
    ("counting", "n_products", "n_queries"),
    [
        # By products, 6 + 4 + 2: tea holds the first half; bread begins at 6 of 12, soap at 10 of 12.
        ("category by products", [6, 4, 2], [6, 8, 10]),
        # By samples, 30 + 24 + 18: soap begins at 0, bread at 30 of 72, tea at 54 of 72.
        ("category by samples", [2, 4, 6], [10, 8, 6]),
    ],
)
def test_categories_are_grouped_by_what_they_hold(ranks, directory, counting, n_products, n_queries):
    thirds = found(tail_of(ranks, directory), counting)
    parts = [thirds[name] for name in ("head", "torso", "tail")]
    assert [one.score.n_products for one in parts] == n_products
    assert [one.n_queries for one in parts] == n_queries
    assert [one.n_groups for one in parts] == [1, 1, 1]


def test_products_are_grouped_by_samples_and_each_has_one_part(ranks, directory):
    thirds = found(tail_of(ranks, directory), "product by samples")
    assert sum(thirds[name].n_groups for name in ("head", "torso", "tail")) == 14
    assert thirds["head"].n_groups == 2  # soap: 5 samples in each of three domains


def test_categories_can_be_counted_in_train(ranks, directory):
    thirds = found(tail_of(ranks, directory, counted_in="train"), "category by products")
    assert "torso" not in thirds
    assert (thirds["head"].score.n_products, thirds["tail"].score.n_products) == (2, 10)  # bread is not in train


@pytest.mark.parametrize("metric", ["R@1", "R@5", "MRR"])
def test_each_part_is_the_mean_of_its_queries_and_the_gap_their_difference(ranks, directory, metric):
    thirds = found(tail_of(ranks, directory, metric), "category by products")
    values = query_values(ranks.pairs["P2V"], metric)
    first, last = values[:6].mean(), values[14:24].mean()
    assert thirds["head"].score.value == pytest.approx(first)
    assert thirds["tail"].score.value == pytest.approx(last)
    assert thirds["head - tail"].score.value == pytest.approx(first - last)


def test_the_mean_is_that_of_the_six_pairs(ranks, directory):
    thirds = tail_of(ranks, directory)
    one, six = found(thirds, "category by samples"), found(thirds, "category by samples", "mean")
    assert six["tail"].score == one["tail"].score  # all pairs are the same here
    assert six["tail"].n_queries == 6 * one["tail"].n_queries


def test_the_gap_is_welchs():
    stats = pytest.importorskip("scipy.stats", reason="scipy, the independent test, is not installed")
    rng = np.random.default_rng(0)
    first, last = rng.random(30) < 0.8, rng.random(12) < 0.4
    sides = [
        micro_estimate(np.array(side, float), np.arange(len(side)) + start, 42)
        for side, start in ((first, 0), (last, 30))
    ]
    got = gap_interval(*sides)
    expected = stats.ttest_ind(first, last, equal_var=False).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx(
        (expected.low, expected.high), abs=0.02
    )  # the jackknife divides by n - 1


def test_no_interval_where_a_side_has_one_product_or_nothing_varies():
    one, two = (
        estimate(np.array([1.0, 0, 0]), np.array([1.0, 0, 0])),
        estimate(np.array([0, 1.0, 0]), np.array([0, 1.0, 1])),
    )
    assert gap_interval(one, two).low is None
    flat = estimate(np.array([0, 1.0, 1]), np.array([0, 1.0, 1]))
    assert gap_interval(flat, flat).low is None


def test_ranks_of_another_dataset_are_refused(ranks, directory):
    other = QueryRanks(RanksProvenance("model", "small", "0" * 64, "validation", "1.0"), ranks.product_ids, ranks.pairs)
    with pytest.raises(UsageError, match="give the dataset that was scored"):
        tail_of(other, directory)
    with pytest.raises(UsageError, match="no metric is called"):
        tail_of(ranks, directory, "R@2")


def test_the_table_and_the_json_say_what_was_counted(ranks, directory):
    thirds = tail_of(ranks, directory)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(tail_table(thirds, "P2V", "R@1"))
    text = console.export_text()
    assert "category by samples" in text
    assert "head - tail" in text
    rows = json.loads(json.dumps(tail_json(thirds, "R@1"), allow_nan=False))
    assert {row["part"] for row in rows} == {"head", "torso", "tail", "head - tail"}
    assert all(row["few_products"] for row in rows)
    torso, shown = next(pair for pair in zip(thirds, rows, strict=True) if pair[0].name == "torso")
    assert shown["ci95"] == [torso.score.low, torso.score.high]
    assert f"{100 * torso.score.low:.2f} - {100 * torso.score.high:.2f}" in text
    alone = replace(torso, score=Interval(1.0, None, None, 1))
    assert tail_json([alone], "R@1")[0]["ci95"] is None


def test_the_command_reads_a_result_and_the_ranks_beside_it(ranks, directory, tmp_path, capsys, monkeypatch):
    import_module("rope.bench.questions")  # which takes the function as it is, and keeps it
    monkeypatch.setattr("rope.bench.stats.query_ranks.load_ranks", lambda path: ranks)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(tail)
    out = tmp_path / "tail.json"
    app(["result.json", "--data", str(directory), "--pair", "P2V", "--json", str(out)], standalone_mode=False)
    assert "Head, torso and tail of P2V, R@1 in %" in capsys.readouterr().out
    assert len(json.loads(out.read_text("utf-8"))["parts"]) == 7 * 3 * 4
    with pytest.raises(UsageError, match="--pair 'X2Y': expected one of mean, P2V"):
        app(["result.json", "--data", str(directory), "--pair", "X2Y"], standalone_mode=False)
