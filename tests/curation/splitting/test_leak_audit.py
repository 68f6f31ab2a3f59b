import numpy as np
import pyarrow as pa
import pytest

from rope.curation.dedup.neighbours import NearPairs
from rope.curation.splitting.leak_audit import Recall, SplitSide, audit_leaks, exact_search, to_markdown
from rope.errors import DatasetError, EmbeddingError, UsageError


def side(*rows, **shared):
    """Samples (domain, angle in degrees, or None for its own direction), with ids from 0."""
    vectors = np.zeros((len(rows), 64), np.float32)
    for i, (_, angle) in enumerate(rows):
        if angle is None:
            vectors[i, 2:] = np.random.default_rng(i + 77 * len(rows)).standard_normal(62)
        else:
            vectors[i, :2] = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return SplitSide([str(i) for i in range(len(rows))], [domain for domain, _ in rows], vectors, listed(shared))


def listed(shared):
    """A value, several or None of each sample as the lists that a side wants."""
    lists = {kind: [[one] if isinstance(one, str) else one for one in values] for kind, values in shared.items()}
    return {kind: pa.array(values, pa.list_(pa.string())) for kind, values in lists.items()}


def leaks(audit):
    names = ("kind", "validation_domain", "train_domain", "validation_id", "train_id", "pairs", "cosine")
    return [tuple(row[name] for name in names) for row in audit.leaks.to_pylist()]


def test_near_pairs_are_found_in_every_pair_of_domains():
    validation = side(("page", 0), ("live", 90))
    train = side(("page", 10), ("video", 11), ("live", 45), ("page", 80))
    audit = audit_leaks(validation, train, threshold=0.98, seed=0)
    assert leaks(audit) == [
        ("near", "live", "page", "1", "3", 1, 0.9848),
        ("near", "page", "page", "0", "0", 1, 0.9848),
        ("near", "page", "video", "0", "1", 1, 0.9816),
    ]


@pytest.mark.parametrize("kind", ["media", "session", "title"])
def test_what_is_shared_is_listed_once_a_sample_and_domain(kind):
    validation = side(*[("page", None)] * 3, **{kind: ["x", None, "y"]})
    train = side(*[("live", None)] * 4, ("page", None), **{kind: ["z", "x", "x", None, "x"]})
    audit = audit_leaks(validation, train, threshold=0.9, seed=0)
    assert leaks(audit) == [(kind, "page", "live", "0", "1", 2, None), (kind, "page", "page", "0", "4", 1, None)]


def test_of_several_frames_each_that_is_shared_counts():
    validation = side(("video", None), ("video", None), media=[["x", "y", "x"], []])
    train = side(("page", None), ("live", None), media=["z", ["y", "x"]])
    audit = audit_leaks(validation, train, threshold=None, seed=0)
    assert leaks(audit) == [("media", "video", "live", "0", "1", 2, None)]
    assert audit.leaking() == {"near": 0, "media": 1, "session": 0, "title": 0}


def test_without_a_threshold_no_vectors_are_needed_and_the_card_says_that_nothing_was_searched():
    one = SplitSide(["1"], ["page"], None, listed({"title": ["cup"]}))
    audit = audit_leaks(one, one, threshold=None, seed=0)
    assert to_markdown(audit).splitlines()[:3] == [
        "| validation → train | same media | same session | same title | recall of the search |",
        "|---|---|---|---|---|",
        "| P → P | 0 | 0 | 1 | near pairs were not searched |",
    ]
    with pytest.raises(UsageError, match=r"threshold is 0\.9, but samples have no vectors"):
        audit_leaks(one, one, threshold=0.9, seed=0)


def half_blind(queries, gallery, threshold):
    """A search that misses the right half of the plane."""
    found = exact_search(queries, gallery, threshold)
    seen = gallery[found.right, 0] < 0.7
    return NearPairs(
        found.left[seen], found.right[seen], found.cosine[seen], found.left_saturated, found.right_saturated
    )


def test_the_order_of_samples_changes_nothing():
    rng = np.random.default_rng(0)
    domains, angles = rng.choice(["page", "live"], 60).tolist(), rng.uniform(0, 90, 60).tolist()
    whole = side(*zip(domains, angles, strict=True))

    def shuffled(order):
        titles = {"title": [str(i % 7) for i in order]}
        return SplitSide([str(i) for i in order], [domains[i] for i in order], whole.vectors[order], listed(titles))

    orders = np.arange(60), rng.permutation(60)
    first, second = (
        audit_leaks(shuffled(order), shuffled(order[::-1]), threshold=0.99, seed=3, search=half_blind)
        for order in orders
    )
    assert first.leaks.equals(second.leaks)
    assert first.recalls == second.recalls
    assert 0 < first.recalls[0].found < first.recalls[0].canaries


