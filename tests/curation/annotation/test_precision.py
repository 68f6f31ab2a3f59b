"""The precision of a dataset holds what is true, though people err."""

import numpy as np
import pytest

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.labels import label_table
from rope.curation.annotation.precision import (
    Claim,
    _ends,
    card_with_precision,
    claims_of,
    digest_of,
    draw_claims,
    measure_precision,
)
from rope.errors import DatasetError
from tests.curation.people import Person, ask, ask_again, draw_sizes, truths

PEOPLE = ("ann", "bob", "cat", "dan", "eve")


def audit(seed, n, precision, skill=(0.97, 0.97), mean=3, icc=0.3):
    """A whole audit: all items asked of two people, and open ones twice more."""
    rng = np.random.default_rng(seed)
    found = truths(rng, draw_sizes(rng, n, mean), precision, icc)
    truth = {Claim(f"v{i}-{k}", f"p{i}", f"h{i}"): said for i, one in enumerate(found) for k, said in enumerate(one)}
    claims = list(truth)
    items = [Item(item_id=claim.item_id, question="precision", texts={"page": "x"}) for claim in claims]
    tasks = tuple(AnnotationTask(item, 2) for item in items)
    batch = TaskBatch("b", "precision", tasks, population=digest_of(claims), n_population=n)
    people = [Person(name, *skill) for name in PEOPLE]
    by_item = {claim.item_id: said for claim, said in truth.items()}
    answers = ask(rng, batch, by_item, people[:2])
    for _ in range(2):
        labels = label_table([batch], answers).to_pylist()
        answers += ask_again(rng, batch, by_item, people, answers, labels)
    return measure_precision([batch], answers, claims)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "skill"), [(0.9, (0.97, 0.97)), (0.95, (0.97, 0.97)), (0.995, (0.97, 0.97)), (0.9, (0.97, 0.85))]
)
def test_the_interval_holds_the_truth_in_93_of_100_audits(precision, skill):
    found = [audit(seed, 300, precision, skill) for seed in range(100)]
    assert sum(one.low <= precision <= one.high for one in found) >= 93
    assert np.mean([one.high - one.low for one in found]) < 0.2
    assert np.mean([one.value for one in found]) == pytest.approx(precision, abs=0.02)


def test_people_who_are_97_percent_right_are_not_taken_at_their_word():
    """Of 300 samples 95 % are right, and people say so of 92 %; the estimate is nearer to the truth than that."""
    found = [audit(seed, 300, 0.95, mean=1, icc=0.0) for seed in range(6)]
    assert np.mean([one.value for one in found]) > 0.935
    assert sum(one.low <= 0.95 <= one.high for one in found) >= 5


def test_slips_of_people_do_not_pass_for_what_is_wrong_with_a_good_dataset():
    """With even odds on how well people see what is wrong, half of such intervals did not hold the truth."""
    found = [audit(seed, 400, 0.995, mean=1, icc=0.0) for seed in range(8)]
    assert sum(one.low <= 0.995 <= one.high for one in found) >= 7


def test_the_interval_of_a_dataset_of_which_less_than_one_sample_seems_wrong_reaches_100_percent():
    """People erred once: 0.9 of a sample. The end was 0.99999, which a dataset without a fault is above."""
    same = np.append(np.ones(59), 0.1)
    low, high = _ends(same, np.arange(60), 0.0)
    assert (0.4 < low < 0.95, high) == (True, 1.0)
    assert _ends(1 - same, np.arange(60), 0.0)[0] == 0.0
    assert _ends(np.append(np.ones(58), [0.1, 0.8]), np.arange(60), 0.0)[1] < 1


def small(*said, question="precision"):
    """An audit of a product of so many clips, each answered by one person."""
    claims = [Claim(f"v{i}", "p", f"h{i // 2}") for i in range(len(said))]
    items = [Item(item_id=claim.item_id, question=question, texts={"page": "x"}) for claim in claims]
    batch = TaskBatch("b", question, tuple(AnnotationTask(one, 1) for one in items), population=digest_of(claims))
    answers = [
        AnnotatorAnswer(task_id=one.task_id, annotator="ann", value=value)
        for one, value in zip(items, said, strict=True)
        if value
    ]
    return [batch], answers, claims


def test_one_person_is_taken_at_their_word_and_unclear_is_wrong():
    found = measure_precision(*small("same", "same", "unclear", "different"))
    assert (found.value, found.n_unclear, found.is_judged, found.n_products) == (0.5, 1, False, 2)
    assert "no item was answered twice, so that they are taken at their word" in str(found)
    all_right = measure_precision(*small(*["same"] * 40))
    assert (all_right.value, all_right.high) == (1.0, 1.0)
    assert all_right.low == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson's bound for 20 products


def test_an_audit_of_one_product_has_no_interval():
    found = measure_precision(*small("same", "same"))
    assert (found.low, found.high) == (None, None)
    assert "no interval" in str(found)
    assert "null" not in card_with_precision("# card\n", found)


def test_an_audit_needs_all_answers_and_the_dataset_that_it_was_drawn_from():
    batches, answers, claims = small("same", None, "same")
    with pytest.raises(DatasetError, match=r"1 of 3 items of the audit have no answer, such as p\|v1"):
        measure_precision(batches, answers, claims)
    with pytest.raises(DatasetError, match="no audit was drawn from the dataset as it is now"):
        measure_precision(batches, answers, claims[:2])
    with pytest.raises(DatasetError, match="no audit was drawn"):
        measure_precision(*small("same", question="same_product"))


def test_a_sample_is_fresh_when_the_dataset_changes_and_the_same_when_it_does_not():
    rows = [{"id": f"v{i:03d}", "domain": "video", "product_id": f"h{i // 4}"} for i in range(400)]
    claims = claims_of(rows[::-1])
    assert len(claims) == 300
    drawn = draw_claims(claims, 60, seed=0)
    assert drawn == draw_claims(claims_of(rows), 60, seed=0)
    assert len(set(drawn)) == 60
    rows[0]["product_id"] = "h99"
    changed = draw_claims(claims_of(rows), 60, seed=0)
    assert len({one.row for one in changed} & {one.row for one in drawn}) < 30
