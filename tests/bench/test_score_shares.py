"""Scores of shares, put together, are those of one machine."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.bench.evaluation import evaluate, score_one_share
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.readers import read_embeddings
from rope.bench.metrics import joined
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import MANY_POSITIVES, ComputeSettings
from rope.bench.running.share import RunShare
from rope.bench.score import count_similarities, score, score_share
from rope.dataset.directory import SampleLabels
from rope.errors import FileError, UsageError

DRAWS = Draws(seed=3, trials=70)


def made(rng, sizes, n_products, *, grouped=False, ragged=False, roles=False):
    """Vectors of small whole numbers, so that many tie, and their labels."""
    embeddings, labels = {}, {}
    for domain, n in sizes.items():
        ids = [f"{domain}{i}" for i in range(n)]
        products = [f"p{i % n_products if i < n_products else rng.integers(n_products)}" for i in range(n)]
        offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 4, n))]) if ragged else None
        rows = n if offsets is None else int(offsets[-1])
        vectors = rng.integers(-1, 2, (rows, 4)).astype(np.float32)
        vectors[:, 0] += 2
        found = DomainEmbeddings(ids, vectors, "float32", offsets=offsets)
        if roles:
            found = replace(found, queries=DomainEmbeddings(ids, vectors[::-1].copy(), "float32", offsets=offsets))
        embeddings[domain] = found
        galleries = [("x", "y", None)[rng.integers(3)] for _ in range(n)] if grouped else None
        labels[domain] = SampleLabels(ids, products, galleries)
    return embeddings, labels


def assert_same(one, other):
    """Every number of two scores, but what could not be settled at once."""
    assert one.headline == other.headline
    assert one.one_shot == other.one_shot
    for name, pair in one.pairs.items():
        for field in (
            "queries",
            "n_positives",
            "rank",
            "rank_optimistic",
            "average_precision",
            "hits",
            "chances",
            "won",
        ):
            a, b = getattr(pair.queries, field), getattr(other.pairs[name].queries, field)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b, err_msg=f"{name} {field}")
                assert a.dtype == b.dtype
        assert (pair.micro, pair.macro, pair.at_random) == (
            other.pairs[name].micro,
            other.pairs[name].macro,
            other.pairs[name].at_random,
        )


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32), world=st.integers(1, 9), kind=st.sampled_from(["plain", "grouped", "ragged", "roles"])
)
def test_shares_together_are_the_whole(seed, world, kind):
    rng = np.random.default_rng(seed)
    options = {} if kind == "plain" else {kind: True}
    embeddings, labels = made(rng, {"page": 23, "video": 31, "live": 17}, 5, **options)
    compute = ComputeSettings(threads=1)
    whole = score(embeddings, labels, DRAWS, compute)
    shares = [score_share(embeddings, labels, DRAWS, compute, RunShare(rank, world)) for rank in range(world)]
    together = {pair: joined([share[pair] for share in shares]) for pair in whole.pairs}
    assert_same(score(embeddings, labels, DRAWS, compute, together), whole)


def test_shares_that_do_not_fit_into_memory():
    rng = np.random.default_rng(0)
    embeddings, labels = made(rng, {"page": 1400, "video": 300}, 9)
    most = MANY_POSITIVES + 50
    labels["page"] = replace(labels["page"], product_ids=["p0"] * most + labels["page"].product_ids[most:])
    whole = score(embeddings, labels, DRAWS, ComputeSettings())
    compute = ComputeSettings(memory_bytes=1 << 20)
    shares = [score_share(embeddings, labels, DRAWS, compute, RunShare(rank, 3)) for rank in range(3)]
    together = {pair: joined([share[pair] for share in shares]) for pair in whole.pairs}
    assert_same(score(embeddings, labels, DRAWS, compute, together), whole)


def test_a_share_computes_its_part_and_no_more():
    rng = np.random.default_rng(0)
    embeddings, labels = made(rng, {"page": 400, "video": 300, "live": 200}, 20)
    seen = []
    for rank in range(4):
        score_share(embeddings, labels, DRAWS, ComputeSettings(advance=seen.append), RunShare(rank, 4))
    assert sum(seen) == pytest.approx(count_similarities(labels, DRAWS), rel=0.02)


def numbers(report):
    told = report.to_dict()
    del told["harness"]["n_rechecked"]
    return told


def test_files_of_shares_make_the_report(dataset, embeddings, tmp_path):
    whole = evaluate(embeddings, dataset)
    for rank in range(3):
        path = score_one_share(embeddings, dataset, share=f"{rank}/3", shares=tmp_path)
    assert path.name == "share-2-of-3.npz"
    assert numbers(evaluate(embeddings, dataset, shares=tmp_path)) == numbers(whole)
    several = Draws(seed=0, trials=2, shots=2)
    for rank in range(3):
        score_one_share(embeddings, dataset, share=f"{rank}/3", shares=tmp_path, draws=several)
    assert numbers(evaluate(embeddings, dataset, shares=tmp_path, draws=several)) == numbers(
        evaluate(embeddings, dataset, draws=several)
    )


def test_what_was_scored_otherwise_is_refused(dataset, embeddings, tmp_path):
    with pytest.raises(UsageError, match="no file share-0-of-N"):
        evaluate(embeddings, dataset, shares=tmp_path)
    score_one_share(embeddings, dataset, share="1/2", shares=tmp_path)
    with pytest.raises(UsageError, match="share 0/2 is missing"):
        evaluate(embeddings, dataset, shares=tmp_path)
    score_one_share(embeddings, dataset, share="0/2", shares=tmp_path)
    evaluate(embeddings, dataset, shares=tmp_path)
    with pytest.raises(UsageError, match="seed is 0 there and 1 now"):
        evaluate(embeddings, dataset, shares=tmp_path, draws=Draws(seed=1))
    with pytest.raises(UsageError, match=r"embeddings\.page.* there and .* now"):
        evaluate(embeddings, dataset, shares=tmp_path, dims=1200)
    others = {d: (rows.sample_ids, rows.vectors[::-1]) for d, rows in read_embeddings([embeddings]).items()}
    with pytest.raises(UsageError, match=r"embeddings\.page\.sha256 is"):
        evaluate(others, dataset, shares=tmp_path)
    score_one_share(embeddings, dataset, share="2/3", shares=tmp_path)
    with pytest.raises(UsageError, match="has shares of 2 and of 3"):
        evaluate(embeddings, dataset, shares=tmp_path)
    (tmp_path / "share-2-of-3.npz").unlink()
    (tmp_path / "share-0-of-2.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(FileError, match=r"share-0-of-2\.npz: not readable as scores of a share"):
        evaluate(embeddings, dataset, shares=tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [("share-1-of-2.npz", "share is '0/2' there and '1/2' now"), ("share-2-of-2.npz", "is none of the 2 shares"),
     ("share-01-of-2.npz", "is none of the 2 shares")],
)  # fmt: skip
def test_a_copy_under_another_name_is_no_other_share(name, told, dataset, embeddings, tmp_path):
    for rank in range(2):
        path = score_one_share(embeddings, dataset, share=f"{rank}/2", shares=tmp_path)
    copied = (tmp_path / "share-0-of-2.npz").read_bytes()
    (tmp_path / name).write_bytes(copied if path.name == name else path.read_bytes())
    with pytest.raises(UsageError, match=told):
        evaluate(embeddings, dataset, shares=tmp_path)


def test_a_share_without_one_of_its_arrays_is_damaged(dataset, embeddings, tmp_path):
    path = score_one_share(embeddings, dataset, share="0/1", shares=tmp_path)
    with np.load(path) as arrays:
        kept = {name: array for name, array in arrays.items() if name != "P2V/rank"}
    np.savez(path, **kept)
    with pytest.raises(FileError, match=r"share-0-of-1\.npz: not readable as scores of a share"):
        evaluate(embeddings, dataset, shares=tmp_path)


def test_the_command_scores_shares_and_joins_them(dataset, embeddings, tmp_path, rope_bench):
    words = ("score", embeddings, "--data", dataset)
    for rank in range(2):
        code, out, _ = rope_bench(*words, "--share", f"{rank}/2", "--shares", tmp_path / "parts")
        assert code == 0
        assert f"share-{rank}-of-2.npz" in out.replace("\n", "")
    assert rope_bench(*words, "--shares", tmp_path / "parts", "--json", tmp_path / "a.json")[0] == 0
    assert rope_bench(*words, "--json", tmp_path / "b.json")[0] == 0
    assert (tmp_path / "a.ranks.parquet").read_bytes() == (tmp_path / "b.ranks.parquet").read_bytes()


@pytest.mark.parametrize(
    "words",
    [("--share", "0/2"), ("--share", "2/2", "--shares", "x"), ("--share", "0/2", "--shares", "x", "--json", "-"),
     ("--shares", "x", "--quick"), ("--shares", "x", "--dims", "8,16"), ("--share", "a", "--shares", "x")],
)  # fmt: skip
def test_options_that_make_no_sense_together(words, dataset, embeddings, rope_bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = rope_bench("score", embeddings, "--data", dataset, *words)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("share", ["9/8", "0/0", "-1/2", "1"])
def test_a_share_that_is_none_is_named_before_a_dataset_is_looked_for(share, rope_bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    code, _, err = rope_bench("score", "a.parquet", "--share", share, "--shares", "x")
    assert code == 2
    assert f"share {share}" in err or f"share '{share}'" in err
