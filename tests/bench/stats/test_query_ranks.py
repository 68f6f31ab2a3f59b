import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rope.bench.io.provenance import Provenance
from rope.bench.metrics import KS
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import as_json, write_json, write_ranks
from rope.bench.score import PROTOCOL_VERSION, score
from rope.bench.stats.intervals import intervals_of
from rope.bench.stats.query_ranks import METRICS, RanksProvenance, query_values, ranks_of, read_ranks
from rope.errors import UsageError
from tests.bench.simulated import pair_ranks
from tests.bench.test_score import random_case

PROVENANCE = Provenance("model", "mini", "0" * 64, "validation", {})


@pytest.fixture(scope="module")
def result():
    return score(*random_case(3), Draws(seed=0, trials=2), ComputeSettings())


@pytest.fixture
def files(result, tmp_path):
    write_ranks(tmp_path / "ranks.parquet", result)
    write_json(tmp_path / "result.json", as_json(result, PROVENANCE, intervals_of(ranks_of(result, PROVENANCE)), None))
    return tmp_path / "ranks.parquet", tmp_path / "result.json"


def same(a, b) -> bool:
    fields = ("products", "n_positives", "rank", "rank_optimistic", "average_precision", "hits")
    return (a.origin, a.product_ids, list(a.pairs)) == (b.origin, b.product_ids, list(b.pairs)) and all(
        a.pairs[name].query_ids == b.pairs[name].query_ids
        and all(np.array_equal(getattr(a.pairs[name], field), getattr(b.pairs[name], field)) for field in fields)
        for name in a.pairs
    )


def test_a_file_gives_back_the_score_it_was_written_from(result, files):
    ranks = read_ranks(*files)
    assert same(ranks, ranks_of(result, PROVENANCE))
    assert ranks.origin == RanksProvenance("model", "mini", "0" * 64, "validation", PROTOCOL_VERSION)


def test_the_order_of_rows_changes_nothing(files):
    expected = read_ranks(*files)
    table = pq.read_table(files[0])
    pq.write_table(table.take(np.random.default_rng(0).permutation(table.num_rows)), files[0])
    assert same(read_ranks(*files), expected)


def test_values_of_queries_average_to_the_reported_means(result, files):
    reported = as_json(result, PROVENANCE, intervals_of(ranks_of(result, PROVENANCE)), None)["pairs"]
    for name, pair in read_ranks(*files).pairs.items():
        for metric in METRICS:
            assert np.mean(query_values(pair, metric)) == pytest.approx(reported[name][metric], abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("R@1", [1, 0, 0]),
        ("R@5", [1, 1, 0]),
        ("recall@5", [1, 1, 0]),
        ("MRR", [1, 0.2, 1 / 60]),
        ("mAP", [1, 0.2, 1 / 60]),
    ],
)
def test_values_by_hand(metric, expected):
    assert query_values(pair_ranks([0, 0, 1], [1, 5, 60], [2, 3, 1]), metric).tolist() == expected


def test_an_unknown_metric_lists_those_there_are():
    with pytest.raises(UsageError, match=f"no metric is called 'R@3'; there are R@{KS[0]}, "):
        query_values(pair_ranks([0], [1]), "R@3")


def spoil(table: pa.Table, column: str, value) -> pa.Table:
    changed = [value, *table[column].to_pylist()[1:]]
    return table.set_column(table.column_names.index(column), column, pa.array(changed, table[column].type))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["rank"]), r"ranks.parquet: .*rank missing"),
        (lambda table: spoil(table, "product_id", None), "product_id missing, there twice, of another type"),
        (lambda table: spoil(table, "rank", 0), "P2V: query '.*' has ranks or hits that contradict each other"),
        (lambda table: spoil(table, "average_precision", float("nan")), "contradict each other"),
        (lambda table: spoil(table, "query_id", table["query_id"][1].as_py()), "P2V: query '.*' occurs 2 times"),
        (lambda table: table.filter(pc.not_equal(table["pair"], "L2V")), "lack L2V"),
        (lambda table: table.slice(1), "are not of one run: P2V has"),
    ],
)
def test_a_spoilt_file_is_refused(files, change, message):
    pq.write_table(change(pq.read_table(files[0])), files[0])
    with pytest.raises(UsageError, match=message):
        read_ranks(*files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "not readable as a result"),
        ("[]", "an object at the top"),
        (json.dumps({"model": "a", "dataset": {}}), "does not say which model, dataset, split"),
    ],
)
def test_a_json_that_is_no_result_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=f"a.json: .*{message}"):
        read_ranks(tmp_path / "ranks.parquet", tmp_path / "a.json")


@pytest.mark.parametrize("text", [None, "PAR1"])
def test_a_ranks_file_that_is_none_is_refused(files, text):
    files[0].unlink()
    if text is not None:
        files[0].write_text(text)
    with pytest.raises(UsageError, match=r"ranks\.parquet"):
        read_ranks(*files)
