"""A batch goes through a real Label Studio server: its configuration, tasks, media, answers and export."""

import json
import os

import fsspec
import pytest
from PIL import Image

from rope.curation.annotation.annotators import name_annotators
from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.label_studio import labelling_config, read_answers, tasks_json
from rope.curation.annotation.ledger import add_answers, state_of
from tests.curation.annotation.test_ledger import BATCH
from tests.curation.studio import PASSWORD, label_studio, needs_label_studio, result_of

pytestmark = [pytest.mark.slow, needs_label_studio]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder below which the server may serve files."""
    return tmp_path_factory.mktemp("label-studio")


@pytest.fixture(scope="module")
def studio(root):
    """A server that lives as long as these tests: its owner, and ann and bob."""
    with label_studio(root, ("ann", "bob")) as users:
        yield users


def project_of(boss, batch, prefix, root=None):
    """A project with the tasks of a batch, as they are in Label Studio."""
    project = boss.call("api/projects", {"title": f"batch {batch.name}", "label_config": labelling_config(batch)})["id"]
    tasks = json.loads(tasks_json(batch, prefix, root))
    assert boss.call(f"api/projects/{project}/import", tasks)["task_count"] == len(batch.tasks)
    return project, boss.call(f"api/tasks?project={project}&page_size=100&fields=all")["tasks"]


def test_a_batch_goes_out_is_answered_and_comes_back(studio, tmp_path):
    boss, people = studio
    project, tasks = project_of(boss, BATCH, "/media/")
    said = dict(zip((task.item.task_id for task in BATCH.tasks), ("same", "different", "unclear"), strict=True))
    for task in tasks:
        answer = {"result": [result_of(said[task["data"]["task_id"]])], "lead_time": 2.5}
        people["ann"].call(f"api/tasks/{task['id']}/annotations", answer)
    export = tmp_path / "export.json"
    export.write_bytes(boss.call(f"api/projects/{project}/export?exportType=JSON"))
    names = {str(people["ann"].number): "ann"}
    answers = name_annotators(read_answers(export), names, [BATCH], export)
    assert {answer.task_id: answer.value for answer in answers} == said
    assert [answer.annotator for answer in answers] == ["ann"] * 3
    assert add_answers(tmp_path / "ledger", answers, [BATCH]).n_added == 3
    assert add_answers(tmp_path / "ledger", answers, [BATCH]).n_known == 3
    assert state_of(BATCH, answers) == "closed"


def test_media_of_a_pool_are_served_as_the_page_says(studio, root):
    """The folder that the pool lies in is the document root, and the pool's folder a storage of the project."""
    boss, _ = studio
    (root / "pool").mkdir()
    contents = {"a cup #1.jpg": b"\xff\xd8\xff picture", "杯?.mp4": b"video"}
    for name, content in contents.items():
        (root / "pool" / name).write_bytes(content)
    image, video = (str(root / "pool" / name) for name in contents)
    item = Item(
        item_id="p|v",
        question="same_product",
        texts={"page": "cup", "video": ""},
        media={"page": (image,)},
        videos={"video": video},
    )
    batch = TaskBatch("b", "same_product", (AnnotationTask(item, 2, ("ann", "bob")),))
    project, (task,) = project_of(boss, batch, "/data/local-files/?d=", root)
    boss.call("api/storages/localfiles", {"project": project, "path": str(root / "pool"), "use_blob_urls": True})
    assert (task["data"]["annotators"], task["data"]["assigned"]) == (2, "ann, bob")
    shown = [task["data"]["media_0"][0], task["data"]["video_1"]]
    assert [boss.call(address.lstrip("/")) for address in shown] == list(contents.values())


