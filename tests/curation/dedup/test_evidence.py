import numpy as np
import pytest

from rope.curation.dedup.evidence import KINDS, MediaPairs, find_evidence, make_items
from rope.errors import DatasetError

PAGES = {("page", "page"): 0.9}
EVERYTHING = {("page", "page"): 0.9, ("page", "video"): 0.8, ("video", "video"): 0.9, ("live", "live"): 0.9}


def ties(rows, thresholds, *, more=(), max_products=50, max_neighbours=50):
    """The pairs of products tied by rows of (product, domain, media, session, angle of the vector in degrees)."""
    product, domain, media, session, angle = zip(*rows, strict=True)
    vectors = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))], axis=1)
    items = make_items(product, domain, media, session=session, vectors=vectors)
    found = find_evidence(items, thresholds, max_products=max_products, max_neighbours=max_neighbours, more=more)
    ids = items.product_ids
    return {(str(ids[a]), str(ids[b]), KINDS[k]) for a, b, k in zip(found.left, found.right, found.kind, strict=True)}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("1", "page", "x", None, 0), ("2", "page", "x", None, 0), {"same media"}),
        (("1", "page", "x", None, 0), ("2", "page", "y", None, 20), {"embedding"}),
        (("1", "page", "x", None, 0), ("2", "page", "y", None, 30), set()),
        (("1", "page", "x", None, 0), ("2", "video", "y", None, 30), {"embedding"}),
        (("1", "video", "x", None, 0), ("2", "page", "y", None, 30), {"embedding"}),
        (("1", "page", "x", None, 0), ("2", "video", "x", None, 0), {"same media"}),
        (("1", "page", "x", None, 0), ("2", "live", "x", None, 0), set()),
        (("1", "page", "x", None, 0), ("1", "page", "y", None, 0), set()),
        (("1", "live", "x", "s", 0), ("2", "live", "x", "s", 0), set()),
        (("1", "live", "x", "s", 0), ("2", "live", "y", "s", 5), set()),
        (("1", "live", "x", "s", 0), ("2", "live", "y", "t", 5), {"embedding"}),
        (("1", "live", "x", None, 0), ("2", "live", "x", None, 0), {"same media"}),
    ],
)
def test_what_ties_two_products(first, second, expected):
    assert ties([first, second], EVERYTHING) == {("1", "2", kind) for kind in expected}


def test_media_of_more_products_than_allowed_are_no_evidence_and_stay():
    rows = [(str(i), "page", "logo", None, 0) for i in range(4)] + [
        ("0", "page", "x", None, 90),
        ("9", "page", "x", None, 90),
    ]
    assert ties(rows, PAGES, max_products=3) == {("0", "9", "same media")}
    assert len(ties(rows, PAGES, max_products=4)) == 7


def test_media_that_resemble_more_than_allowed_are_no_evidence():
    rows = [(str(i), "page", f"copy {i}", None, 0.1 * i) for i in range(5)]
    assert ties(rows, PAGES, max_neighbours=3) == set()
    assert len(ties(rows, PAGES, max_neighbours=4)) == 10


def test_other_comparisons_are_evidence_of_the_same_rules():
    rows = [("1", "page", "x", None, 0), ("2", "page", "y", None, 90), ("3", "live", "z", None, 180)]
    more = [MediaPairs("perceptual", ["x", "x", "x"], ["y", "z", "gone"], [0.8, 0.9, 0.9])]
    assert ties(rows, PAGES, more=more) == {("1", "2", "perceptual")}
    turned = [MediaPairs("perceptual", ["y", "z", "gone"], ["x", "x", "x"], [0.8, 0.9, 0.9])]
    assert ties(rows, PAGES, more=turned) == {("1", "2", "perceptual")}


def test_media_in_too_many_pairs_of_another_comparison_are_no_evidence():
    rows = [(str(i), "page", f"m{i}", None, 90 * (i % 2)) for i in range(5)]
    star = [MediaPairs("perceptual", ["m0"] * 4 + ["m1"], ["m1", "m2", "m3", "m4", "m3"], [0.9] * 5)]
    found = ties(rows, {("page", "page"): 1.0}, more=star, max_neighbours=3)
    assert {tie for tie in found if tie[2] == "perceptual"} == {("1", "3", "perceptual")}


def test_many_sessions_of_one_picture_are_two():
    rows = [("1", "live", "x", f"s{i}", 0) for i in range(5)] + [("2", "live", "x", "s0", 0)]
    product, domain, media, session, _ = zip(*rows, strict=True)
    assert len(make_items(product, domain, media, session=session).node) == 3
    assert ties(rows, EVERYTHING) == {("1", "2", "same media")}


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(0)
    rows = [(str(p), "page", f"m{m}", None, 7 * int(m)) for p, m in rng.integers(0, 30, (200, 2))]
    assert ties([rows[i] for i in rng.permutation(200)], PAGES) == ties(rows, PAGES) != set()


def test_no_rows_are_no_items_and_no_evidence():
    items = make_items([], [], [])
    assert (len(items.product_ids), len(items.media), len(items.node)) == (0, 0, 0)
    assert len(find_evidence(items, PAGES, max_products=9, max_neighbours=9).left) == 0


def test_bad_columns_are_refused():
    with pytest.raises(DatasetError, match="differ in length"):
        make_items(["1", "2"], ["page"], ["x"])
    with pytest.raises(DatasetError, match="unknown domain 'web'"):
        make_items(["1"], ["web"], ["x"])
