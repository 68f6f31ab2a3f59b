"""A second stage: what is kept, how it is scored, and that it is nobody else's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from baselines.evidence import HandmadeEvidence
from rope.bench.evaluation import evaluate
from rope.bench.io.readers import read_embeddings
from rope.bench.questions import compare
from rope.bench.rerank.kept import PairCandidates, read_candidates, score_candidates
from rope.bench.rerank.run import rerank_result, rescore_candidates
from rope.bench.score import ordered_labels
from rope.dataset.directory import SampleLabels, read_labels
from rope.errors import EmbeddingError, RopeError, UsageError


class Fixed:
    """Scores by a function of the ids."""

    name, abstains = "fixed", True

    def __init__(self, of, fingerprint="1"):
        self.of, self.fingerprint, self.n_calls = of, fingerprint, 0

    def score(self, queries, candidates):
        self.n_calls += 1
        return np.array([self.of(a, b) for a, b in zip(queries, candidates, strict=True)], float)


class SameProduct(Fixed):
    """Knows the answer."""

    def __init__(self, data):
        labels = read_labels(data, "validation")
        product = {d: dict(zip(rows.sample_ids, rows.product_ids, strict=True)) for d, rows in labels.items()}
        super().__init__(lambda a, b: float(product[a.domain][a.sample_id] == product[b.domain][b.sample_id]))


@pytest.fixture(scope="module")
def first(dataset, embeddings, tmp_path_factory):
    report = evaluate(embeddings, dataset)
    path = tmp_path_factory.mktemp("first") / "first.json"
    report.save(path)
    return path


def numbers(report):
    """All but what only ties among scores decide."""
    return {
        name: {key: value for key, value in pair.items() if key not in ("optimistic", "macro", "ci95")}
        for name, pair in report.pairs.items()
    }


def test_a_folder_is_not_taken_for_the_file(dataset, embeddings, first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^\.: is a folder; expected the name of a file to write"):
        rerank_result(first, embeddings, Fixed(lambda a, b: 0.0), dataset, out=Path())


def test_scores_of_the_first_stage_change_nothing(dataset, embeddings, first, tmp_path):
    vectors = {d: dict(zip(r.sample_ids, r.vectors, strict=True)) for d, r in read_embeddings([embeddings]).items()}

    def cosine(a, b):
        one, other = vectors[a.domain][a.sample_id].astype(float), vectors[b.domain][b.sample_id].astype(float)
        return round(one @ other / np.sqrt((one @ one) * (other @ other)), 11)  # copies of an image are equal

    before = evaluate(embeddings, dataset)
    for depth in (1, 4, 99):
        out = tmp_path / f"{depth}.parquet"
        after = rerank_result(first, embeddings, Fixed(cosine), dataset, out=out, depth=depth)
        assert numbers(after) == {name: pair for name, pair in numbers(before).items() if name in after.pairs}


def test_a_perfect_reranker_finds_what_is_among_the_candidates(dataset, embeddings, first, tmp_path):
    before = evaluate(embeddings, dataset)
    report = rerank_result(first, embeddings, SameProduct(dataset), dataset, out=tmp_path / "c.parquet", depth=5)
    for name, pair in report.pairs.items():
        assert pair["R@1"] == before.pairs[name]["R@5"]
        assert [pair[f"R@{k}"] for k in (5, 10, 50)] == [before.pairs[name][f"R@{k}"] for k in (5, 10, 50)]
    assert set(report.pairs) == {"P2V", "V2P", "P2L", "L2P", "V2L", "L2V"}
    assert report.one_shot == {}
    told = report.to_dict()
    assert told["model"] == "rerank of embeddings at k=5 by fixed"
    assert told["rerank"]["first_stage"] == {"model": "embeddings", "headline": before.headline}
    assert told["rerank"]["depth"] == 5
    assert "points of mean R@1" in str(report)


def test_constant_scores_count_against_the_reranker(dataset, embeddings, first, tmp_path):
    constant = Fixed(lambda a, b: 0.5)
    report = rerank_result(first, embeddings, constant, dataset, out=tmp_path / "c.parquet", depth=99)
    assert report.headline == 0
    assert all(pair["optimistic"]["R@1"] == 1 for pair in report.pairs.values())


def test_a_pair_without_a_score_stays_behind_in_the_order_of_the_first_stage():
    labels = ordered_labels(
        {"page": SampleLabels(["q"], ["x"], None), "video": SampleLabels([*"abcde"], ["x", "y", "y", "y", "x"], None)}
    )
    back = PairCandidates([*"ae"], np.array([0, 1, 2]), ["q", "q"], np.array([1, 1]), np.zeros(2))

    def ranks(scores):
        places, ids = np.array([1, 2, 3, 5]), [*"bcae"]  # d is fourth, and no candidate
        forward = PairCandidates(["q"], np.array([0, 4]), ids, places, np.array(scores))
        found = score_candidates({"P2V": forward, "V2P": back}, labels, 3).pairs["P2V"].queries
        return int(found.rank[0]), float(found.average_precision[0])

    nothing = np.nan
    assert ranks([nothing, nothing, nothing, nothing]) == (3, pytest.approx((1 / 3 + 2 / 5) / 2))
    assert ranks([0.1, 0.2, 0.2, nothing]) == (2, pytest.approx((1 / 2 + 2 / 5) / 2))
    assert ranks([nothing, 0.2, 0.9, nothing]) == (1, pytest.approx((1 + 2 / 5) / 2))
    assert ranks([nothing, 0.2, nothing, nothing]) == (3, pytest.approx((1 / 3 + 2 / 5) / 2))


def test_what_is_kept_gives_the_same_result_again(dataset, embeddings, first, tmp_path):
    out = tmp_path / "c.parquet"
    report = rerank_result(first, embeddings, HandmadeEvidence(), dataset, out=out, depth=7)
    assert rescore_candidates(out, dataset).to_json() == report.to_json()
    same = rerank_result(first, embeddings, HandmadeEvidence(), dataset, out=out, depth=7)  # nothing is left to do
    assert same.to_json() == report.to_json()


@pytest.mark.parametrize("spoil", ["a candidate", "a place", "a positive", "a query", "a pair"])
def test_candidates_that_were_altered_are_refused(dataset, embeddings, first, tmp_path, spoil):
    out = tmp_path / "c.parquet"
    rerank_result(first, embeddings, HandmadeEvidence(), dataset, out=out, depth=2)
    kept = read_candidates(out)
    pair = kept["P2V"]
    if spoil == "a candidate":
        kept["P2V"] = replace(pair, sample_ids=[pair.sample_ids[1], *pair.sample_ids[1:]])
    elif spoil == "a place":
        kept["P2V"] = replace(pair, places=np.concatenate([[2], pair.places[1:]]))
    elif spoil == "a positive":
        n = int(pair.offsets[1])
        kept["P2V"] = PairCandidates(
            pair.query_ids,
            np.concatenate([[0], pair.offsets[1:] - 1]),
            pair.sample_ids[: n - 1] + pair.sample_ids[n:],
            np.delete(pair.places, n - 1),
            np.delete(pair.scores, n - 1),
        )
    elif spoil == "a query":
        n = int(pair.offsets[1])
        rest = (pair.sample_ids[n:], pair.places[n:], pair.scores[n:])
        kept["P2V"] = PairCandidates(pair.query_ids[1:], pair.offsets[1:] - n, *rest)
    else:
        del kept["L2V"]
    with pytest.raises(RopeError, match=r"candidates"):
        score_candidates(kept, ordered_labels(read_labels(dataset, "validation")), 2)


def test_an_infinite_score_is_no_score(dataset, embeddings, first, tmp_path):
    out = tmp_path / "c.parquet"
    rerank_result(first, embeddings, HandmadeEvidence(), dataset, out=out, depth=2)
    table = pq.read_table(out)
    scores = pa.array([np.inf, *table["score"].to_pylist()[1:]], pa.float64())
    place = table.schema.names.index("score")
    pq.write_table(table.set_column(place, table.schema.field(place), scores), out)
    with pytest.raises(UsageError, match="not a file of candidates"):
        rescore_candidates(out, dataset)


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(dataset, embeddings, first, tmp_path):
    class Killed(Fixed):
        def score(self, queries, candidates):
            if queries[0].domain == "live":
                raise KeyboardInterrupt
            return super().score(queries, candidates)

    def by_id(a, b):
        return float(len(a.sample_id) * 31 % 7 + ord(b.sample_id[-1]) * 17 % 5)

    whole, out = tmp_path / "whole.parquet", tmp_path / "c.parquet"
    rerank_result(first, embeddings, Fixed(by_id), dataset, out=whole, depth=3)
    with pytest.raises(KeyboardInterrupt):
        rerank_result(first, embeddings, Killed(by_id), dataset, out=out, depth=3)
    assert not out.exists()
    rerank_result(first, embeddings, Fixed(by_id), dataset, out=out, depth=3)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.parquet", "whole.parquet"]
    with pytest.raises(UsageError, match=r"embedder_fingerprint is '1' there and '2' now; start over with --overwrite"):
        rerank_result(first, embeddings, Fixed(by_id, "2"), dataset, out=out, depth=3)
    with pytest.raises(UsageError, match="depth is 3 there and 4 now"):
        rerank_result(first, embeddings, Fixed(by_id), dataset, out=out, depth=4)
    rerank_result(first, embeddings, Fixed(by_id), dataset, out=out, depth=4, overwrite=True)


@pytest.mark.parametrize(
    ("of", "match"),
    [
        (lambda a, b: np.inf, "the score is inf, expected a number"),
        (lambda a, b: [1.0, 2.0], r"score returned float64 \(\d+, 2\), expected"),
        (lambda a, b: np.random.default_rng().random(), "depends on the batch it is in, or is drawn at random"),
    ],
)
def test_a_reranker_that_is_no_function_is_refused(dataset, embeddings, first, tmp_path, of, match):
    with pytest.raises(EmbeddingError, match=match):
        rerank_result(first, embeddings, Fixed(of), dataset, out=tmp_path / "c.parquet", depth=3)
    assert list(tmp_path.iterdir()) == []


def test_other_vectors_than_those_of_the_result_are_refused(dataset, embeddings, first, tmp_path):
    rows = {d: (r.sample_ids, r.vectors[:, ::-1]) for d, r in read_embeddings([embeddings]).items()}
    with pytest.raises(UsageError, match="vectors of page are not those that were scored"):
        rerank_result(first, rows, HandmadeEvidence(), dataset, out=tmp_path / "c.parquet")


def test_the_command_writes_what_the_library_gives(rope_bench, dataset, embeddings, first, tmp_path):
    out, result = tmp_path / "c.parquet", tmp_path / "r.json"
    words = [
        "rerank",
        first,
        embeddings,
        "--model",
        "baselines:evidence",
        "--data",
        dataset,
        "--out",
        out,
        "--depth",
        4,
    ]
    code, printed, _ = rope_bench(*words, "--json", result, "--csv", tmp_path / "r.csv")
    assert code == 0
    assert "rerank of embeddings at k=4 by evidence" in printed
    told = json.loads(result.read_text())
    assert told["rerank"]["candidates"]["file"] == "c.parquet"
    assert (tmp_path / "r.csv").read_text().count("rerank of embeddings at k=4 by evidence") == 6
    again = tmp_path / "again.json"
    assert rope_bench("rerank", "--rescore", out, "--data", dataset, "--json", again)[0] == 0
    assert json.loads(again.read_text())["pairs"] == told["pairs"]
    assert {"place", "score"} < set(pq.read_schema(out).names)
    compared = compare([first, result])
    assert [model.model for model in compared.value.standings].count("embeddings") == 1
    assert (
        rope_bench("rerank", result, embeddings, "--model", "baselines:evidence", "--data", dataset, "--out", again)[0]
        == 2
    )


def test_what_is_missing_is_said(rope_bench, dataset, first):
    code, _, err = rope_bench("rerank", first, "--data", dataset)
    assert code == 2
    assert "expected RESULT EMB... --model MODEL --out" in err
    code, _, err = rope_bench("rerank", first, "e", "--model", "baselines:handcrafted", "--data", dataset, "--out", "c")
    assert code == 2
    assert "has no 'reranker'" in err


@pytest.mark.parametrize("transform", ["--centre", "--whiten", "--csls"])
def test_vectors_that_were_transformed_are_taken_with_the_same_transform(
    rope_bench, dataset, embeddings, tmp_path, transform
):
    train, result, out = tmp_path / "train.parquet", tmp_path / "r.json", tmp_path / "c.parquet"
    data = ["--data", dataset]
    rope_bench("run", "--model", "baselines:handcrafted", *data, "--split", "train", "--out", train)
    code, _, err = rope_bench("score", embeddings, *data, transform, train, "--json", result)
    assert code == 0, err
    words = ["rerank", result, embeddings, *data, "--model", "baselines:evidence", "--out", out]
    code, _, err = rope_bench(*words)
    assert (code, "--dims, --centre, --whiten or --csls" in err) == (2, True)
    code, printed, err = rope_bench(*words, transform, train)
    assert code == 0, err
    word = {"--centre": "centred", "--whiten": "whitened", "--csls": "CSLS"}[transform]
    assert f"({word}) at k=" in printed.replace("\n", " ")
