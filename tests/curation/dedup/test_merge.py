import numpy as np
import pytest

from rope.curation.dedup.evidence import make_items
from rope.curation.dedup.explain import why
from rope.curation.dedup.merge import MergeRules, PairLabels, merge_products
from rope.curation.dedup.merge_tables import evidence_table, product_table
from rope.errors import DatasetError, UsageError
from tests.curation.planted import pair_scores, plant

PAGES = {("page", "page"): 0.9}


def pages(shown):
    """Items of product -> its media; media with one letter and different numbers resemble each other."""
    rows = [(product, media) for product, names in shown.items() for media in names]
    letters = sorted({media[0] for _, media in rows})
    vectors = [np.eye(len(letters))[letters.index(media[0])] for _, media in rows]
    return make_items([row[0] for row in rows], ["page"] * len(rows), [row[1] for row in rows], vectors=vectors)


CHAIN = {"1": ["a1"], "2": ["a2", "b1"], "3": ["b2"]}
TWINS = {"1": ["a1"], "2": ["a1"], "3": ["a1"]}


@pytest.mark.parametrize(
    ("shown", "options", "expected"),
    [
        (CHAIN, {}, ["1", "1", "3"]),
        (TWINS, {}, ["1", "1", "1"]),
        (TWINS, {"labels": PairLabels(cannot=(("1", "3"),))}, ["1", "1", "3"]),
        (CHAIN, {"labels": PairLabels(must=(("3", "1"),))}, ["1", "1", "1"]),
        (CHAIN, {"labels": PairLabels(must=(("1", "3"),), cannot=(("2", "3"),))}, ["1", "2", "1"]),
        (CHAIN, {"labels": PairLabels(must=(("1", "gone"),), cannot=(("gone", "2"),))}, ["1", "1", "3"]),
        (TWINS, {"brand": {"1": "x", "3": "y"}}, ["1", "1", "3"]),
        (TWINS, {"brand": {"2": "x", "3": None}}, ["1", "1", "1"]),
        (CHAIN, {"brand": {"1": "x", "2": "y", "3": "y"}}, ["1", "2", "2"]),
        (TWINS, {"brand": {"1": 1, "2": 2, "3": 2}, "labels": PairLabels(must=(("1", "2"),))}, ["1", "1", "1"]),
        (TWINS, {"cap": 2}, ["1", "2", "3"]),
        (TWINS, {"cap": 2, "labels": PairLabels(must=(("2", "3"),))}, ["1", "1", "1"]),
    ],
)
def test_groups_of_three_products(shown, options, expected):
    options = dict(options)
    brand = options.pop("brand", None)
    rules = MergeRules(PAGES, cap=options.pop("cap", 200), vetoes=("brand",) if brand else ())
    merge = merge_products(pages(shown), rules, attributes={"brand": brand} if brand else None, **options)
    assert merge.group_ids.tolist() == expected


@pytest.mark.parametrize(
    ("rules", "labels", "pair", "reason"),
    [
        ({}, PairLabels(), ("1", "2"), "1 and 2 are one product: embedding (1.0000)"),
        ({}, PairLabels(), ("2", "3"), "but a product grouped with one of them has no tie to the other"),
        (
            {},
            PairLabels(),
            ("1", "3"),
            "only a chain of 2 ties leads from one to the other, and it ends between 2 and 3",
        ),
        ({}, PairLabels(), ("1", "4"), "no media of one resemble media of the other"),
        ({}, PairLabels(must=(("1", "4"),)), ("4", "2"), "label (1.0000), embedding (1.0000)"),
        ({}, PairLabels(cannot=(("1", "2"),)), ("1", "2"), "a cannot-link label says so"),
        ({"cap": 2}, PairLabels(), ("1", "2"), "but their component is above the cap and waits for review"),
        ({"vetoes": ("brand",)}, PairLabels(), ("1", "2"), "but their brand differs"),
        ({"max_products": 1}, PairLabels(), ("5", "6"), "the media they share (d1) are shown by too many products"),
    ],
)
def test_every_decision_is_explained(rules, labels, pair, reason):
    shown = CHAIN | {"4": ["c1"], "5": ["d1"], "6": ["d1"]}
    merge = merge_products(
        pages(shown), MergeRules(PAGES, **rules), attributes={"brand": {"1": "x", "2": "y"}}, labels=labels
    )
    assert reason in why(merge, *pair).reason


