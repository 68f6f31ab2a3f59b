"""Datasets that lack a domain, or in which a query has its own gallery."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from rope.bench.io.provenance import Provenance
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import headline_name
from rope.bench.score import by_product, count_similarities, score
from rope.bench.stats.compare import MEAN, compare
from rope.bench.stats.query_ranks import ranks_of
from rope.dataset.directory import SampleLabels
from rope.errors import DatasetError
from tests.bench.test_score import DRAWS, embeddings_of, random_case


def only(case, *domains):
    return tuple({domain: part[domain] for domain in domains} for part in case)


@pytest.mark.parametrize(
    ("domains", "pairs"),
    [
        (["page"], ["P2P"]),
        (["page", "video"], ["P2V", "V2P", "P2P", "V2V"]),
        (["page", "live"], ["P2L", "L2P", "P2P", "L2L"]),
    ],
)
def test_the_pairs_are_those_of_the_domains_that_are_there(domains, pairs):
    case = random_case(4)
    whole, part = score(*case, DRAWS, ComputeSettings()), score(*only(case, *domains), DRAWS, ComputeSettings())
    assert list(part.pairs) == pairs
    assert list(part.one_shot) == pairs[: -len(domains)]
    for name in pairs:
        assert part.pairs[name].micro == whole.pairs[name].micro


def test_the_headline_is_the_mean_over_the_cross_domain_pairs_that_are_there():
    two = score(*only(random_case(4), "page", "video"), DRAWS, ComputeSettings())
    assert two.headline == pytest.approx(np.mean([two.pairs[name].micro.hit_rate[1] for name in ("P2V", "V2P")]))
    assert headline_name(two) == "mean R@1 of the 2 cross-domain pairs of the dataset"
    one = score(*only(random_case(4), "page"), DRAWS, ComputeSettings())
    assert one.headline is None
    assert headline_name(one) == "none: the dataset has one domain"


def test_models_of_one_domain_are_compared_on_the_pair_that_there_is():
    ranks = []
    for seed in (4, 5):
        vectors, _ = only(random_case(seed), "page")
        _, labels = only(random_case(4), "page")
        provenance = Provenance(f"model-{seed}", "small", "f" * 64, "validation", {})
        ranks.append(ranks_of(score(vectors, labels, DRAWS, ComputeSettings()), provenance))
    found = compare(ranks, "R@1")
    assert (found.columns, len(found.differences)) == ((MEAN,), 1)
    r_at_1 = {one.origin.model: np.mean(one.pairs["P2P"].rank <= 1) for one in ranks}
    assert {one.model: one.intervals[MEAN].value for one in found.standings} == pytest.approx(r_at_1)
    assert found.notes[0] == "The dataset has one domain: the mean is of its pair with itself."


def test_by_chance_is_what_random_orders_come_to():
    vectors, labels = random_case(4)
    result = score(vectors, labels, DRAWS, ComputeSettings())
    for name in ("P2V", "P2P"):
        pair = result.pairs[name]
        n = pair.n_gallery - (name == "P2P")
        for k, chance in pair.at_random.items():
            none_found = [hypergeom.pmf(0, n, positives, min(k, n)) for positives in pair.queries.n_positives]
            assert chance == pytest.approx(1 - np.mean(none_found)), (name, k)


def test_by_chance_is_of_the_gallery_that_a_query_has():
    assert score(*grouped_case(), DRAWS, ComputeSettings()).pairs["L2P"].at_random[1] == 0.5


def grouped_case():
    """Two shops; in each, clip c shows product 1 and is most similar to the page of product 2 in the *other* shop."""
    labels = {
        "page": SampleLabels(["x/1", "x/2", "y/1", "y/2"], ["1", "2", "3", "4"], ["x", "x", "y", "y"]),
        "live": SampleLabels(["x-c", "y-c"], ["1", "3"], ["x", "y"]),
    }
    vectors = {"page": [[3, 1], [0, 1], [1, 3], [1, 0]], "live": [[1, 0], [0, 1]]}
    return {domain: embeddings_of(vectors[domain], labels[domain].sample_ids) for domain in labels}, labels


def test_a_query_is_answered_from_its_own_gallery():
    result = score(*grouped_case(), DRAWS, ComputeSettings())
    assert result.pairs["L2P"].queries.rank.tolist() == [1, 1]
    assert result.headline == 1
    assert result.one_shot == {}


def test_the_same_embeddings_fail_in_the_gallery_of_all():
    embeddings, labels = grouped_case()
    without = {domain: SampleLabels(rows.sample_ids, rows.product_ids) for domain, rows in labels.items()}
    assert score(embeddings, without, DRAWS, ComputeSettings()).pairs["L2P"].queries.rank.tolist() == [2, 2]


def test_domains_that_share_products_in_no_gallery_cannot_be_scored():
    embeddings, labels = grouped_case()
    labels["live"] = SampleLabels(["x-c", "y-c"], ["1", "3"], ["y", "x"])
    with pytest.raises(DatasetError, match="no product has both a page and a live"):
        score(embeddings, labels, DRAWS, ComputeSettings())


def test_galleries_follow_their_samples_into_another_order():
    labels = SampleLabels(["a", "b", "c"], ["2", "1", "2"], ["x", None, "y"])
    assert by_product(labels) == SampleLabels(["b", "a", "c"], ["1", "2", "2"], [None, "x", "y"])


def test_progress_counts_what_is_compared():
    embeddings, labels = grouped_case()
    done: list[int] = []
    score(embeddings, labels, Draws(0, 3), ComputeSettings(threads=1, advance=done.append))
    assert count_similarities(labels, Draws(0, 3)) == 8 // 2 + 10 // 2