def test_media_at_s3_are_shown_through_a_storage_of_the_project(studio, bucket):
    boss, _ = studio
    fsspec.filesystem("s3", skip_instance_cache=True).pipe_file("bucket/a cup #1.jpg", b"picture")
    item = Item(item_id="p|v", question="same_product", texts={"page": ""}, media={"page": (f"{bucket}/a cup #1.jpg",)})
    project, (task,) = project_of(boss, TaskBatch("b", "same_product", (AnnotationTask(item, 1),)), "/d=")
    boss.call(
        "api/storages/s3",
        {
            "project": project,
            "bucket": "bucket",
            "s3_endpoint": os.environ["AWS_ENDPOINT_URL"],
            "region_name": os.environ["AWS_REGION"],
            "aws_access_key_id": "any",
            "aws_secret_access_key": "any",
            "use_blob_urls": True,
            "presign": True,
        },
    )
    (shown,) = boss.call(f"api/tasks/{task['id']}?project={project}")["data"]["media_0"]
    assert shown != f"{bucket}/a cup #1.jpg"
    assert boss.call(shown.removeprefix(boss.url).lstrip("/")) == b"picture"


@pytest.mark.parametrize("most", [1, 2])
def test_the_second_person_is_offered_a_task_where_the_project_wants_two_answers(most, studio):
    boss, people = studio
    item = Item(item_id="p|v", question="same_product", texts={"page": "cup", "video": "cup"})
    batch = TaskBatch("b", "same_product", (AnnotationTask(item, 2, ("ann", "bob")),))
    project, (task,) = project_of(boss, batch, "")
    boss.call(f"api/projects/{project}", {"maximum_annotations": most}, "PATCH")
    people["ann"].call(f"api/tasks/{task['id']}/annotations", {"result": [result_of("same")]})
    own = {"filter": "filter:tasks:data.assigned", "operator": "contains", "type": "String", "value": "bob"}
    tab = {"project": project, "data": {"filters": {"conjunction": "and", "items": [own]}}}
    view = people["bob"].call("api/dm/views/", tab)["id"]
    queue = f"api/dm/actions/?id=next_task&project={project}&tabID={view}"
    chosen = {"selectedItems": {"all": True, "excluded": []}, "filters": tab["data"]["filters"]}
    if most == 2:
        assert people["bob"].call(queue, chosen)["id"] == task["id"]
    else:
        with pytest.raises(pytest.fail.Exception, match="404"):
            people["bob"].call(queue, chosen)


def test_a_task_opens_in_the_browser_with_what_it_shows_and_its_answers(studio, root, chromium):
    """A picture and frames, a picture and a video file, and a task without pictures, all in one project."""
    boss, _ = studio
    (root / "shown").mkdir()
    for name, colour in (("page", "red"), ("frame", "blue")):
        Image.new("RGB", (40, 30), colour).save(root / "shown" / name, "PNG")  # `download` gives files no endings
    page, frame = str(root / "shown" / "page"), str(root / "shown" / "frame")
    texts = {"page": "a red cup", "video": "frames"}
    tasks = (
        Item(item_id="p|f", question="same_product", texts=texts, media={"page": (page,), "video": (frame, frame)}),
        Item(
            item_id="p|v",
            question="same_product",
            texts={"page": "a red cup", "live": "a film"},
            media={"page": (page,)},
            videos={"live": frame},
        ),
    )
    batch = TaskBatch("shown", "same_product", tuple(AnnotationTask(item, 1) for item in tasks))
    project, found = project_of(boss, batch, "/data/local-files/?d=", root)
    boss.call("api/storages/localfiles", {"project": project, "path": str(root / "shown"), "use_blob_urls": True})
    browser = chromium.new_page()
    browser.goto(f"{boss.url}/user/login/")
    browser.fill("input[name=email]", "owner@example.com")
    browser.fill("input[name=password]", PASSWORD)
    browser.click("button[type=submit]")
    browser.wait_for_load_state()
    for task in found:
        browser.goto(f"{boss.url}/projects/{project}/data?task={task['id']}")
        browser.get_by_text("different", exact=False).first.wait_for(timeout=60_000)
        browser.get_by_text(task["data"]["text_1"]).last.wait_for(timeout=60_000)
        browser.wait_for_function("[...document.images].some(one => one.naturalWidth === 40)", timeout=60_000)
    browser.close()
