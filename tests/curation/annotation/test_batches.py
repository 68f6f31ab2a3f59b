import pytest

from rope.curation.annotation.batches import BatchOptions, plan_batches, read_batches, write_batch
from rope.curation.annotation.items import Item, media_digest
from rope.errors import DatasetError, UsageError


def item(name, gold=None, question="same_product"):
    return Item(item_id=name, question=question, texts={"page": f"text of {name}"}, gold=gold)


ITEMS = [item(f"i{i}") for i in range(100)]
GOLD = [item(f"g{i}", gold="same") for i in range(10)]


def ids(batches):
    return [task.item.item_id for batch in batches for task in batch.tasks]


def test_every_item_is_asked_once_and_known_ones_in_every_batch():
    batches = plan_batches(ITEMS + GOLD, frozenset(), BatchOptions(tasks=40, gold=0.1))
    assert [len(batch.tasks) for batch in batches] == [40, 40, 32]
    asked = ids(batches)
    assert sorted(name for name in asked if name.startswith("i")) == sorted(i.item_id for i in ITEMS)
    assert sum(name.startswith("g") for name in asked) == 12


def test_batches_do_not_depend_on_the_order_of_the_items():
    options = BatchOptions(tasks=30)
    assert plan_batches(ITEMS[::-1], frozenset(), options) == plan_batches(ITEMS, frozenset(), options)


def test_what_was_asked_is_not_asked_again():
    options = BatchOptions(tasks=1000)
    first = plan_batches(ITEMS[:60] + GOLD, frozenset(), options)
    asked = frozenset(task.item.task_id for batch in first for task in batch.tasks)
    second = plan_batches(ITEMS + GOLD, asked, options)
    assert {name for name in ids(second) if name.startswith("i")} == {f"i{i}" for i in range(60, 100)}
    assert plan_batches(ITEMS[:60] + GOLD, asked, options) == []


def test_who_is_asked_twice_stays_when_items_are_added():
    def twice(items):
        batches = plan_batches(items, frozenset(), BatchOptions(tasks=1000, overlap=0.3))
        return {task.item.item_id for batch in batches for task in batch.tasks if task.annotators == 2}

    assert twice(ITEMS[:50]) == twice(ITEMS) & {i.item_id for i in ITEMS[:50]}
    assert 15 < len(twice(ITEMS)) < 45


def test_questions_go_into_batches_of_their_own():
    batches = plan_batches([item("a"), item("a", question="product_name")], frozenset(), BatchOptions())
    assert [(batch.question, len(batch.tasks)) for batch in batches] == [("product_name", 1), ("same_product", 1)]


def test_batches_are_read_as_they_were_written(tmp_path):
    options = BatchOptions(tasks=30)
    batches = plan_batches(ITEMS + GOLD, frozenset(), options)
    for batch in batches * 2:
        write_batch(tmp_path, batch, options)
    assert read_batches(tmp_path) == sorted(batches, key=lambda batch: batch.name)


def test_a_damaged_batch_is_named(tmp_path):
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1" / "batch.json").write_text('{"schema_version": 1}')
    with pytest.raises(DatasetError, match=r"b1/batch\.json: is damaged"):
        read_batches(tmp_path)


def test_two_items_of_one_id_are_refused():
    with pytest.raises(UsageError, match="i0: given twice"):
        plan_batches([ITEMS[0], ITEMS[0]], frozenset(), BatchOptions())


@pytest.mark.parametrize("options", [{"tasks": 0}, {"overlap": 1.1}, {"gold": -0.1}])
def test_options_out_of_range(options):
    with pytest.raises(UsageError):
        BatchOptions(**options)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"item_id": ""}, "needs an id"),
        ({"texts": {}}, "neither text nor media"),
        ({"gold": "maybe"}, "not one of same, different, unclear"),
    ],
)
def test_items_that_cannot_be_asked_about(fields, message):
    with pytest.raises(UsageError, match=message):
        Item(**{"item_id": "a", "question": "same_product", "texts": {"page": "x"}, **fields})


def test_the_digest_tells_changed_media():
    assert media_digest({"a": "1", "b": "2"}) != media_digest({"a": "2", "b": "1"})