def test_a_shared_stream_is_named_and_is_no_evidence():
    items = make_items(["1", "2"], ["live", "live"], ["x", "x"], session=["s", "s"])
    merge = merge_products(items, MergeRules({("live", "live"): 0.9}))
    assert why(merge, "1", "2").reason.endswith("they share a session, which is not evidence")


def test_an_unknown_product_and_contradicting_labels_are_refused():
    with pytest.raises(UsageError, match="product '9' is not among the 3 products"):
        why(merge_products(pages(TWINS), MergeRules(PAGES)), "1", "9")
    with pytest.raises(DatasetError, match="labels contradict each other for 1 pairs of products, such as 1 and 3"):
        merge_products(
            pages(TWINS), MergeRules(PAGES), labels=PairLabels(must=(("1", "2"), ("2", "3")), cannot=(("1", "3"),))
        )
    with pytest.raises(UsageError, match="veto 'brand': there is no such attribute; the attributes are none"):
        merge_products(pages(TWINS), MergeRules(PAGES, vetoes=("brand",)))
    with pytest.raises(UsageError, match="the attributes are colour, size"):
        merge_products(pages(TWINS), MergeRules(PAGES, vetoes=("brand",)), attributes={"colour": {}, "size": {}})


def test_the_verdict_names_the_veto_however_long_its_name_is():
    rules = MergeRules(PAGES, vetoes=("country of manufacture",))
    merge = merge_products(pages(TWINS), rules, attributes={"country of manufacture": {"1": "x", "2": "y"}})
    assert set(merge.verdict.tolist()) == {"veto: country of manufacture", "merged", "unlinked"}


@pytest.mark.parametrize(
    "rules",
    [
        {"cap": 1},
        {"max_products": 0},
        {"thresholds": {("page", "page"): 1.2}},
        {"thresholds": {("page", "page"): 0.0}},
        {"thresholds": {("page", "web"): 0.9}},
    ],
)
def test_rules_out_of_range_are_refused(rules):
    with pytest.raises(UsageError, match="expected"):
        MergeRules(**({"thresholds": PAGES} | rules))


def test_tables_hold_all_products_groups_and_evidence():
    merge = merge_products(pages(CHAIN), MergeRules(PAGES))
    assert product_table(merge).column("group_id").to_pylist() == ["1", "1", "3"]
    assert evidence_table(merge).column("verdict").to_pylist() == ["merged", "unlinked"]


def adversarial(*, hashes_differ=False, order_seed=0, **rules):
    data = plant(background=3000, groups=500, chains=2, steps=300, placeholders=300, dim=64, seed=0)
    order = np.random.default_rng(order_seed).permutation(len(data.ids))
    media = [f"m{i}" for i in range(len(order))]
    if not hashes_differ:
        media[-300:] = ["placeholder"] * 300
    items = make_items(
        [data.ids[i] for i in order], ["page"] * len(order), [media[i] for i in order], vectors=data.vectors[order]
    )
    merge = merge_products(items, MergeRules(PAGES, **rules), attributes=data.attributes())
    found = dict(zip(items.product_ids.tolist(), merge.group.tolist(), strict=True))
    return np.array([found[name] for name in data.ids]), data


@pytest.mark.parametrize("hashes_differ", [False, True])
@pytest.mark.parametrize(
    ("rules", "precision"), [({}, 0.99), ({"cap": 1000}, 0.8), ({"cap": 1000, "vetoes": ("brand",)}, 0.99)]
)
def test_drift_chains_and_a_placeholder_do_not_chain(hashes_differ, rules, precision):
    found, data = adversarial(hashes_differ=hashes_differ, **rules)
    got = pair_scores(found, data.group)
    assert got[0] >= precision
    assert got[1] >= 0.999
    assert np.bincount(found).max() <= 6


def test_a_planted_group_never_grows():
    found, data = adversarial(cap=1000)
    inside = data.group >= 0
    assert all(len(np.unique(data.group[found == name])) == 1 for name in np.unique(found[inside]))


def test_the_order_of_rows_changes_no_group():
    first, _ = adversarial(cap=1000, order_seed=1)
    again, _ = adversarial(cap=1000, order_seed=2)
    assert first.tolist() == again.tolist()
