from dataclasses import replace

import numpy as np
import pytest

from rope.bench.attributes.columns import Column
from rope.bench.attributes.examples import deal_folds, strata_of
from rope.bench.attributes.score import AttributeScore, Settings, count_rounds, score_attribute
from rope.errors import UsageError
from tests.bench.attributes.planted import CLASSES, column_of, embedded, shuffled, tags_of

pytest.importorskip("torch", reason="probes are fitted with torch")

QUICK = Settings(seed=0, folds=2, k=5, shots=(1, 5), draws=4)
METHODS = ["majority", "linear probe", "5-NN", "1-shot", "5-shot"]


@pytest.fixture(scope="module", autouse=True)
def few_strengths():
    """Three strengths are enough here, and fitted in half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rope.bench.attributes.probes.STRENGTHS", (1.0, 1e-2, 1e-4))
        yield


@pytest.fixture(scope="module")
def separable() -> AttributeScore:
    return score_attribute(column_of(40), embedded(40, 3, 0.1, 0), QUICK)


@pytest.mark.parametrize("method", METHODS[1:])
def test_classes_that_are_apart_are_all_told_apart(separable, method):
    assert list(separable.methods) == METHODS
    assert len(separable.methods[method]) == 9
    assert all(cell.metrics["accuracy"].value > 0.99 for cell in separable.methods[method].values())
    assert separable.means[method]["across"]["macro accuracy"].value > 0.99


def test_the_majority_class_is_the_floor(separable):
    for cell in separable.methods["majority"].values():
        assert cell.metrics["macro accuracy"].value == pytest.approx(1 / CLASSES)


@pytest.fixture(scope="module")
def uninformed() -> AttributeScore:
    """Every product has its own place, which tells it perfectly, and its class nothing."""
    return score_attribute(column_of(120), embedded(120, 0, 1, 1), QUICK)


@pytest.mark.parametrize("method", METHODS[1:])
def test_vectors_that_tell_products_but_not_classes_are_at_chance(uninformed, method):
    for cell in uninformed.methods[method].values():
        assert cell.metrics["accuracy"].value < 0.36  # 0.25 and two and a half standard errors of 120 products
        assert cell.metrics["accuracy"].value > 0.14


def test_the_same_vectors_would_give_everything_away_if_products_were_on_both_sides():
    given, column = embedded(40, 0, 1, 1), column_of(40)
    twins = Column("x", False, {**column.values, **{f"q{key}": value for key, value in column.values.items()}})
    other = embedded(40, 0, 1, 1)
    for domain, rows in other.labels.items():
        other.labels[domain] = replace(rows, product_ids=[f"q{product}" for product in rows.product_ids])
    leaked = score_attribute(twins, given, replace(QUICK, k=1), other)
    assert leaked.methods["1-NN"]["P2V"].metrics["accuracy"].value == 1.0


@pytest.mark.parametrize("column", [column_of(24), tags_of(24)])
def test_the_order_of_rows_changes_nothing(column):
    given = embedded(24, 1, 1, 2)
    assert score_attribute(column, given, QUICK) == score_attribute(column, shuffled(given, 3), QUICK)


def test_another_split_teaches_and_the_whole_of_this_one_is_tested():
    column = Column("x", False, {**column_of(20).values, **column_of(30, 20).values})
    test, train = embedded(20, 3, 0.1, 0), embedded(30, 3, 0.1, 1, first=20)
    score = score_attribute(column, test, QUICK, train)
    assert score.evaluation == "train to test"
    assert (score.n_products, score.methods["linear probe"]["P2L"].n_samples) == (20, 40)
    assert score.means["linear probe"]["across"]["accuracy"].value > 0.99
    assert {len(chosen) for chosen in score.strengths.values()} == {1}


def test_a_domain_that_lies_elsewhere_is_predicted_worse_from_the_others():
    score = score_attribute(column_of(40), embedded(40, 1, 0.3, 0, mirrored=True), QUICK)
    cells = score.methods["linear probe"]
    within = min(cells[name].metrics["accuracy"].value for name in ("P2P", "V2V", "L2L", "P2V", "V2P"))
    assert within > max(cells[name].metrics["accuracy"].value for name in ("P2L", "L2P")) + 0.2


def test_tags_are_predicted_each_on_its_own():
    given = embedded(60, 0, 0, 0)
    for domain, rows in given.labels.items():  # dimension j is what tells of tag j
        for row, product in enumerate(rows.product_ids):
            for j, divisor in enumerate((2, 3, 5)):
                given.embeddings[domain].vectors[row, j] += int(product[1:]) % divisor == 0
    score = score_attribute(tags_of(60), given, QUICK)
    assert list(score.methods) == ["majority", "linear probe"]
    for cell in score.methods["linear probe"].values():
        assert min(metric.value for metric in cell.metrics.values()) > 0.9
    assert score.means["majority"]["within"]["mAP"].value < 0.5


def test_products_that_cannot_be_learned_or_tested_are_counted():
    values = {key: value for key, value in column_of(12).values.items() if key != "p0000"}
    values["p0001"] = ("alone",)
    score = score_attribute(Column("x", False, values), embedded(12, 3, 0.1, 0), QUICK)
    assert (score.n_products, score.n_unlabelled, score.n_left_out) == (10, 1, 1)
    assert "alone" not in score.labels


def test_a_class_that_the_domain_learned_from_lacks_is_left_out_and_counted():
    given = embedded(12, 3, 0.1, 0)
    rows = given.labels["page"]
    kept = [i for i, product in enumerate(rows.product_ids) if int(product[1:]) % CLASSES]  # no page of class c0
    given.labels["page"] = replace(
        rows, **{f"{key}_ids": [getattr(rows, f"{key}_ids")[i] for i in kept] for key in ("sample", "product")}
    )
    given.embeddings["page"] = replace(
        given.embeddings["page"],
        sample_ids=[rows.sample_ids[i] for i in kept],
        vectors=given.embeddings["page"].vectors[kept],
    )
    cells = score_attribute(column_of(12), given, QUICK).methods["linear probe"]
    assert (cells["P2V"].n_samples, cells["P2V"].n_unseen) == (18, 6)
    assert (cells["V2L"].n_samples, cells["V2L"].n_unseen) == (24, 0)


def test_every_product_is_tested_once_with_the_others_as_examples():
    targets = np.eye(CLASSES, dtype=bool)[np.arange(22) % CLASSES]
    folds = deal_folds(strata_of(targets), 5, 0)
    for fold in range(5):
        assert targets[folds != fold].any(axis=0).all()


def test_intervals_are_by_product_and_draws_are_kept(separable):
    cell = separable.methods["5-shot"]["P2V"]
    assert cell.metrics["accuracy"].n_products == 40
    assert len(cell.draws) == 4
    assert np.mean(cell.draws) == pytest.approx(cell.metrics["accuracy"].value)


def test_progress_ends_at_the_total():
    steps: list[int] = []
    given = embedded(8, 1, 1, 0)
    score_attribute(column_of(8), given, QUICK, advance=steps.append)
    assert sum(steps) == count_rounds(given, QUICK) == 6


def test_what_makes_no_sense_is_refused():
    given = embedded(8, 1, 1, 0)
    with pytest.raises(ValueError, match="in both splits"):
        score_attribute(column_of(8), given, QUICK, given)
    with pytest.raises(UsageError, match="nothing that could be learned of the products that are tested"):
        score_attribute(column_of(8, 8), given, QUICK, embedded(8, 1, 1, 0, first=8))
    with pytest.raises(UsageError, match="folds is 1; expected a whole number, at least 2"):
        Settings(seed=0, folds=1)
    with pytest.raises(UsageError, match="shots are repeated"):
        Settings(seed=0, shots=(1, 1))
