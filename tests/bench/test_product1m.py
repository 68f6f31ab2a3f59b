import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.product1m import (
    CUTOFFS,
    Product1mMetrics,
    Truth,
    count_strange,
    evaluate_ranking,
    figures_json,
    figures_table,
    rank_embeddings,
    read_ranking,
    read_truth,
    score_query,
)
from rope.errors import EmbeddingError, ReleaseError, UsageError
from tests.sources.other_releases import write_product1m
from tests.stored import GOLDEN

CASE = GOLDEN / "product1m"


def official(figures: Product1mMetrics) -> dict[str, float]:
    return {"mAP": figures.average_precision, "Prec": figures.precision, "mAR": figures.average_recall}


def test_every_query_scores_what_the_official_script_gave_it():
    recorded = json.loads((CASE / "results.json").read_text("utf-8"))["per_query"]
    truth, ranking = read_truth(CASE), read_ranking(CASE / "retrieval_id_list.txt")
    assert {query for query, _ in ranking} == set(recorded)
    for query, found in ranking:
        for k in CUTOFFS:
            got = official(score_query(query, found, truth, k))
            assert got == pytest.approx(recorded[query][f"top{k}"], abs=1e-12), (query, k)


def test_the_means_are_those_of_the_official_script():
    recorded = json.loads((CASE / "results.json").read_text("utf-8"))["overall"]
    got = figures_json(evaluate_ranking(read_ranking(CASE / "retrieval_id_list.txt"), read_truth(CASE)))
    assert set(got) == set(recorded)
    for name, figures in got.items():
        assert figures == pytest.approx(recorded[name], abs=1e-12)


def test_the_table_shows_percentages():
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(figures_table({10: Product1mMetrics(0.5, 0.25, 1 / 3)}))
    assert all(shown in console.export_text(clear=False) for shown in ("mAP", "50.00", "25.00", "33.33"))


TRUTH = Truth(
    {"one": ["cup"], "set": ["cup", "pot", "cup"], "odd": ["cup", "unknown"], "many": ["cup"] * 11},
    {"c1": "cup", "c2": "cup", "c3": "cup", "p1": "pot", "x": "pan"},
    {"cup": 3, "pot": 1, "pan": 1},
)


@pytest.mark.parametrize(
    ("query", "found", "figures"),
    [
        ("one", ["c1", "x", "c2"], Product1mMetrics((1 + 2 / 3) / 2, 2 / 3, 2 / 3)),
        ("one", [], Product1mMetrics(0, 0, 0)),
        (
            "one",
            ["x", "x", "x", "c1"],
            Product1mMetrics(0, 0, 1 / 3),
        ),  # precision looks at three ids only, recall at ten
        ("one", ["c1", "c1"], Product1mMetrics(1, 1, 2 / 3)),  # a repeated id counts twice
        ("one", ["c1", "elsewhere"], Product1mMetrics(1, 0.5, 0)),  # no recall with an id from outside the gallery
        ("set", ["c1", "p1", "c2", "c3"], Product1mMetrics(1, 1, 1)),
        ("set", ["c1", "c2"], Product1mMetrics(1, 1, (2 / 3 + 0) / 2)),
        ("odd", ["c1"], Product1mMetrics(0, 0, 0)),
        ("many", ["c1"], Product1mMetrics(1, 1, 0)),  # eleven labels share ten places: none each
        ("nobody", ["c1"], Product1mMetrics(0, 0, 0)),
    ],
)
def test_figures_by_hand(query, found, figures):
    assert official(score_query(query, found, TRUTH, 10)) == pytest.approx(official(figures))


def test_embeddings_are_ranked_by_cosine_then_by_id():
    ids = ["one", "c2", "c1", "x", "set", "odd", "many", "c3", "p1"]
    vectors = np.array([[1, 0], [2, 0], [3, 0], [0, 1], [0, 1], [1, 1], [1, 1], [1, 1], [-1, 0]], np.float32)
    ranking = dict(rank_embeddings(DomainEmbeddings(ids, vectors, "float32"), TRUTH))
    assert ranking["one"] == ["c1", "c2", "c3", "x", "p1"]


def test_pages_without_an_embedding_are_named():
    few = DomainEmbeddings(["one", "c1"], np.eye(2, dtype=np.float32), "float32")
    with pytest.raises(EmbeddingError, match="7 of 9 pages have no embedding: set, odd, many, c2, c3"):
        rank_embeddings(few, TRUTH)


def test_the_truth_is_read_from_the_release(tmp_path):
    truth = read_truth(write_product1m(tmp_path))
    assert truth.labels == {"q1": ["cup"], "q2": ["pot", "cup", "pot"]}
    assert truth.label_of == {"g0": "cup", "g1": "cup", "g2": "pot", "g3": "pan"}


def test_faults_of_the_files_are_named(tmp_path):
    write_product1m(tmp_path)
    (tmp_path / "product1m_dev_ossurl_v2.txt").write_text("q1#####title\n")
    with pytest.raises(ReleaseError, match=r"product1m_dev_ossurl_v2.txt:1: 2 fields"):
        read_truth(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read_truth(tmp_path / "nowhere")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UsageError, match="is empty"):
        read_ranking(tmp_path / "empty.txt")


def test_blanks_after_commas_cost_everything_and_are_counted(tmp_path):
    (tmp_path / "ranking.txt").write_text("one, c1, c2\none,c1\n")
    ranking = read_ranking(tmp_path / "ranking.txt")
    assert score_query(*ranking[0], TRUTH, 10) == Product1mMetrics(0, 0, 0)
    strange = count_strange(ranking, TRUTH)
    assert strange["lines with ids that are not in the gallery"] == strange["queries repeated"] == 1


def test_the_command_writes_csv_of_what_it_counts(rope_bench, tmp_path):
    release, ranking, written = write_product1m(tmp_path), tmp_path / "ranking.txt", tmp_path / "figures.csv"
    ranking.write_text("q1,g0,g2\nq2,g1,g2\n")
    code, printed, _ = rope_bench("product1m", release, "--ranking", ranking, "--csv", written)
    assert (code, "100.00" in printed) == (0, True)
    with written.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row.pop("of"), row.pop("release")) == (str(ranking), str(release))
    # q1 (a cup) finds 1 of 2 cups first; q2 (cup and pot) finds both, 1 of 2 cups and the only pot
    figures = {"mAP": 1.0, "Prec": (1 / 2 + 2 / 2) / 2, "mAR": (1 / 2 + (1 / 2 + 1 / 1) / 2) / 2}
    assert {name: float(value) for name, value in row.items()} == {
        f"top{k}_{name}": value for k in CUTOFFS for name, value in figures.items()
    }
