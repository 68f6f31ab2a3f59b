"""Open items are asked again, of somebody else; and who is asked what is plain in the exported files."""

import csv
import io
import json

import pytest

from rope.curation.annotation import label_studio
from rope.curation.annotation.again import exhausted, plan_again
from rope.curation.annotation.answers import AnnotatorAnswer, tasks_csv, tasks_jsonl
from rope.curation.annotation.batches import (
    AnnotationTask,
    BatchOptions,
    NearCut,
    TaskBatch,
    plan_batches,
    read_batches,
    write_batch,
)
from rope.curation.annotation.items import Item
from rope.curation.annotation.label_studio import labelling_config, tasks_json
from rope.curation.annotation.labels import label_table
from rope.errors import UsageError


def item(name, **more):
    return Item(item_id=name, question="same_product", texts={"page": name}, **more)


def batch(n=12):
    return TaskBatch("b", "same_product", tuple(AnnotationTask(item(f"i{i:02d}"), 2) for i in range(n)))


def said(one, *values):
    """Answers of ann and bob and so on to the first tasks, then the next."""
    return [
        AnnotatorAnswer(task_id=task.item.task_id, annotator=who, value=value)
        for task, pair in zip(one.tasks, values, strict=False)
        for who, value in zip(("ann", "bob", "cat", "dan", "eve"), pair, strict=False)
    ]


AGREED = [("same", "same", "same")] * 6 + [("different", "different", "different")] * 4


def test_items_that_answers_leave_open_are_asked_of_one_person_more():
    one = batch()
    assert plan_again([one], said(one, *AGREED), BatchOptions()) == []
    split = said(one, *AGREED, ("same", "different"))
    (again,) = plan_again([one], split, BatchOptions(people=("ann", "bob", "cat")))
    (task,) = again.tasks
    assert (task.item, task.annotators, task.answered, task.assigned) == (one.tasks[10].item, 3, 2, ("cat",))
    assert task.places == [(3, "cat")]
    assert again.is_again
    assert plan_again([one, again], split, BatchOptions()) == []  # it waits for the third answer
    third = [*split, AnnotatorAnswer(task_id=task.item.task_id, annotator="cat", value="same")]
    assert plan_again([one, again], third, BatchOptions()) == []
    assert label_table([one, again], third)["label"].null_count == 0


def test_who_is_asked_about_disputed_items_alone_is_shown_settled_ones_too_and_so_settles_them():
    """Without them, ann and bob cancel out, nothing tells how good cat is: her rare answers settle nothing."""
    one = batch(80)
    pairs = [("different" if i % 8 == 0 else "same",) * 2 for i in range(72)]
    answers = said(one, *pairs, *[("same", "different"), ("different", "same")] * 4)
    (again,) = plan_again([one], answers, BatchOptions(people=("ann", "bob", "cat")))
    truth = {task.item.task_id: pair[0] for task, pair in zip(one.tasks, pairs, strict=False)}
    shown = [truth[task.item.task_id] for task in again.tasks if task.item.task_id in truth]
    assert len(again.tasks) == 8 + 20
    assert (shown.count("different"), shown.count("same")) == (9, 11)
    assert {task.assigned for task in again.tasks} == {("cat",)}
    rare = {task.item.task_id: "different" if i < 2 else "same" for i, task in enumerate(one.tasks[72:])}
    third = [
        AnnotatorAnswer(task_id=name, annotator="cat", value={**truth, **rare}[name])
        for name in (task.item.task_id for task in again.tasks)
    ]
    assert label_table([one, again], [*answers, *third])["label"].null_count == 0
    assert label_table([one], [*answers, *(one for one in third if one.task_id in rare)])["label"].null_count >= 2
    assert plan_again([one, again], [*answers, *third], BatchOptions(people=("ann", "bob", "cat", "dan"))) == []


def test_an_item_waits_for_all_and_is_given_up_after_five():
    one = batch()
    half = said(one, *AGREED, ("same",))
    assert plan_again([one], half, BatchOptions()) == []
    open_ = said(one, *AGREED, ("same", "different", "unclear", "same", "different"))
    assert plan_again([one], open_, BatchOptions()) == []


def test_what_all_who_are_named_have_answered_waits_for_somebody_else_and_holds_up_nothing():
    one = batch()
    split = said(one, *AGREED, ("same", "different"))
    assert plan_again([one], split, BatchOptions(people=("ann", "bob"))) == []
    assert exhausted([one], split, "same_product", ("ann", "bob")) == ["i10"]
    assert exhausted([one], split, "same_product", ("ann", "bob", "cat")) == []
    assert exhausted([one], split, "merge", ("ann", "bob")) == []
    with pytest.raises(UsageError, match=r"item i00 needs 2 more people, and of ann only 1 have not"):
        plan_batches([item("i00")], frozenset(), BatchOptions(people=("ann",), overlap=1.0))


def test_two_new_people_share_the_settled_items():
    one = batch(40)
    answers = said(one, *[("same", "same"), ("different", "different")] * 15, *[("same", "different")] * 10)
    (again,) = plan_again([one], answers, BatchOptions(people=("ann", "bob", "cat", "dan")))
    names = [task.item.task_id for task in again.tasks]
    assert len(names) == len(set(names)) == 10 + 20
    assert [(task.annotators, task.assigned) for task in again.tasks[10:]] == [(4, ("cat", "dan"))] * 20
    assert {task.assigned for task in again.tasks[:10]} == {("cat",), ("dan",)}


def test_nobody_is_named_twice():
    with pytest.raises(UsageError, match="somebody is named twice"):
        BatchOptions(people=("ann", "ann"))