def test_the_exact_search_finds_all_canaries():
    rng = np.random.default_rng(0)
    train = SplitSide(
        [str(i) for i in range(500)], ["page", "live"] * 250, rng.standard_normal((500, 64)).astype(np.float32), {}
    )
    audit = audit_leaks(side(("page", 0)), train, threshold=0.9, seed=0, n_canaries=300)
    assert audit.recalls == (Recall("page", "page", 300, 300), Recall("page", "live", 300, 300))
    assert audit.recalls[0].at_least == pytest.approx(0.05 ** (1 / 300))


def forgetful(queries, gallery, threshold):
    """A search that never sees the second half of the gallery."""
    found = exact_search(queries, gallery, threshold)
    seen = found.right < len(gallery) / 2
    return NearPairs(
        found.left[seen], found.right[seen], found.cosine[seen], found.left_saturated, found.right_saturated
    )


def blind(queries, gallery, threshold):
    return exact_search(queries[:1], gallery, threshold)


@pytest.mark.parametrize(("search", "low", "high"), [(forgetful, 0.4, 0.6), (blind, 0.0, 0.0)])
def test_a_search_that_misses_pairs_is_found_out(search, low, high):
    train = side(*[("page", None)] * 200)
    audit = audit_leaks(side(("page", 0)), train, threshold=0.9, seed=0, search=search)
    assert low <= audit.recalls[0].found / audit.recalls[0].canaries <= high
    assert audit.recalls[0].at_least <= high


@pytest.mark.parametrize(("angle", "finds_all"), [(0, True), (1, False)])
def test_only_the_very_vector_of_the_original_stands_for_it(angle, finds_all):
    train = side(("page", 0), ("page", angle))
    recall = audit_leaks(side(("page", 90)), train, threshold=0.9, seed=0, search=forgetful).recalls[0]
    assert (recall.found == recall.canaries) == finds_all


def test_at_a_threshold_of_1_only_equal_directions_are_leaks():
    audit = audit_leaks(side(("page", 0), ("page", 30)), side(("page", 0), ("page", 29)), threshold=1.0, seed=0)
    assert [row[3:5] for row in leaks(audit)] == [("0", "0")]
    assert audit.recalls == (Recall("page", "page", 200, 200),)


def test_canaries_are_no_leaks():
    assert leaks(audit_leaks(side(("page", 0)), side(("page", None)), threshold=0.5, seed=0, n_canaries=50)) == []


def test_waived_samples_are_listed_apart():
    validation, train = side(("page", 0), ("page", 1)), side(("page", 0))
    audit = audit_leaks(validation, train, threshold=0.9, seed=0, waived=["1"])
    assert (audit.leaks["validation_id"].to_pylist(), audit.waived["validation_id"].to_pylist()) == (["0"], ["1"])
    assert to_markdown(audit).endswith("1 further pairs were waived.")


def test_the_card_has_a_row_for_each_pair_of_domains_that_both_sides_have():
    validation = side(("page", 0), ("live", None), media=["x", "y"])
    train = side(("page", 5), ("page", None), ("page", None), media=["x", "x", "y"])
    lines = to_markdown(audit_leaks(validation, train, threshold=0.9, seed=0)).splitlines()
    assert lines[2] == "| P → P | 1 | 2 | 0 | 0 | 200 of 200 canaries, at least 98.5 % |"
    assert lines[3] == "| L → P | 0 | 1 | 0 | 0 | 200 of 200 canaries, at least 98.5 % |"


def test_what_cannot_be_meant_is_refused():
    one = side(("page", 0))
    with pytest.raises(UsageError, match="n_canaries is 0; expected at least 1"):
        audit_leaks(one, one, threshold=0.9, seed=0, n_canaries=0)
    with pytest.raises(UsageError, match=r"threshold is 1\.1; expected above 0 and at most 1"):
        audit_leaks(one, one, threshold=1.1, seed=0)
    with pytest.raises(DatasetError, match="'ids': 1, 'domains': 2"):
        SplitSide(["a"], ["page", "page"], None, {})
    with pytest.raises(EmbeddingError, match="1 vectors are zero or not finite, the first of them that of page 'b'"):
        SplitSide(["a", "b"], ["page", "page"], np.eye(2, dtype=np.float32) * [1, 0], {})
    with pytest.raises(UsageError, match="unknown kind of shared value 'colour'"):
        side(("page", 0), colour=["red"])
