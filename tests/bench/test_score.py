import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.provenance import Provenance
from rope.bench.metrics import KS
from rope.bench.one_shot import Draws
from rope.bench.ranking.counting import LOOPS
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_pair
from rope.bench.ranking.similarity import Vectors
from rope.bench.report import as_json
from rope.bench.score import by_product, count_similarities, score
from rope.bench.stats.intervals import intervals_of
from rope.bench.stats.query_ranks import ranks_of
from rope.dataset.directory import SampleLabels
from rope.domain import CROSS_DOMAIN_PAIRS, DOMAINS, all_pairs
from rope.errors import DatasetError
from tests.bench.reference import float32, score_slowly

DRAWS = Draws(seed=0, trials=3)
PROVENANCE = Provenance("model", "mini", "0" * 64, "validation", {})


def embeddings_of(vectors, ids=None) -> DomainEmbeddings:
    vectors = float32(vectors)
    return DomainEmbeddings(ids or [str(i) for i in range(len(vectors))], vectors, "float32", 0)


def random_case(seed: int, n_products: int = 8, n: int = 20):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_products, 5))
    embeddings, labels = {}, {}
    for domain in DOMAINS:
        products = rng.integers(0, n_products, size=n)
        embeddings[domain] = embeddings_of(centres[products] + rng.normal(size=(n, 5)))
        labels[domain] = SampleLabels(embeddings[domain].sample_ids, [f"p{p}" for p in products])
    return embeddings, labels


def numbers(result) -> dict:
    """All that is reported, except for what depends on the machine."""
    return {
        key: value
        for key, value in as_json(result, PROVENANCE, intervals_of(ranks_of(result, PROVENANCE)), None).items()
        if key != "harness"
    }


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_every_pair_equals_double_loops(seed):
    embeddings, labels = random_case(seed)
    result = score(embeddings, labels, DRAWS, ComputeSettings())
    for pair in all_pairs(DOMAINS):
        slow = score_slowly(
            embeddings[pair.query].vectors,
            labels[pair.query].product_ids,
            embeddings[pair.gallery].vectors,
            labels[pair.gallery].product_ids,
            same=pair.query == pair.gallery,
        )
        scored = [s for s in slow if s is not None]
        got = result.pairs[pair.name]
        assert got.n_queries == len(scored)
        assert got.n_no_positive == len(slow) - len(scored)
        for i, k in enumerate(KS):
            assert got.micro.hit_rate[k] == pytest.approx(np.mean([s.rank <= k for s in scored]))
            assert got.micro.recall[k] == pytest.approx(np.mean([s.hits[i] / s.n_positives for s in scored]))
        assert got.micro.mrr == pytest.approx(np.mean([1 / s.rank for s in scored]))
        assert got.micro.mean_average_precision == pytest.approx(np.mean([s.average_precision for s in scored]))
        assert got.micro.median_rank == np.median([s.rank for s in scored])
    names = [pair.name for pair in CROSS_DOMAIN_PAIRS]
    assert result.headline == pytest.approx(np.mean([result.pairs[name].micro.hit_rate[1] for name in names]))


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([1, 1 << 28]))
def test_rows_blocks_and_threads_change_no_number(seed, threads, memory_bytes):
    embeddings, labels = random_case(seed)
    expected = numbers(score(embeddings, labels, DRAWS, ComputeSettings()))
    order = {domain: by_product(labels[domain]) for domain in DOMAINS}
    shuffled = {
        domain: embeddings_of(
            embeddings[domain].vectors[[int(sample_id) for sample_id in order[domain].sample_ids]],
            order[domain].sample_ids,
        )
        for domain in DOMAINS
    }
    assert numbers(score(shuffled, order, DRAWS, ComputeSettings(memory_bytes, threads))) == expected


def test_constant_embeddings_score_zero_and_say_so():
    _, labels = random_case(0)
    constant = {domain: embeddings_of(np.ones((20, 4))) for domain in DOMAINS}
    result = score(constant, labels, DRAWS, ComputeSettings())
    assert result.headline == 0
    for pair in CROSS_DOMAIN_PAIRS:
        assert result.pairs[pair.name].micro.hit_rate_optimistic[1] == 1
        assert result.one_shot[pair.name].mean == 0


def test_perfect_embeddings_score_one():
    _, labels = random_case(1)
    axes = {domain: embeddings_of(np.eye(8)[[int(p[1:]) for p in labels[domain].product_ids]]) for domain in DOMAINS}
    result = score(axes, labels, DRAWS, ComputeSettings())
    assert result.headline == 1
    assert all(pair.micro.mean_average_precision == 1 for pair in result.pairs.values())
    assert all(one_shot.mean == 1 for one_shot in result.one_shot.values())


def test_a_domain_without_repeated_products_has_no_score_within_itself():
    ids = ["a", "b"]
    labels = {domain: SampleLabels(ids, ["p", "q"]) for domain in DOMAINS}
    embeddings = {domain: embeddings_of(np.eye(2), ids) for domain in DOMAINS}
    pair = score(embeddings, labels, DRAWS, ComputeSettings()).pairs["P2P"]
    assert (pair.n_queries, pair.n_no_positive, pair.micro, pair.macro) == (0, 2, None, None)


def test_domains_without_a_common_product_cannot_be_scored():
    labels = {domain: SampleLabels(["a"], [domain]) for domain in DOMAINS}
    embeddings = {domain: embeddings_of([[1, 0]], ["a"]) for domain in DOMAINS}
    with pytest.raises(DatasetError, match="no product has both a page and a video"):
        score(embeddings, labels, DRAWS, ComputeSettings())


def test_progress_adds_up():
    embeddings, labels = random_case(2)
    done = []
    score(embeddings, labels, DRAWS, ComputeSettings(threads=1, advance=done.append))
    assert sum(done) == pytest.approx(count_similarities(labels, DRAWS), rel=0.4)


def test_how_much_is_rechecked_does_not_depend_on_what_the_process_did_before(monkeypatch):
    rng = np.random.default_rng(0)
    products = np.sort(rng.integers(0, 20, 300))
    vectors = rng.normal(size=(20, 16))[products] + 0.5 * rng.normal(size=(300, 16))
    a, b = (Labelled(Vectors.of(float32(some)), products) for some in (vectors, vectors[:, ::-1]))
    found = []
    for room in (2**40, 0):  # nothing was done yet, and enough for the compiled loops
        monkeypatch.setattr(LOOPS, "room", room)
        found.append([ranks.n_rechecked for ranks in rank_pair(a, b, ComputeSettings())])
    assert found[0] == found[1]