def test_overlap_is_visible_and_dealt_out(tmp_path):
    options = BatchOptions(overlap=0.5, people=("ann", "bob", "cat"))
    (one,) = plan_batches([item(f"i{i:02d}") for i in range(40)], frozenset(), options)
    write_batch(tmp_path, one, options)
    assert read_batches(tmp_path) == [one]
    rows = list(csv.DictReader(io.StringIO(tasks_csv(one, ""))))
    lines = [json.loads(line) for line in tasks_jsonl(one, "").splitlines()]
    data = {task["data"]["task_id"]: task["data"] for task in json.loads(tasks_json(one, ""))}
    n_twice = sum(task.annotators == 2 for task in one.tasks)
    assert 10 < n_twice < 30
    assert len(rows) == len(lines) == 40 + n_twice
    for task in one.tasks:
        assert len(set(task.assigned)) == len(task.assigned) == task.annotators
        own = [row for row in rows if row["task_id"] == task.item.task_id]
        assert tuple(row["assigned"] for row in own) == task.assigned
        assert [(row["place"], row["annotators"]) for row in own] == [
            (str(n + 1), str(task.annotators)) for n in range(task.annotators)
        ]
        assert data[task.item.task_id]["assigned"] == ", ".join(task.assigned)
        assert data[task.item.task_id]["annotators"] == task.annotators
    assert [line["assigned"] for line in lines] == [row["assigned"] for row in rows]
    assert {name for task in one.tasks for name in task.assigned} == {"ann", "bob", "cat"}


def test_items_near_a_cut_are_asked_first_and_the_others_weigh_more():
    items = [item(f"i{i:03d}", score=i / 1000) for i in range(1000)]
    near, wide = NearCut(0.3, 0.05, far=0.1), NearCut(0.5, 0.05, far=0.2)
    first, second = ([one for one in items if cut.takes(one)] for cut in (near, wide))
    assert {one.item_id for one in items if abs(one.score - 0.3) <= 0.05} <= {one.item_id for one in first}
    assert 130 < len(first) < 260
    far = {one.item_id for one in first if abs(one.score - 0.3) > 0.05 and abs(one.score - 0.5) > 0.05}
    assert far <= {one.item_id for one in second}  # a larger share contains a smaller one
    batches = [
        TaskBatch(f"b{i}", "same_product", tuple(AnnotationTask(one, 1) for one in chosen), near=cut)
        for i, (chosen, cut) in enumerate(((first, near), (second, wide)))
    ]
    answers = [
        AnnotatorAnswer(task_id=one.item_id and one.task_id, annotator="ann", value="same")
        for one in {one.item_id: one for one in (*first, *second)}.values()
    ]
    weight = {row["item_id"]: row["weight"] for row in label_table(batches, answers).to_pylist()}
    assert (weight["i300"], weight["i500"]) == (1, 1)
    assert {weight[name] for name in far} == {5}
    assert sum(weight.values()) == pytest.approx(1000, rel=0.15)
    with pytest.raises(UsageError):
        NearCut(0.3, far=0)


def test_clips_are_videos_and_addresses_are_quoted(tmp_path):
    clip = Item(
        item_id="p|v",
        question="same_product",
        texts={"page": "", "video": ""},
        media={"page": (str(tmp_path / "a cup #1.jpg"),)},
        videos={"video": str(tmp_path / "杯?.mp4")},
    )
    one = TaskBatch("b", "same_product", (AnnotationTask(clip, 1),))
    config = labelling_config(one)
    assert '<Image name="media_0" valueList="$media_0"/>' in config
    assert '<Video name="video_1" value="$video_1"/>' in config
    assert "media_1" not in config
    (data,) = (task["data"] for task in json.loads(tasks_json(one, "https://x/", tmp_path)))
    assert (data["media_0"], data.get("video_0")) == (["https://x/a%20cup%20%231.jpg"], None)
    assert data["video_1"] == "https://x/%E6%9D%AF%3F.mp4"
    (row,) = csv.DictReader(io.StringIO(tasks_csv(one, "/d=", tmp_path)))
    assert (row["page media"], row["video media"]) == ("/d=a%20cup%20%231.jpg", "/d=%E6%9D%AF%3F.mp4")
    assert (data["heading_0"], data["heading_1"]) == ("page", "video")
    with pytest.raises(UsageError, match="name the folder that addresses begin at with --media-root"):
        tasks_json(one, "", tmp_path / "elsewhere")


def test_a_batch_of_pages_with_videos_and_with_live_clips_has_two_places_and_nothing_empty_to_show():
    """At an empty list of pictures the page of Label Studio breaks, so that nobody can answer the task."""

    def pair(clip, **shown):
        return Item(item_id=f"p|{clip}", question="same_product", texts={"page": "cup", clip: ""}, **shown)

    pictures = pair("video", media={"page": ("p.jpg",), "video": ("1.jpg", "2.jpg")})
    film = pair("live", media={"page": ("p.jpg",)}, videos={"live": "l.mp4"})
    one = TaskBatch("b", "same_product", (AnnotationTask(pictures, 1), AnnotationTask(film, 1)))
    first, second = (task["data"] for task in json.loads(tasks_json(one, "/")))
    assert [first["heading_1"], second["heading_1"]] == ["video", "live"]
    assert (first["media_1"], first["video_1"]) == (["/1.jpg", "/2.jpg"], "")
    assert (second["media_1"], second["video_1"]) == ([label_studio._NO_PICTURE], "/l.mp4")
    assert not any(name.endswith("_2") for name in {**first, **second})
    assert [task["media_0"] for task in (first, second)] == [["/p.jpg"]] * 2
    config = labelling_config(one)
    assert config.index("video_1") < config.index("media_1")
    assert config.index("<Choices") < config.index("media_0")  # the answers are above what may be long
