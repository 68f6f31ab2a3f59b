"""A real server of Label Studio, its users, and people who err and answer there or in files as it exports them."""

import http.cookiejar
import json
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest

COMMAND = os.environ.get("ROPE_LABEL_STUDIO") or shutil.which("label-studio")
PASSWORD = "a long password"

needs_label_studio = pytest.mark.skipif(
    COMMAND is None, reason="no label-studio: install it apart and set ROPE_LABEL_STUDIO to it"
)


class User:
    """Somebody who is logged in, as with a browser."""

    def __init__(self, url, name, invited=""):
        self.url, self._cookies = url, http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        who = {"email": f"{name}@example.com", "password": PASSWORD}
        if invited:
            self._send_form(f"user/signup/?token={invited}", who)
        self._send_form("user/login/", who)

    @property
    def number(self):
        return self.call("api/current-user/whoami")["id"]

    def call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-CSRFToken": self._token, "Referer": self.url}
        try:
            request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
            with self._opener.open(request, timeout=60) as response:
                content = response.read()
                return json.loads(content) if response.headers.get_content_type() == "application/json" else content
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.code} {error.read().decode()[:500]}")

    @property
    def _token(self):
        return next((one.value for one in self._cookies if one.name == "csrftoken"), "")

    def _send_form(self, path, fields):
        self._opener.open(f"{self.url}/{path}", timeout=60).close()
        data = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": self._token}).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, {"Referer": f"{self.url}/{path}"})
        self._opener.open(request, timeout=60).close()


@contextmanager
def label_studio(root, people=()):
    """A server that may serve files below a folder: its owner, and who has been invited, by name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(root / "label-studio"),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SSRF_PROTECTION_ENABLED": "false",  # the store of the tests is on this machine
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
    }
    owner = ["--username", "owner@example.com", "--password", PASSWORD]
    with (root / "log").open("w") as log:
        command = [COMMAND, "start", "--no-browser", "--port", str(port), *owner]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/health", server, root / "log")
        boss = User(url, "owner")
        invited = boss.call("api/invite")["token"]
        yield boss, {name: User(url, name, invited) for name in people}
    finally:
        server.terminate()
        server.wait(30)


def _wait(url, server, log):
    for _ in range(1200):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.5)
    pytest.fail(f"Label Studio did not start: {log.read_text()[-2000:]}")


def says(who, task, truth):
    """What somebody answers, one time in twenty wrongly; and whether not before a second request, as often."""
    draw = random.Random(who + task["task_id"])
    is_silent, is_wrong = draw.random() < 0.05, draw.random() < 0.05
    left, right = task["item_id"].split("|")
    is_same = (truth[left] == truth[right]) != is_wrong
    return ("same" if is_same else "different"), is_silent


def result_of(value):
    return {"from_name": "answer", "to_name": "text_0", "type": "choices", "value": {"choices": [value]}}


class InFiles:
    """People whose answers are in a file as Label Studio exports it; the owner is user 1."""

    def __init__(self, *people):
        self.numbers = {name: number for number, name in enumerate(people, 2)}
        self._asked, self._said = set(), {}

    def answer(self, batch, truth, export):
        """Answer what is due of a batch in its folder, write all answers to it, and say how many are new."""
        tasks, n_before = json.loads((batch / "label-studio.json").read_text("utf-8")), len(self._said)
        for task in tasks:
            own = task["annotations"] = []
            for who in task["data"]["assigned"].split(", "):
                key = (batch.name, task["data"]["task_id"], who)
                value, is_silent = says(who, task["data"], truth)
                if key in self._asked or not is_silent:
                    self._said[key] = value
                    own.append({"completed_by": self.numbers[who], "result": [result_of(value)]})
                self._asked.add(key)
        export.write_text(json.dumps(tasks), "utf-8")
        return len(self._said) - n_before


class InLabelStudio:
    """The same people, at a real server."""

    def __init__(self, boss, users):
        self.boss, self.users = boss, users
        self.numbers = {name: user.number for name, user in users.items()}
        self._projects, self._asked = {}, set()

    def answer(self, batch, truth, export):
        if batch.name not in self._projects:
            fields = {"title": batch.name[:50], "label_config": (batch / "label-studio.xml").read_text("utf-8")}
            project = self.boss.call("api/projects", fields)["id"]
            self.boss.call(f"api/projects/{project}", {"maximum_annotations": 2}, "PATCH")
            tasks = json.loads((batch / "label-studio.json").read_text("utf-8"))
            assert self.boss.call(f"api/projects/{project}/import", tasks)["task_count"] == len(tasks)
            self._projects[batch.name] = project
        project = self._projects[batch.name]
        n_new = 0
        for task in self.boss.call(f"api/tasks?project={project}&page_size=1000&fields=all")["tasks"]:
            for who in task["data"]["assigned"].split(", "):
                n_new += self._annotate(task, who, truth)
        export.write_bytes(self.boss.call(f"api/projects/{project}/export?exportType=JSON"))
        return n_new

    def _annotate(self, task, who, truth):
        if self.numbers[who] in {one["completed_by"] for one in task["annotations"]}:
            return 0
        key = (task["id"], who)
        value, is_silent = says(who, task["data"], truth)
        is_due = key in self._asked or not is_silent
        self._asked.add(key)
        if is_due:
            self.users[who].call(f"api/tasks/{task['id']}/annotations", {"result": [result_of(value)]})
        return is_due
