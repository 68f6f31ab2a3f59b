import csv
import io
import json
from dataclasses import replace

import pytest

from rope.curation.annotation.answers import (
    AnnotatorAnswer,
    read_csv_answers,
    read_jsonl_answers,
    tasks_csv,
    tasks_jsonl,
)
from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.label_studio import labelling_config, read_answers, tasks_json
from rope.curation.annotation.ledger import add_answers, current_answers, read_ledger, state_of
from rope.errors import DatasetError, ReleaseError

ITEMS = [
    Item(
        item_id=f"p{i}|v{i}",
        question="same_product",
        texts={"page": f'<cup> "no. {i}"', "clip": ""},
        media={"page": (f"images/p{i}.jpg",), "clip": (f"frames/v{i}-1.jpg", f"frames/v{i}-2.jpg")},
        digest=f"d{i}",
    )
    for i in range(3)
]
BATCH = TaskBatch("same_product-1", "same_product", tuple(AnnotationTask(item, 1) for item in ITEMS))
TASKS = [item.task_id for item in ITEMS]


def answer(i, value="same", annotator="ann", **more):
    return AnnotatorAnswer(task_id=TASKS[i], annotator=annotator, value=value, **more)


def test_answers_are_added_once(tmp_path):
    answers = [answer(0), answer(1, "different"), answer(0, annotator="bob")]
    assert add_answers(tmp_path, answers, [BATCH]).n_added == 3
    report = add_answers(tmp_path, [*answers, answer(2)], [BATCH])
    assert (report.n_added, report.n_known) == (1, 3)
    assert read_ledger(tmp_path) == [*answers, answer(2)]


def test_files_of_the_ledger_are_never_changed(tmp_path):
    add_answers(tmp_path, [answer(0)], [BATCH])
    (first,) = tmp_path.iterdir()
    content = first.read_bytes()
    add_answers(tmp_path, [answer(1)], [BATCH])
    assert first.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (replace(answer(0), task_id="nobody"), "unknown"),
        (answer(0, media_digest="other"), "changed_media"),
        (answer(0, "perhaps"), "not_allowed"),
    ],
)
def test_answers_that_do_not_fit_are_named_and_left_out(odd, kind, tmp_path):
    report = add_answers(tmp_path, [odd, answer(1)], [BATCH])
    assert (report.n_added, getattr(report, kind)) == (1, (odd.task_id,))
    assert read_ledger(tmp_path) == [answer(1)]


def test_a_second_answer_counts_and_the_first_stays_in_the_ledger(tmp_path):
    add_answers(tmp_path, [answer(0)], [BATCH])
    report = add_answers(tmp_path, [answer(0, "different")], [BATCH])
    assert report.revised == (TASKS[0],)
    assert len(read_ledger(tmp_path)) == 2
    assert current_answers(read_ledger(tmp_path))[TASKS[0], "ann"].value == "different"


def test_a_missing_or_damaged_file_is_named(tmp_path):
    for i in range(2):
        add_answers(tmp_path, [answer(i)], [BATCH])
    first, second = sorted(tmp_path.iterdir())
    second.write_bytes(b"no Parquet")
    with pytest.raises(DatasetError, match="is damaged"):
        read_ledger(tmp_path)
    first.unlink()
    with pytest.raises(DatasetError, match="000001 of the ledger is missing"):
        read_ledger(tmp_path)


def test_a_batch_is_closed_when_all_have_answered():
    batch = TaskBatch("b", "same_product", (AnnotationTask(ITEMS[0], 2), AnnotationTask(ITEMS[1], 1)))
    answers = [answer(0), answer(0, annotator="bob"), answer(1)]
    assert [state_of(batch, answers[:n]) for n in range(4)] == ["exported", *["partially imported"] * 2, "closed"]


def fill_csv(path):
    rows = list(csv.DictReader(io.StringIO(tasks_csv(BATCH, "http://media/"))))
    assert rows[1]["clip media"] == "http://media/frames/v1-1.jpg http://media/frames/v1-2.jpg"
    rows[0] |= {"answer": "same", "annotator": "ann"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return read_csv_answers(path)


def fill_jsonl(path):
    rows = [json.loads(line) for line in tasks_jsonl(BATCH, "").splitlines()]
    rows[0] |= {"answer": "same", "annotator": "ann"}
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return read_jsonl_answers(path)


def studio_export(path, **changes):
    tasks = json.loads(tasks_json(BATCH, "/data/local-files/?d="))
    annotation = {
        "completed_by": {"id": 3, "email": "ann"},
        "created_at": "",
        "lead_time": None,
        "was_cancelled": False,
        "result": [{"from_name": "answer", "to_name": "text_0", "type": "choices", "value": {"choices": ["same"]}}],
    }
    skipped = annotation | {"was_cancelled": True}
    tasks[0]["annotations"] = [annotation | changes, skipped]
    tasks[1]["annotations"] = [annotation | {"result": []}]
    tasks[2]["annotations"] = []
    path.write_text(json.dumps(tasks))
    return read_answers(path)


@pytest.mark.parametrize("fill", [fill_csv, fill_jsonl, studio_export])
def test_what_is_filled_in_comes_back_with_the_digest_of_what_was_shown(fill, tmp_path):
    assert list(fill(tmp_path / "answers")) == [answer(0, media_digest="d0")]


def test_text_and_the_number_of_a_user_are_read_from_label_studio(tmp_path):
    named = [{"from_name": "answer", "type": "textarea", "value": {"text": [" a cup "]}}]
    (found,) = studio_export(tmp_path / "a", completed_by=7, lead_time=2.5, result=named)
    assert (found.annotator, found.value, found.seconds) == ("7", "a cup", 2.5)


def test_the_labelling_config_shows_all_that_tasks_have_and_every_choice():
    from xml.etree import ElementTree

    root = ElementTree.fromstring(labelling_config(BATCH))
    assert [choice.get("value") for choice in root.iter("Choice")] == ["same", "different", "unclear"]
    fields = json.loads(tasks_json(BATCH, ""))[0]["data"]
    headings = [tag.get("value") for tag in root.iter("Header")][1:]
    shown = {tag.get("value") or tag.get("valueList") for name in ("Text", "Image") for tag in root.iter(name)}
    assert headings == ["$heading_0", "$heading_1"]
    assert {*shown, *headings} == {f"${name}" for name in fields if "_0" in name or "_1" in name}


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (read_csv_answers, "task_id,answer\n", ":1: has no column annotator"),
        (read_csv_answers, "task_id,answer,annotator\nt1,same,\n", ":2: has an answer but no annotator"),
        (read_csv_answers, "task_id,answer,annotator,seconds\nt1,same,ann,long\n", "'long' is not a number"),
        (read_jsonl_answers, "{}\n[1]\n", ":2: expected an object"),
        (read_jsonl_answers, "no\n", ":1: is not JSON"),
        (read_answers, "{}", "expected a list of tasks"),
        (read_answers, "no", "is not JSON"),
        (read_answers, '[{"answer": "same"}]', "task 1 of 1"),
    ],
)
def test_a_file_of_another_form_is_refused(reader, content, message, tmp_path):
    path = tmp_path / "answers"
    path.write_text(content)
    with pytest.raises(ReleaseError, match=message):
        list(reader(path))
