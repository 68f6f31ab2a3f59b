"""Answers as spreadsheets and Label Studio really write them, and a sentence for what they are not."""

import json

import pytest

from rope.curation.annotation.answers import read_csv_answers, read_jsonl_answers
from rope.curation.annotation.exports import write_exports
from rope.curation.annotation.label_studio import read_answers
from rope.curation.annotation.labels import summarize
from rope.errors import FileError, ReleaseError
from tests.curation.annotation.test_ledger import BATCH, TASKS, answer

TABLE = "task_id,item_id,assigned,answer,annotator\n{},杯子,ann,same,{}\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_may_be_as_a_spreadsheet_writes_it(encoding, separator, tmp_path):
    text = TABLE.format(TASKS[0], "王").replace(",", separator).replace("\n", "\r\n")
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert list(read_csv_answers(tmp_path / "a.csv")) == [answer(0, annotator="王")]


def test_who_was_assigned_has_answered_unless_somebody_else_is_named(tmp_path):
    (tmp_path / "a.csv").write_text(TABLE.format(TASKS[0], ""))
    assert list(read_csv_answers(tmp_path / "a.csv")) == [answer(0)]


def test_the_table_that_is_exported_tells_a_spreadsheet_its_encoding(tmp_path):
    write_exports(tmp_path, BATCH, "")
    assert (tmp_path / BATCH.name / "tasks.csv").read_bytes().startswith(b"\xef\xbb\xbftask_id,")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"\xff\xff\x81", FileError, "is neither UTF-8, UTF-16 nor GB 18030; save it as CSV in UTF-8"),
        (b"task_id,answer,annotator\nt,same,ann,more\n", FileError, ":2: has more values than the 3 columns"),
    ],
)
def test_a_table_that_is_none_is_refused(content, error, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        list(read_csv_answers(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"task_id": "t", "answer": "same", "annotator": null}', ":1: has an answer but no annotator"),
        ('{"task_id": null, "answer": "same", "annotator": "ann"}', ":1: has an answer but no task_id"),
        ('{"task_id": "t", "answer": ["same"], "annotator": "ann"}', r":1: the answer is \['same'\]; expected a text"),
        ("[" * 100_000, ":1: is not JSON"),
    ],
)
def test_lines_that_make_no_sense_are_named(line, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(ReleaseError, match=message):
        list(read_jsonl_answers(tmp_path / "a.jsonl"))


RESULT = {"from_name": "answer", "to_name": "text_0", "type": "choices", "value": {"choices": ["same"]}}
RELATION = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}


def studio(path, annotation, start=""):
    task = {"data": {"task_id": TASKS[0]}, "annotations": [annotation]}
    path.write_text(start + json.dumps([task]), "utf-8")
    return list(read_answers(path))


def test_a_byte_order_mark_and_relations_are_passed_over(tmp_path):
    annotation = {"completed_by": 3, "result": [RELATION, RESULT, RELATION]}
    assert studio(tmp_path / "a.json", annotation, start="\ufeff") == [answer(0, annotator="3")]
    assert studio(tmp_path / "a.json", {"completed_by": 3, "result": [RELATION]}) == []
    assert studio(tmp_path / "a.json", {"completed_by": 3, "result": [RESULT | {"value": {"choices": []}}]}) == []


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"completed_by": None, "result": [RESULT]},
            r"task 1 of 1: an answer has no annotator \(completed_by is None\)",
        ),
        ({"completed_by": {}, "result": [RESULT]}, "an answer has no annotator"),
        ({"result": [RESULT]}, "an answer has no annotator"),
        ({"completed_by": 1, "result": None}, "task 1 of 1 is not as Label Studio writes it"),
        ({"completed_by": 1, "result": ["x"]}, "task 1 of 1 is not as Label Studio writes it"),
        ({"completed_by": 1, "result": [RESULT], "lead_time": "long"}, "task 1 of 1 is not as Label Studio writes it"),
        (None, "task 1 of 1 is not as Label Studio writes it"),
    ],
)
def test_an_export_that_is_damaged_is_refused_with_the_task(annotation, message, tmp_path):
    with pytest.raises(ReleaseError, match=message):
        studio(tmp_path / "a.json", annotation)


def test_agreement_that_is_undefined_is_no_number(curate, tmp_path):
    from rope.curation.annotation.batches import BatchOptions, write_batch
    from rope.curation.annotation.ledger import add_answers

    assert summarize([BATCH], [answer(0)])["same_product"].alpha is None
    write_batch(tmp_path, BATCH, BatchOptions())
    add_answers(tmp_path / "ledger", [answer(0)], [BATCH])
    code, out, _ = curate("annotate", "labels", "--in", tmp_path)
    assert code == 0
    assert "alpha undefined: nothing to compare" in out
    assert "nan" not in out
