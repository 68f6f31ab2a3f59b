"""A batch goes through a real Label Studio server: its configuration, tasks, answers and export."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.label_studio import labelling_config, read_answers, tasks_json
from rope.curation.annotation.ledger import add_answers, state_of
from tests.curation.annotation.test_ledger import BATCH

COMMAND = os.environ.get("ROPE_LABEL_STUDIO") or shutil.which("label-studio")
TOKEN = "0123456789abcdef0123456789abcdef01234567"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMMAND is None, reason="no label-studio: install it apart and set ROPE_LABEL_STUDIO to it"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder below which the server may serve files."""
    return tmp_path_factory.mktemp("label-studio")


@pytest.fixture(scope="module")
def call(root):
    """A function that calls a server, which lives as long as these tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = ["--username", "ann@example.com", "--password", "a long password", "--user-token", TOKEN]
    environment = os.environ | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(root / "data"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
    }
    with (root / "log").open("w") as log:
        server = subprocess.Popen(
            [COMMAND, "start", "--no-browser", "--port", str(port), *user], env=environment, stdout=log, stderr=log
        )
    try:
        wait(f"http://127.0.0.1:{port}/health", server, root / "log")
        yield lambda path, body=None: request(f"http://127.0.0.1:{port}/{path}", body)
    finally:
        server.terminate()
        server.wait(30)


def wait(url, server, log):
    for _ in range(1200):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.5)
    pytest.fail(f"Label Studio did not start: {log.read_text()[-2000:]}")


def request(url, body):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as response:
            content = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            return json.loads(content) if is_json else content
    except urllib.error.HTTPError as error:
        pytest.fail(f"{url}: {error.code} {error.read().decode()[:500]}")


def test_a_batch_goes_out_is_answered_and_comes_back(call, tmp_path):
    project = call("api/projects", {"title": BATCH.name, "label_config": labelling_config(BATCH)})["id"]
    assert call(f"api/projects/{project}/import", json.loads(tasks_json(BATCH, "/media/")))["task_count"] == 3
    said = dict(zip((task.item.task_id for task in BATCH.tasks), ("same", "different", "unclear"), strict=True))
    for task in call(f"api/tasks?project={project}&page_size=100&fields=all")["tasks"]:
        choice = {"choices": [said[task["data"]["task_id"]]]}
        result = {"from_name": "answer", "to_name": "text_0", "type": "choices", "value": choice}
        call(f"api/tasks/{task['id']}/annotations", {"result": [result], "lead_time": 2.5})
    export = tmp_path / "export.json"
    export.write_bytes(call(f"api/projects/{project}/export?exportType=JSON"))
    answers = list(read_answers(export))
    assert {answer.task_id: answer.value for answer in answers} == said
    assert [answer.annotator for answer in answers] == ["1"] * 3
    assert add_answers(tmp_path / "ledger", answers, [BATCH]).n_added == 3
    assert add_answers(tmp_path / "ledger", read_answers(export), [BATCH]).n_known == 3
    assert state_of(BATCH, answers) == "closed"


def test_media_of_a_pool_are_served_as_the_page_says(call, root):
    """The folder that the pool lies in is the document root, and the pool's folder a storage of the project."""
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
    project = call("api/projects", {"title": "media", "label_config": labelling_config(batch)})["id"]
    storage = {"project": project, "path": str(root / "pool"), "use_blob_urls": True}
    call("api/storages/localfiles", storage)
    tasks = tasks_json(batch, "/data/local-files/?d=", root)
    assert call(f"api/projects/{project}/import", json.loads(tasks))["task_count"] == 1
    (task,) = call(f"api/tasks?project={project}&fields=all")["tasks"]
    assert (task["data"]["annotators"], task["data"]["assigned"]) == (2, "ann, bob")
    shown = [json.loads(tasks)[0]["data"]["media_0"][0], json.loads(tasks)[0]["data"]["video_1"]]
    assert [call(address.lstrip("/")) for address in shown] == list(contents.values())
