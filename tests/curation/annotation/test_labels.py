import pytest

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.labels import label_table, summarize


def batch(question, n, gold=None):
    items = [
        Item(item_id=f"i{i}", question=question, texts={"page": "x"}, gold=gold if i == 0 else None) for i in range(n)
    ]
    return TaskBatch(f"{question}-1", question, tuple(AnnotationTask(item, 2) for item in items))


def said(batch, *values):
    """Answers of two people: values of the first task, then of the second and so on; None for no answer."""
    return [
        AnnotatorAnswer(task_id=task.item.task_id, annotator=who, value=value)
        for task, pair in zip(batch.tasks, values, strict=True)
        for who, value in zip("ab", pair, strict=True)
        if value
    ]


def labels(*arguments):
    return {row["item_id"]: row["label"] for row in label_table(*arguments).to_pylist()}


def test_known_items_judge_people_and_are_no_labels():
    one = batch("same_product", 30, gold="same")
    answers = said(
        one, ("same", "different"), *[("same", "same")] * 20, *[("different", "different")] * 8, ("same", "different")
    )
    found = labels([one], answers)
    assert len(found) == 29
    assert (found["i1"], found["i25"], found["i29"]) == ("same", "different", None)
    summary = summarize([one], answers)["same_product"]
    assert (summary.gold["a"].n_right, summary.gold["b"].n_right) == (1, 0)
    assert summary.accuracy["a"] > summary.accuracy["b"]


@pytest.mark.parametrize("values", [("same", "different"), ("same", "same", "same", "different", "same")])
def test_two_people_who_agree_on_each_of_few_items_settle_them(values):
    """A merge has few open pairs; at even odds for everybody, nothing that two people agree on would be a label."""
    one = batch("merge", len(values))
    assert list(labels([one], said(one, *((value, value) for value in values))).values()) == list(values)


def test_answers_of_the_only_annotator_are_taken_as_they_are_until_something_judges_them():
    one = batch("same_product", 20, gold=None)
    alone = said(one, *[("same", None)] * 18, ("different", None), ("unclear", None))
    table = label_table([one], alone)
    assert table["label"].value_counts().to_pylist() == [
        {"values": "same", "counts": 18},
        {"values": "different", "counts": 1},
        {"values": "unclear", "counts": 1},
    ]
    assert table["probability"].null_count == 20
    assert summarize([one], alone)["same_product"].accuracy == {}
    judged = said(one, *[("same", "same")] * 18, ("different", "same"), ("different", "different"))
    assert label_table([one], judged)["probability"].null_count == 0


def test_free_text_is_a_label_where_all_agree():
    one = batch("product_name", 3)
    assert labels([one], said(one, ("cup", "cup"), ("cup", "mug"), ("jug", None))) == {
        "i0": "cup",
        "i1": None,
        "i2": "jug",
    }


def test_nothing_answered_is_no_label():
    one = batch("same_product", 2)
    assert labels([one], []) == {}
    assert summarize([one], [])["same_product"].batches == {"same_product-1": "exported"}
